package catalog_test

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-json-experiment/json"

	"sluice/catalog"
	"sluice/catalog/internal/objects/objectstest"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local/contracttest"
	"sluice/core/place"
	"sluice/core/shard"
)

// badInput is a row of docs/bad-input.md: what nobody should send, and what comes of it.
type badInput struct {
	name, sent, answer string
	try                func(*intruder) // nil: other tests try it
	tests              []string        // these, by their directory in catalog and their name
}

// TestBadInput sends all operations of a shop what nobody should send. Each answer is a problem that has nothing of others, and no
// table changes. Operations and their members are those of the table and the document, so it knows each new one.
func TestBadInput(t *testing.T) {
	t.Parallel()
	i := newIntruder(t)
	for _, b := range badInputs {
		if b.try == nil {
			continue
		}
		t.Run(strings.ReplaceAll(b.name, " ", "_"), func(t *testing.T) {
			i.t, i.tried = t, 0
			i.everywhere("UPDATE sessions__ SET proved_at = NOW(3)") // however slow the machine is
			b.try(i)
			if i.tried == 0 {
				t.Error("nothing was sent")
			}
			t.Logf("%d requests", i.tried)
		})
	}
	i.t = t
}

// TestBadInputPage compares the page with the table, and the tests that it names with those that there are.
func TestBadInputPage(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	want.WriteString("| case | what is sent | what is answered | tested by |\n|---|---|---|---|\n")
	for _, b := range badInputs {
		tests := slices.Clone(b.tests)
		if b.try != nil {
			tests = slices.Insert(tests, 0, "TestBadInput")
		}
		for n, name := range tests {
			directory, test := filepath.Split(name)
			if !hasTest(t, directory, test) {
				t.Errorf("%s: there is no %s in catalog/%s", b.name, test, directory)
			}
			tests[n] = "`" + name + "`"
		}
		fmt.Fprintf(&want, "| %s | %s | %s | %s |\n", b.name, b.sent, b.answer, strings.Join(tests, ", "))
	}
	page, err := os.ReadFile("../docs/bad-input.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), want.String()) {
		t.Errorf("docs/bad-input.md has another table than this:\n%s", want.String())
	}
}

func hasTest(t *testing.T, directory, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(directory, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(text), "\nfunc "+name+"(")
	})
}

// person is a user of the shop with objects of each kind.
type person struct {
	id                    int64
	email, phone          string
	token, refresh, again string            // of the session, and a device token
	own                   map[string]string // by the parameters of paths that name them
	key                   string            // an API key of the seller
}

// intruder has a shop with two people. What is sent, Mia sends, who may call what people may.
type intruder struct {
	*contract
	stores     *place.Databases
	doc        *openapi3.T
	operations []operation
	mia, eve   person
	nobodys    map[string]string // ids of what there is not: the examples of the document
	guest      string            // the token of a guest's cart
	rob        string            // a token of somebody with codes
	category   string            // of the products of people
	tried      int
}

// operation is one of the table, with what the document says of it.
type operation struct {
	catalog.Allowed
	of   *openapi3.Operation
	body *openapi3.Schema
	like any // the body of the document's example
}

func newIntruder(t *testing.T) *intruder {
	t.Helper()
	c := &contract{shop: newShop(t)}
	c.cfg.Messages.Inbox = true
	c.cfg.Messages.PerRecipient, c.cfg.Messages.PerAddress, c.cfg.Messages.PerDay = 1000, 10_000, 10_000 // all ask from one address
	c.outside = c.withProviders()
	c.cfg.Media = objectstest.Start(t).Config()
	c.start()
	c.document = contracttest.Open(t, document, c.node.Addr(), c.http)
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	i := &intruder{contract: c, stores: c.databases(), nobodys: map[string]string{}}
	var err error
	if i.doc, err = openapi3.NewLoader().LoadFromFile(document); err != nil {
		t.Fatal(err)
	}
	for _, of := range catalog.Table() {
		o := operation{Allowed: of, of: i.doc.Paths.Find(of.Path).GetOperation(of.Method)}
		for _, p := range i.doc.Paths.Find(of.Path).Parameters {
			o.of.Parameters = append(slices.Clone(o.of.Parameters), p)
		}
		if o.of.RequestBody != nil {
			media := o.of.RequestBody.Value.Content.Get("application/json")
			if o.body, o.like = media.Schema.Value, media.Example; o.like == nil {
				t.Errorf("the body of %s has no example", of.Operation)
			}
		}
		for _, p := range o.parameters("path") {
			if i.nobodys[p.Name], _ = p.Example.(string); i.nobodys[p.Name] == "" {
				t.Errorf("the parameter %s of %s has no example", p.Name, of.Operation)
			}
		}
		i.operations = append(i.operations, o)
	}
	i.category = c.categoryOfShirts(func(what string) string { return "intruder-" + what })
	i.guest = c.text(c.write("POST", "/v1/guest_carts", "", "guest", "", "ok"), "cart_token")
	i.mia, i.eve = i.person("mia", "+4915112345671"), i.person("eve", "+4915112345672")
	for _, role := range []string{"support", "ops"} {
		c.grant(i.mia.id, role)
	}
	i.make(&i.mia, operation.people) // what the shop has, which is nobody's own
	for name, id := range i.mia.own {
		if i.eve.own[name] == "" {
			i.eve.own[name] = id
		}
	}
	i.settles()
	return i
}

