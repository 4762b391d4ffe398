package catalog_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
)

// spot is a value in the body of an operation.
type spot struct {
	at, name string // a JSON pointer, and its last member
	value    any
	schema   *openapi3.Schema
	needed   bool
	with     func(raw string) string // the body with this text in its place
}

// refused are the codes that refuse a value of any form, because it is only compared.
func (s spot) refused(o operation) []string {
	switch {
	case strings.HasSuffix(s.name, "password"):
		return []string{"credentials_refused", "password_refused", "wrong_state"}
	case s.name == "refresh_token":
		return []string{"unauthorized"}
	case s.name == "iss": // that of another provider
		return []string{"code_refused"}
	case s.name == "code" && o.Operation == "JoinSeller":
		return []string{"invitation_refused"}
	}
	return nil
}

const hole = "\x01here\x01"

// spots are all values in the body of an operation.
func (i *intruder) spots(o operation) []spot {
	i.t.Helper()
	if o.like == nil {
		return nil
	}
	escaped := strings.ReplaceAll(text(i.t, hole), "\x01", `\u0001`)
	var all []spot
	var visit func(at, name string, value any, schema *openapi3.Schema, needed bool, with func(any) any)
	visit = func(at, name string, value any, schema *openapi3.Schema, needed bool, with func(any) any) {
		all = append(all, spot{at, name, value, schema, needed, func(raw string) string {
			return strings.Replace(text(i.t, with(hole)), escaped, raw, 1)
		}})
		switch value := value.(type) {
		case map[string]any:
			for _, member := range slices.Sorted(maps.Keys(value)) {
				of := schema.Properties[member]
				if of == nil {
					of = schema.AdditionalProperties.Schema // of an object with names of any kind
				}
				if of == nil {
					i.t.Fatalf("%s: %s/%s is not in the document", o.Operation, at, member)
				}
				visit(at+"/"+member, member, value[member], of.Value, slices.Contains(schema.Required, member), func(v any) any {
					copied := maps.Clone(value)
					copied[member] = v
					return with(copied)
				})
			}
		case []any:
			for n, item := range value {
				visit(fmt.Sprint(at, "/", n), name, item, schema.Items.Value, true, func(v any) any {
					copied := slices.Clone(value)
					copied[n] = v
					return with(copied)
				})
			}
		}
	}
	like := o.like
	if members, is := like.(map[string]any); is && o.body.MaxProps == nil { // optional ones may not be in the example
		members = maps.Clone(members)
		for name, of := range o.body.Properties {
			if !of.Value.Type.Is("string") || strings.HasSuffix(name, "_id") {
				continue
			}
			if _, in := members[name]; !in && (o.Operation != "AskNewEmail" || name != "password") { // who has one must not give another
				if members[name] = samples[name]; members[name] == nil {
					i.t.Errorf("%s: there is no sample of %s", o.Operation, name)
					delete(members, name)
				}
			}
		}
		like = members
	}
	visit("", "", like, o.body, true, func(v any) any { return v })
	return all
}

// samples are values of members that are in no example.
var samples = map[string]any{
	"device_token": "sdt_AAAA", "device_name": "Mia's phone", "country": "DE", "gender": "other", "iss": "https://provider.example",
}

// each makes attempts of each value in a body.
func (i *intruder) each(of func(spot) []string) func(operation) []attempt {
	return func(o operation) (all []attempt) {
		for _, s := range i.spots(o) {
			for _, raw := range of(s) {
				all = append(all, attempt{what: s.at, body: s.with(raw), or: s.refused(o)})
			}
		}
		return all
	}
}

// quoted are texts as JSON has them, for each value that is a text.
func quoted(of func(value string) []string) func(spot) []string {
	return func(s spot) (all []string) {
		value, ok := s.value.(string)
		if !ok {
			return nil
		}
		for _, text := range of(value) {
			all = append(all, `"`+text+`"`)
		}
		return all
	}
}

