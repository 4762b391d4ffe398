package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"sluice/core/auth"
	"sluice/core/idempotency"
	"sluice/core/ids"
	"sluice/core/stock"
	"sluice/core/text"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../docs/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil { // examples too
		t.Fatal(err)
	}
	return doc
}

// pattern returns a function that reports whether the schema of a string takes a text.
func pattern(schema *openapi3.SchemaRef) func(string) bool {
	s := schema.Value
	expression := regexp.MustCompile(s.Pattern)
	return func(value string) bool {
		n := uint64(utf8.RuneCountInString(value))
		return expression.MatchString(value) && n >= s.MinLength && (s.MaxLength == nil || n <= *s.MaxLength)
	}
}

func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			all[method+" "+path] = op
		}
	}
	return all
}

// The document takes of keys, ids, texts and times what the server takes, to the last one.
func TestDocumentIsAsNarrowAsTheServer(t *testing.T) {
	t.Parallel()
	doc := document(t)
	f := func(what string, documented func(string) bool, value string, taken bool) {
		t.Helper()
		if documented(value) != taken {
			t.Errorf("%s %q: taken by the server %v, by the document %v", what, value, taken, !taken)
		}
	}
	key := pattern(doc.Components.Parameters["IdempotencyKey"].Value.Schema)
	for _, value := range keys() {
		h := head{idempotencyKey: []byte(value), seen: seenIdempotencyKey}
		_, err := h.key(new([idempotency.KeyBytesMax]byte))
		f("key", key, value, err == nil)
	}
	for name, high := range map[string]int64{"ID": 1<<63 - 1, "SaleID": 1<<32 - 1} {
		documented := pattern(doc.Components.Schemas[name])
		for _, value := range idTexts() {
			id, ok := ids.Parse(value)
			f(name, documented, value, ok && id <= high)
		}
	}
	plain := pattern(doc.Components.Schemas["Text"])
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if utf8.ValidRune(r) && plain(string(r)) != (text.Check(string(r), 200) == nil) {
			t.Errorf("%U: taken by the server %v, not so by the document", r, text.Plain(r))
		}
	}
	f("text", plain, "", false)
	f("text", plain, strings.Repeat("x", 200), true)
	f("text", plain, strings.Repeat("x", 201), false)
	documented := pattern(doc.Components.Schemas["Bound"])
	var dates []string
	for _, year := range []int{1971, 1972, 1999, 2000, 2026, 2028, 2100, 2400, 2500, 3776, 3777, 9996, 9999} {
		for day := range 12 * 32 {
			dates = append(dates, fmt.Sprintf("%04d-%02d-%02dT10:04:57+22:03", year, day/32+1, day%32))
		}
	}
	for _, value := range append(dates,
		"", "2026-11-11T20:00:00Z", "2026-11-11T20:00:00.123456789+08:00", "2026-11-11T20:00:00-23:59", "9999-12-31T23:59:59Z",
		"tomorrow", "2026-11-11", "2026-11-11 20:00:00Z", "2026-11-11T20:00:00", "2026-13-11T20:00:00Z", "2026-11-32T20:00:00Z",
		"2026-11-11T24:00:00Z", "2026-11-11T20:60:00Z", "2026-11-11T20:00:60Z",
		"2026-11-11T20:00:00.Z", "1969-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
		"10000-01-01T00:00:00Z", "1767225600000", " ", "2026-11-11T20:00:00Z ", "2026-11-11T20:00:00Z\n",
	) {
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		f("moment", documented, value, new(bound).UnmarshalJSON(quoted) == nil)
	}
}