// person registers somebody, who has an object of each kind.
func (i *intruder) person(name, phone string) person {
	i.t.Helper()
	c, email := i.contract, name+"@example.org"
	asked := c.write("POST", "/v1/users", "", name, registration(email, goodPassword), "ok")
	c.write("POST", "/v1/verifications/"+c.text(asked, "challenge_id"), "", name, fmt.Sprintf(`{"code":%q}`, c.code(email, "verify_email")), "ok")
	in := c.write("POST", "/v1/sessions", "", name, signIn(email, goodPassword), "ok")
	p := person{email: email, phone: phone, token: c.text(in, "access_token"), refresh: c.text(in, "refresh_token"), again: c.text(in, "device_token")}
	me := c.shoot(shot{Method: "GET", Path: "/v1/me", Token: p.token, Want: "ok"})
	if _, err := fmt.Sscan(c.text(me, "user_id"), &p.id); err != nil {
		i.t.Fatal(err)
	}
	number := c.write("POST", "/v1/me/phone_codes", p.token, name, newPhone(phone), "ok")
	identity := c.write("POST", "/v1/me/phone_codes/"+c.text(number, "challenge_id"), p.token, name, fmt.Sprintf(`{"code":%q}`, c.code(phone, "sign_in_code")), "ok")
	other := c.write("POST", "/v1/sessions", "", name+"2", signIn(email, goodPassword), "ok")
	next := c.write("POST", "/v1/me/email_codes", p.token, name, newEmail(name+"@example.net"), "ok")
	p.own = map[string]string{
		"user_id": fmt.Sprint(p.id), "session_id": c.text(other, "session_id"), "identity_id": c.text(identity, "identity_id"),
		"challenge_id": c.text(next, "challenge_id"), "seller_id": c.sellerOf(p.token), "assessment_id": fmt.Sprint("sign_up.", p.id),
		"provider": "plain", "role": "ops", "market": "de",
	}
	at := "/v1/sellers/" + p.own["seller_id"] + "/products"
	p.own["product_id"] = c.text(c.write("POST", at, p.token, name, strings.ReplaceAll(shirt, "CATEGORY", i.category), "ok"), "product_id")
	c.cartOf(p.id, "4096")
	c.change("POST", at+"/"+p.own["product_id"]+"/skus", p.token, name, `"1"`, smallShirt, "ok")
	whole := c.shoot(shot{Method: "GET", Path: at + "/" + p.own["product_id"], Token: p.token, Want: "ok"})
	p.own["sku_id"] = regexp.MustCompile(`"sku_id":"([0-9]+)"`).FindStringSubmatch(whole.Body)[1]
	p.own["offer_id"] = c.text(c.write("POST", "/v1/sellers/"+p.own["seller_id"]+"/offers", p.token, name, offering(p.own["sku_id"]), "ok"), "offer_id")
	_, said := photo(i.t)
	media, _ := c.write("POST", at+"/"+p.own["product_id"]+"/media", p.token, name, said, "ok").JSON["media"].(map[string]any)
	p.own["media_id"] = fmt.Sprint(media["media_id"])
	i.make(&p, func(o operation) bool {
		return strings.Contains(o.Roles, "shopper") || strings.Contains(o.Roles, "seller_")
	})
	return p
}