// object is the text of a value that has members.
func (i *intruder) object(s spot) (members map[string]any, as string) {
	if members, _ = s.value.(map[string]any); members == nil {
		return nil, ""
	}
	return members, text(i.t, members)
}

// closed is object of those that have known names only.
func (i *intruder) closed(s spot) (members map[string]any, as string) {
	if s.schema.AdditionalProperties.Schema != nil {
		return nil, ""
	}
	return i.object(s)
}

func (i *intruder) unknownMembers(s spot) (all []string) {
	if members, of := i.closed(s); members != nil {
		for _, member := range []string{`"surprise":1`, `"":1`, `"__proto__":{}`, `"$ne":null`} {
			all = append(all, "{"+member+","+of[1:])
		}
	}
	return all
}

// foreignMembers are all members that the document has anywhere, where they are none.
func (i *intruder) foreignMembers(s spot) (all []string) {
	members, of := i.closed(s)
	if members == nil {
		return nil
	}
	names := map[string]bool{"is_admin": true, "id": true, "tenant": true, "price": true}
	for _, schema := range i.doc.Components.Schemas {
		for name := range schema.Value.Properties {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if s.schema.Properties[name] == nil {
			all = append(all, fmt.Sprintf(`{%q:"1",%s`, name, of[1:]))
		}
	}
	return all
}

func (i *intruder) otherCases(s spot) (all []string) {
	members, _ := i.closed(s)
	for name, value := range members {
		for _, other := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], " " + name, strings.ReplaceAll(name, "s", "ſ")} {
			if other != name {
				copied := maps.Clone(members)
				delete(copied, name)
				copied[other] = value
				all = append(all, text(i.t, copied))
			}
		}
	}
	return all
}

func (i *intruder) twice(s spot) (all []string) {
	members, of := i.object(s)
	for name, value := range members {
		all = append(all, fmt.Sprintf("{%q:%s,%s", name, text(i.t, value), of[1:]), fmt.Sprintf(`{"\u%04x%s":%s,%s`, name[0], name[1:], text(i.t, value), of[1:]))
	}
	return all
}

func wrongKinds(s spot) (all []string) {
	kinds := map[string]string{"text": `"x"`, "number": "7", "true": "true", "object": "{}", "list": "[]"}
	switch s.value.(type) {
	case string:
		delete(kinds, "text")
	case bool:
		delete(kinds, "true")
	case map[string]any:
		delete(kinds, "object")
	case []any:
		delete(kinds, "list")
	default:
		delete(kinds, "number")
	}
	all = slices.Collect(maps.Values(kinds))
	if s.needed && s.at != "" {
		all = append(all, "null")
	}
	return all
}

func deep(s spot) []string {
	return []string{strings.Repeat("[", 7000) + strings.Repeat("]", 7000), strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000), strings.Repeat("[", 15000)}
}

func hugeNumbers(s spot) []string {
	switch s.value.(type) {
	case string, bool, map[string]any, []any:
		return nil
	}
	return []string{"1e400", "3e1", "30.0", "-1", "030", "9223372036854775808", strings.Repeat("9", 5000), "0x1e", "NaN", "1_0", `"30"`}
}

// noJSON are texts that have no meaning, or another one to another reader.
func (i *intruder) noJSON(s spot) []string {
	if s.at != "" {
		return nil
	}
	of := text(i.t, s.value)
	return []string{
		"[" + of + "]", `"x"`, "7", "null", of + of, of + " {}", "\ufeff" + of, of[:len(of)-1], of[:len(of)-1] + ",}", "/**/" + of, strings.ReplaceAll(of, `"`, "'"),
		of + "\x00", "{", "<a/>", "code=1", strings.Replace(of, ":", "=", 1), "\xff\xfe" + of,
	}
}