// keys are bare and quoted strings, all short ones of the characters that matter and some of the longest.
func keys() []string {
	list := []string{""}
	for begin := 0; len(list[len(list)-1]) < 4; {
		end := len(list)
		for _, key := range list[begin:end] {
			for _, c := range []string{`"`, `\`, "a", "~", " ", "\x7f", "é"} {
				list = append(list, key+c)
			}
		}
		begin = end
	}
	for n := idempotency.KeyBytesMax - 1; n <= idempotency.KeyBytesMax+1; n++ {
		list = append(list, strings.Repeat("k", n), `"`+strings.Repeat("k", n)+`"`, `"`+strings.Repeat(`\"`, n)+`"`, strings.Repeat(`\`, n))
	}
	return list
}

// idTexts are texts that are nearly ids, most of them about the largest ones.
func idTexts() []string {
	list := []string{"", "0", "01", "1", "9", "10", "-1", "+1", "1.0", "1e3", " 1", "1 ", "1\n", "x", "٣"}
	dice := rand.New(rand.NewPCG(1, 2))
	for _, high := range []string{"9223372036854775807", "4294967295"} {
		list = append(list, high, strings.Repeat("9", len(high)), strings.Repeat("9", len(high)-1), high+"0", "1"+high)
		for range 2000 {
			digits := []byte(high)
			digits[dice.IntN(len(digits))] = '0' + byte(dice.IntN(10))
			list = append(list, string(digits))
		}
	}
	return list
}

// bodiesOnly are the members at fault where a schema cannot tell it: the order of two times, the same sale
// twice.
var bodiesOnly = []string{"/closes_at", "/to_sale_id"}

// Bodies of every endpoint, made of members that are right, wrong, null or not there, are malformed if the
// document says so.
func TestDocumentTakesTheBodiesThatTheServerTakes(t *testing.T) {
	t.Parallel()
	doc := document(t)
	f := newFixture(t)
	f.load(stock.Cell{SKU: 5}, 1000, nil)
	f.load(stock.Cell{SKU: 5, Pool: 9}, 1000, nil)
	values := map[string][]string{
		"sku_id":        {`"5"`, `5`, `"0"`, `null`, `"9223372036854775808"`},
		"quantity":      {`1`, `0`, `1.5`, `"1"`, `1099511627776`, `null`},
		"sale_id":       {`"9"`, `null`, `9`, `"4294967296"`},
		"from_sale_id":  {`"9"`, `null`, `"0"`},
		"to_sale_id":    {`"9"`, `null`, `""`},
		"user_id":       {`"7"`, `null`, `"x"`},
		"delta":         {`1`, `-1`, `0`, `null`, `"1"`, `-1099511627776`},
		"reason":        {`"x"`, `""`, `"a\u202eb"`, `null`, `1`},
		"name":          {`"x"`, `""`, `"\u009b"`, `null`},
		"limit":         {`1`, `0`, `null`, `-1`, `1000001`, `true`},
		"hold_ms":       {`1`, `null`, `0`, `2592000001`},
		"extend_max_ms": {`1`, `0`, `null`, `-1`, `2592000001`},
		"expires_at":    {`"2026-11-11T20:00:00Z"`, `""`, `null`, `1`},
		"reservation_ids": {
			`["00000000000000000000000000000000","00000000000000000000000000000001"]`, `["00000000000000000000000000000000"]`,
			`["00000000000000000000000000000000","00000000000000000000000000000000"]`, `[]`, `null`, `["x"]`, `[1]`, `{}`,
		},
		"opens_at":        {`"2026-11-11T20:00:00Z"`, `""`, `null`, `"x"`, `1`},
		"asked_at":        {`"2026-11-11T20:00:00Z"`, `""`, `null`, `"x"`, `1`},
		"closes_at":       {`"2026-11-12T20:00:00Z"`, `""`, `null`, `"2026-11-12"`},
		"ack":             {`"log"`, `null`, `"none"`, `1`},
		"shopper_deducts": {`true`, `null`, `"true"`},
		"user_ids":        {`["5","6"]`, `["5","5"]`, `[]`, `["x"]`, `[5]`, `null`, `{}`, `["0"]`},
		"registered_only": {`true`, `false`, `null`, `1`},
		"frozen":          {`false`, `null`, `0`},
		"items":           {`[{"sku_id":"5","quantity":1}]`, `[]`, `[{"sku_id":"5"}]`, `[{"sku_id":"5","quantity":0}]`, `[{"sku_id":"5","quantity":1,"x":1}]`, `null`, `{}`},
		"surprise":        {`1`},
	}
	service, admin := f.token(2, auth.RoleService), f.token(1, auth.RoleAdmin)
	paths := strings.NewReplacer("{sku_id}", "5", "{sale_id}", "9")
	dice := rand.New(rand.NewPCG(3, 4))
	taken, refused := 0, 0
	all := operations(doc)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		op := all[name]
		if op.RequestBody == nil {
			continue
		}
		schema := op.RequestBody.Value.Content["application/json"].Schema
		method, path, _ := strings.Cut(name, " ")
		for range 400 {
			members := map[string]json.RawMessage{}
			for _, member := range slices.Sorted(maps.Keys(schema.Value.Properties)) {
				choice := values[member]
				if choice == nil {
					t.Fatalf("%s: no values of %s to try", name, member)
				}
				if slices.Contains(schema.Value.Required, member) || dice.IntN(3) == 0 {
					if dice.IntN(8) > 0 {
						choice = choice[:1]
					}
					members[member] = json.RawMessage(choice[dice.IntN(len(choice))])
				}
			}
			if dice.IntN(20) == 0 {
				members["surprise"] = json.RawMessage(values["surprise"][0])
			}
			body, err := json.Marshal(members)
			if err != nil {
				t.Fatal(err)
			}
			var value any
			if err := json.Unmarshal(body, &value); err != nil {
				t.Fatal(err)
			}
			token := admin
			if strings.HasPrefix(path, "/v1/") {
				token = service
			}
			got := f.do(call{method: method, path: paths.Replace(path), token: token, body: string(body)})
			malformed := got.code() == "malformed"
			untold := slices.Contains(bodiesOnly, fmt.Sprint(got.json["pointer"])) || strings.Contains(got.body, errUserMissing.Detail)
			if documented := schema.Value.VisitJSON(value) == nil; documented == malformed && !untold {
				t.Errorf("%s %s: %s, taken by the document %v", name, body, got.body, documented)
			}
			if malformed {
				refused++
			} else {
				taken++
			}
		}
	}
	if taken < 500 || refused < 500 {
		t.Errorf("%d bodies were taken and %d refused: too few of one to tell", taken, refused)
	}
}

// Whatever a request or an answer may have, the document shows one, and tells its headers.
func TestDocumentIsComplete(t *testing.T) {
	t.Parallel()
	doc := document(t)
	shown := func(where string, content openapi3.Content) {
		t.Helper()
		for kind, media := range content {
			if media.Example == nil && len(media.Examples) == 0 {
				t.Errorf("%s: no example of %s", where, kind)
			}
		}
	}
	for name, op := range operations(doc) {
		if op.RequestBody != nil {
			shown(name, op.RequestBody.Value.Content)
		}
		for status, ref := range op.Responses.Map() {
			where := name + " " + status
			shown(where, ref.Value.Content)
			want := []string{"X-Request-Id", "RateLimit", "RateLimit-Policy"}
			if status == "201" {
				want = append(want, "Location")
			}
			if status == "401" {
				want = append(want, "WWW-Authenticate")
			}
			if strings.HasPrefix(name, "GET ") {
				want = append(want, "Cache-Control")
			}
			for _, header := range want {
				if ref.Value.Headers[header] == nil {
					t.Errorf("%s: the header %s is missing", where, header)
				}
			}
		}
	}
	for name, parameter := range doc.Components.Parameters {
		if p := parameter.Value; p.Required && p.Example == nil && len(p.Examples) == 0 {
			t.Errorf("parameter %s: no example", name)
		}
	}
	whole, err := doc.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(whole, &tree); err != nil {
		t.Fatal(err)
	}
	noNullInEnums(t, "", tree)
}

// noNullInEnums looks for what generators make of null: a constant without a name.
func noNullInEnums(t *testing.T, where string, node any) {
	t.Helper()
	switch v := node.(type) {
	case map[string]any:
		if list, ok := v["enum"].([]any); ok {
			for _, value := range list {
				if value == nil {
					t.Errorf("%s: an enum with null", where)
				}
			}
		}
		for name, child := range v {
			noNullInEnums(t, where+"/"+name, child)
		}
	case []any:
		for i, child := range v {
			noNullInEnums(t, fmt.Sprintf("%s/%d", where, i), child)
		}
	}
}