// make makes what else a person can have by what the document has for it: a POST to the list that it is in.
func (i *intruder) make(p *person, may func(operation) bool) {
	i.t.Helper()
	for _, o := range i.operations {
		list, last := filepath.Split(o.Path)
		parameter := strings.Trim(last, "{}")
		at := slices.IndexFunc(i.operations, func(of operation) bool { return of.Method == http.MethodPost && of.Path+"/" == list && may(of) })
		if parameter == last || p.own[parameter] != "" || at < 0 {
			continue
		}
		made := i.send(i.operations[at], attempt{token: p.token, path: i.path(i.operations[at], p.own), body: i.alone(i.operations[at])})
		members := map[string]any{}
		if err := json.Unmarshal([]byte(made.body), &members); err != nil || made.status > 299 {
			i.t.Fatalf("%s: %d %s", list, made.status, made.body)
		}
		p.own[parameter] = fmt.Sprint(members[parameter])
		if parameter == "prefix" {
			p.key = fmt.Sprint(members["key"])
		}
	}
}

// like is the body of an example.
func (i *intruder) like(o operation) string {
	i.t.Helper()
	if o.like == nil {
		return ""
	}
	return text(i.t, o.like)
}

// alone is the body of an example without the ids in it that need not be there: they are of nothing.
func (i *intruder) alone(o operation) string {
	i.t.Helper()
	members, _ := o.like.(map[string]any)
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(name string, _ any) bool {
		return strings.HasSuffix(name, "_id") && !slices.Contains(o.body.Required, name)
	})
	if members == nil {
		return ""
	}
	return text(i.t, members)
}