// kindsOfBody are the types of a body that is no JSON in UTF-8.
func (i *intruder) kindsOfBody(o operation) (all []attempt) {
	if o.like == nil {
		return []attempt{{what: "a body", body: "{}", want: "malformed"}}
	}
	for _, kind := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json; charset=utf-16", "application/json; charset=latin1",
		"application/json; x=y", "application/xml", "application/problem+json", "application/json, text/plain", "application/jsonp", "*/*",
	} {
		all = append(all, attempt{what: kind, body: i.like(o), header: http.Header{"Content-Type": {kind}}})
	}
	for _, coding := range []string{"gzip", "br", "identity, gzip"} {
		all = append(all, attempt{what: coding, body: i.like(o), header: http.Header{"Content-Encoding": {coding}}})
	}
	return append(all,
		attempt{what: "no body", want: "malformed"},
		attempt{what: "two types", body: i.like(o), header: http.Header{"Content-Type": {"application/json", "text/plain"}}, want: "malformed"})
}

// wrongQueries has unknown and repeated parameters, and values that the document refuses.
func (i *intruder) wrongQueries(o operation) []attempt {
	all := []attempt{{query: "surprise=1"}, {query: "user_id=1"}, {query: "%zz=1"}, {query: "access_token=x"}, {query: "&&a"}}
	for _, p := range o.parameters("query") {
		all = append(all, attempt{query: strings.ToUpper(p.Name) + "=1"}, attempt{query: p.Name + "=1&" + p.Name + "=1"}, attempt{query: p.Name + "[]=1"})
		for raw, value := range map[string]string{
			"": "", "%00": "\x00", "%ff": "\xff", "%EF%BC%91": "１", "0": "0", "-1": "-1", "101": "101", "1e1": "1e1", "01": "01", "%27%20OR%201=1": "' OR 1=1",
			strings.Repeat("x", 5000): strings.Repeat("x", 5000), "9223372036854775808": "9223372036854775808", "../x": "../x", "1%0d%0aX:1": "1\r\nX:1",
		} {
			if !accepts(p.Schema.Value, value) {
				all = append(all, attempt{what: "a value of " + p.Name, query: p.Name + "=" + raw})
			}
		}
	}
	return all
}

// accepts reports whether a parameter may have a value, by the document.
func accepts(schema *openapi3.Schema, value string) bool {
	if schema.Type.Is("integer") {
		var n int64
		_, err := fmt.Sscanf(value, "%d", &n)
		return err == nil && fmt.Sprint(n) == value && schema.VisitJSON(float64(n)) == nil
	}
	return strings.ToValidUTF8(value, "") == value && value != "" && schema.VisitJSON(value, openapi3.EnableFormatValidation()) == nil
}

// otherIDs have values of paths that the document refuses: ids of each other kind, and what is none.
func (i *intruder) otherIDs(o operation) (all []attempt) {
	values := slices.Sorted(maps.Values(i.mia.own))
	for _, p := range o.parameters("path") {
		mine := i.value(p, i.mia.own)
		for _, value := range append(slices.Clone(values),
			"0", "-1", "07", "1.0", "1e3", "+7", "9223372036854775808", "%37", "%2e%2e", "..", ".", "*", "null", "me", "%00", "%ff", "x'--", "a%2Fb", "x;y", strings.Repeat("7", 4000),
			strings.ToUpper(mine), mine+"x", mine[:len(mine)-1], "%20"+mine, "x"+mine, strings.Map(wide, mine),
		) {
			if !accepts(p.Schema.Value, value) {
				own := maps.Clone(i.mia.own)
				own[p.Name] = value
				all = append(all, attempt{what: "in the place of " + p.Name, path: i.path(o, own), body: i.like(o), want: refusedIDs[p.Name]})
			}
		}
	}
	for _, s := range i.spots(o) {
		if of, ok := s.value.(string); ok && strings.HasSuffix(s.name, "_id") {
			for _, value := range append(slices.Clone(values), "0", "-1", "07", "1e3", "9223372036854775808", of+" ", strings.Map(wide, of)) {
				if !accepts(s.schema, value) {
					all = append(all, attempt{what: "in the place of " + s.at, body: s.with(text(i.t, value))})
				}
			}
		}
	}
	return all
}