func text(t *testing.T, value any) string {
	t.Helper()
	body, err := json.Marshal(value, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// path is that of an operation with values of its parameters.
func (i *intruder) path(o operation, values map[string]string) string {
	i.t.Helper()
	path := o.Path
	for _, p := range o.parameters("path") {
		path = strings.ReplaceAll(path, "{"+p.Name+"}", i.value(p, values))
	}
	return path
}

// value is that of a parameter, or one of nothing.
func (i *intruder) value(p *openapi3.Parameter, values map[string]string) string {
	return cmp.Or(values[p.Name], i.nobodys[p.Name])
}

func (o operation) parameters(in string) (all []*openapi3.Parameter) {
	if o.of == nil {
		return nil
	}
	for _, p := range o.of.Parameters {
		if p.Value.In == in {
			all = append(all, p.Value)
		}
	}
	return all
}

func (o operation) has(in, name string) bool {
	return slices.ContainsFunc(o.parameters(in), func(p *openapi3.Parameter) bool { return p.Name == name })
}

// needs reports whether a parameter has to be there.
func (o operation) needs(in, name string) bool {
	return slices.ContainsFunc(o.parameters(in), func(p *openapi3.Parameter) bool { return p.Name == name && p.Required })
}

// people reports whether people may call an operation.
func (o operation) people() bool {
	return slices.ContainsFunc([]string{"shopper", "seller_", "support", "ops"}, func(role string) bool { return strings.Contains(o.Roles, role) })
}

// caller is the token of somebody who may call an operation.
func (i *intruder) caller(o operation) string {
	switch {
	case o.Roles == "anybody":
		return ""
	case o.people():
		return i.mia.token
	case strings.Contains(o.Roles, "admin"):
		return i.admin
	}
	return i.service
}

// attempt is a request. What it has not is as it should be.
type attempt struct {
	what, path, query, body, token string
	header                         http.Header
	want                           string   // in place of the code that is wanted of the others
	or                             []string // codes that are as good
}

// reply is an answer, without the id of its request.
type reply struct {
	status     int
	code, body string
	header     http.Header
}

var attempts atomic.Int64

// send sends an attempt as it is: nothing is escaped or cleaned on the way.
func (i *intruder) send(o operation, a attempt) reply {
	i.t.Helper()
	i.tried++
	method := o.Method
	r := (&http.Request{
		Method: method, Host: i.node.Addr(), URL: &url.URL{Scheme: "http", Host: i.node.Addr(), Opaque: a.path, RawQuery: a.query}, Header: http.Header{},
	}).WithContext(i.t.Context())
	if a.body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(a.body)), int64(len(a.body))
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	if method != http.MethodGet {
		r.Header.Set("Idempotency-Key", fmt.Sprintf("bad-%d", attempts.Add(1)))
	}
	if o.has("header", "If-Match") {
		r.Header.Set("If-Match", `"1"`)
	}
	if o.has("header", "Cart-Token") {
		r.Header.Set("Cart-Token", i.guest)
	}
	maps.Copy(r.Header, a.header)
	resp, err := i.http.Do(r)
	if err != nil {
		i.t.Fatalf("%s %s (%s): %v", method, a.path, a.what, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	got := reply{status: resp.StatusCode, code: "ok", header: resp.Header}
	got.body = strings.ReplaceAll(string(body), resp.Header.Get("X-Request-Id"), "")
	for _, name := range []string{"Location", "Set-Cookie", "Server", "Refresh"} {
		if resp.Header.Get(name) != "" {
			i.t.Errorf("%s %s (%s): the answer has %s: %s", method, a.path, a.what, name, resp.Header.Get(name))
		}
	}
	if got.status >= 300 {
		var problem struct {
			Code string `json:"code"`
		}
		if err := json.Unmarshal(body, &problem); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" || got.status < 400 || got.status > 499 {
			i.t.Errorf("%s %s (%s): %d %s %s", method, a.path, a.what, got.status, resp.Header.Get("Content-Type"), body)
		}
		got.code = problem.Code
	}
	return got
}

// walk sends each operation what a case makes of it, wants one code for all, and no change of any table.
func (i *intruder) walk(want string, attempts func(operation) []attempt) {
	i.t.Helper()
	for _, o := range i.operations {
		all := attempts(o)
		if len(all) == 0 {
			continue
		}
		i.unchanged(o.Method+" "+o.Path, func() {
			for _, a := range all {
				if a.path == "" {
					a.path = i.path(o, i.mia.own)
				}
				if a.token == "" {
					a.token = i.caller(o)
				}
				code := want
				if a.want != "" {
					code = a.want
				}
				if got := i.send(o, a); got.code != code && !slices.Contains(a.or, got.code) {
					i.t.Errorf("%s %s?%s, %s: %d %s, want %s; sent %.300s", o.Method, a.path, a.query, a.what, got.status, got.body, code, a.body)
				}
			}
		})
	}
}

// unchanged reports the tables that change while something is done.
func (i *intruder) unchanged(what string, do func()) {
	i.t.Helper()
	i.unchangedBut(what, nil, do)
}

// unchangedBut is unchanged, but for tables that may change.
func (i *intruder) unchangedBut(what string, may []string, do func()) {
	i.t.Helper()
	before := i.tables()
	do()
	for table, sum := range i.tables() {
		if _, name, _ := strings.Cut(table, "."); before[table] != sum && !slices.Contains(may, name) {
			i.t.Errorf("%s: the table %s has changed", what, table)
		}
	}
}

// tables has a checksum of each table, but of what changes by itself: times that have come, and the tasks about them.
func (i *intruder) tables() map[string]string {
	i.t.Helper()
	sums := map[string]string{}
	seen := map[*db.Copies]bool{}
	for _, p := range slices.Concat(i.stores.All(shard.Users), i.stores.All(shard.Values)) {
		if seen[p.Copies] {
			continue
		}
		seen[p.Copies] = true // the places of a database are looked at together
		i.sums(p, sums)
	}
	if len(sums) < 30 {
		i.t.Fatalf("only %d tables are compared", len(sums))
	}
	return sums
}

func (i *intruder) sums(p place.Place, sums map[string]string) {
	i.t.Helper()
	var plain []string
	for _, table := range tablesOf(i.t, p.Writer()) {
		switch owner, what, _ := strings.Cut(table, "_"); what {
		case "schedule":
		case "tasks":
			var n int
			err := p.Writer().QueryRowContext(i.t.Context(), "SELECT COUNT(*) FROM "+table+" WHERE kind NOT IN (SELECT name FROM "+owner+"_schedule)").Scan(&n)
			if err != nil {
				i.t.Fatal(err)
			}
			sums[p.Name+"."+table] = fmt.Sprint(n)
		default:
			plain = append(plain, table)
		}
	}
	err := db.Rows(i.t.Context(), p.Writer(), func(row *sql.Rows) error {
		var table, sum sql.NullString
		err := row.Scan(&table, &sum)
		sums[table.String] = sum.String
		return err
	}, "CHECKSUM TABLE "+strings.Join(plain, ", "))
	if err != nil {
		i.t.Fatal(err)
	}
}

// settles waits until all tasks are done, so that nothing changes but by what is sent.
func (i *intruder) settles() {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
	defer cancel()
	err := lifecycle.Poll(ctx, 20*time.Millisecond, func() error {
		for table, n := range i.tables() {
			if strings.HasSuffix(table, "_tasks") && n != "0" {
				return fmt.Errorf("%s tasks are left in %s", n, table)
			}
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		i.t.Fatal(err)
	}
}