// refusedIDs are the codes that refuse ids of any form, because there is one refusal for all that is wrong with them.
var refusedIDs = map[string]string{"challenge_id": "code_refused", "provider": "unknown_provider"}

// wide has digits and letters as CJK fonts have them.
func wide(r rune) rune {
	if r > ' ' && r < unicode.MaxASCII {
		return r - '!' + '！'
	}
	return r
}

// wrongHeaders has keys, versions and positions in other forms than theirs.
func (i *intruder) wrongHeaders(o operation) (all []attempt) {
	add := func(name, want string, values ...string) {
		all = append(all, attempt{what: fmt.Sprintf("%s: %q", name, values), body: i.like(o), header: http.Header{name: values}, want: want})
	}
	if o.Method != http.MethodGet {
		add("Idempotency-Key", "idempotency_key_missing")
		for _, key := range []string{"", "a b", "é", `"`, `"a`, strings.Repeat("k", 129)} {
			add("Idempotency-Key", "idempotency_key_invalid", key)
		}
		add("Idempotency-Key", "idempotency_key_invalid", "a", "b")
	}
	if o.has("header", "If-Match") {
		if o.needs("header", "If-Match") {
			add("If-Match", "if_match_missing")
		}
		for _, version := range []string{"*", "1", `""`, `"0"`, `"01"`, `"-1"`, `W/"1"`, `"1", "2"`, `"9223372036854775808"`} {
			add("If-Match", "", version)
		}
		add("If-Match", "", `"1"`, `"2"`)
	}
	if o.has("header", "Read-After") {
		add("Read-After", "", "x")
		add("Read-After", "", "1", "2")
	}
	if o.has("header", "Cart-Token") {
		add("Cart-Token", "")
		add("Cart-Token", "", "x")
		add("Cart-Token", "", i.guest, i.guest)
		add("Cart-Token", "unknown_cart", strings.Repeat("A", len(i.guest)))
	}
	add("Authorization", "", "Bearer "+i.mia.token, "Bearer "+i.eve.token)
	return all
}

// otherPaths are nearly those of operations. None is led to the right one, or anywhere else.
func (i *intruder) otherPaths(o operation) (all []attempt) {
	path := i.path(o, i.mia.own)
	for _, other := range []string{
		path + "/", path + "/.", path + "/..", path + "//", path + "%2F", path + ";a=b", path + "/x", path + ".json", path + "%00", "/." + path, "/.." + path, "/x/.." + path,
		"/evil.example" + path, "/%2F" + path[1:], strings.Replace(path, "/v1/", "/V1/", 1), strings.Replace(path, "/v1/", "/v2/", 1), strings.Replace(path, "/v1", "/v%31", 1),
	} {
		if other != path && !i.isPath(other) {
			all = append(all, attempt{what: other, path: other})
		}
	}
	return all
}

// isPath reports whether the document has a path of this form.
func (i *intruder) isPath(path string) bool {
	parts := strings.Split(path, "/")
	return slices.ContainsFunc(i.operations, func(o operation) bool {
		of := strings.Split(o.Path, "/")
		if len(of) != len(parts) {
			return false
		}
		for n, part := range of {
			if part != parts[n] && (part == "" || part[0] != '{' || parts[n] == "") {
				return false
			}
		}
		return true
	})
}

// otherMethods asks for what a path does not know.
func (i *intruder) otherMethods() {
	for _, o := range i.operations {
		known := i.doc.Paths.Find(o.Path).Operations()
		for _, method := range []string{"GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			if known[method] != nil {
				continue
			}
			other := o
			other.Method = method
			got := i.send(other, attempt{path: i.path(o, i.mia.own), token: i.caller(o), header: http.Header{"X-Http-Method-Override": {o.Method}}})
			if got.code != "method_not_allowed" || got.header.Get("Allow") == "" {
				i.t.Errorf("%s %s: %d %s", method, o.Path, got.status, got.body)
			}
		}
	}
}
