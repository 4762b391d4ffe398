package catalog_test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog"
	"sluice/catalog/account/provider/providertest"
	"sluice/core/auth"
)

// others asks for what is Eve's, and for what there is not: the answers are the same.
func (i *intruder) others() {
	for _, o := range i.operations {
		if !o.people() || strings.Contains(o.Roles, "support") || strings.Contains(o.Roles, "ops") {
			continue
		}
		if o.Operation == "RemoveLine" { // a SKU is nobody's own, and a line that is not there is out already
			continue
		}
		var ids []string
		for _, p := range o.parameters("path") {
			if i.mia.own[p.Name] != i.eve.own[p.Name] {
				ids = append(ids, p.Name)
			}
		}
		i.unchangedBut(o.Method+" "+o.Path, []string{"challenges"}, func() { // a wrong code costs its challenge a try
			for _, name := range ids {
				i.alike(o, "the "+name, i.pathWith(o, map[string]string{name: i.eve.own[name]}), i.pathWith(o, map[string]string{name: i.nobodys[name]}), i.like(o), i.like(o))
			}
			if len(ids) > 1 {
				i.alike(o, "all ids", i.path(o, i.eve.own), i.pathWith(o, i.nobodys), i.like(o), i.like(o))
			}
			for _, s := range i.spots(o) {
				if id := i.eve.own[s.name]; id != i.mia.own[s.name] && strings.HasSuffix(s.name, "_id") {
					i.alike(o, s.at, i.path(o, i.mia.own), i.path(o, i.mia.own), s.with(text(i.t, id)), s.with(text(i.t, i.nobodys[s.name])))
				}
			}
		})
	}
}

// pathWith is a path to what is Mia's, but for some ids.
func (i *intruder) pathWith(o operation, but map[string]string) string {
	i.t.Helper()
	values := maps.Clone(i.mia.own)
	for name := range values {
		if but[name] != "" {
			values[name] = but[name]
		}
	}
	return i.path(o, values)
}

// alike sends two requests of Mia. Both are refused, and nothing tells one answer from the other.
func (i *intruder) alike(o operation, what, path1, path2, body1, body2 string) {
	i.t.Helper()
	one := i.send(o, attempt{what: what, path: path1, body: body1, token: i.mia.token})
	two := i.send(o, attempt{what: what, path: path2, body: body2, token: i.mia.token})
	if one.status < 400 || one.body != two.body || shape(one) != shape(two) {
		i.t.Errorf("%s %s, with %s of somebody else: %d %s; of nobody: %d %s", o.Method, o.Path, what, one.status, one.body, two.status, two.body)
	}
}

// shape is what an answer shows beside the values of its members: status, headers, members, and the lengths of texts.
func shape(r reply) string {
	var value any
	if r.body != "" && json.Unmarshal([]byte(r.body), &value) != nil {
		return r.body
	}
	var of func(any) any
	of = func(value any) any {
		switch value := value.(type) {
		case string:
			if _, err := time.Parse(time.RFC3339Nano, value); err == nil { // of any length
				return "a time"
			}
			return len(value)
		case map[string]any:
			members := map[string]any{}
			for name, member := range value {
				members[name] = of(member)
			}
			return members
		case []any:
			return len(value)
		}
		return value
	}
	var headers []string
	for name := range r.header {
		if name != "Content-Length" { // follows from times
			headers = append(headers, name)
		}
	}
	slices.Sort(headers)
	return fmt.Sprint(r.status, r.code, headers, of(value))
}

// flow is a code that was sent, and where it counts.
type flow struct{ endpoint, challenge, code string }

// flows begins one of each kind, of a user who signs in by e-mail.
func (i *intruder) flows() (all []flow) {
	c := i.contract
	begin := func(path, token, key, body, to, template, last string) {
		c.t.Helper()
		asked := c.write("POST", path, token, key, body, "ok")
		all = append(all, flow{path, c.text(asked, "challenge_id"), c.codeAfter(to, template, last)})
	}
	const fresh, phone = "rob@example.net", "+4915112345673"
	me, _ := c.newcomer("rob")
	c.newcomer("sue") // a reset would end the session
	i.rob = me
	c.everywhere("UPDATE sessions__ SET proved_at = NOW(3)")
	begin("/v1/users", "", "flow", registration(fresh, goodPassword), fresh, "verify_email", "")
	all[0].endpoint = "/v1/verifications"
	begin("/v1/phone_codes", "", "flow", byPhone("+4915112345674"), "+4915112345674", "sign_in_code", "")
	begin("/v1/me/phone_codes", me, "flow", newPhone(phone), phone, "sign_in_code", "")
	begin("/v1/me/email_codes", me, "flow", newEmail("rob@example.com"), "rob@example.com", "verify_email", "")
	begin("/v1/password_resets", "", "flow", `{"email":"sue@example.org"}`, "sue@example.org", "reset_password", "")
	i.settles()
	return all
}

// answer is the right code of a flow, sent to an operation.
func (i *intruder) answer(o operation, f flow) attempt {
	body := i.like(o)
	for _, s := range i.spots(o) {
		if s.at == "/code" && len(s.value.(string)) == len(f.code) {
			body = s.with(text(i.t, f.code))
		}
	}
	token := i.caller(o)
	if token != "" {
		token = i.rob
	}
	return attempt{what: "the code of " + f.endpoint, path: strings.Replace(o.Path, "{challenge_id}", f.challenge, 1), body: body, token: token}
}

// codes sends each code to each operation that takes one: it counts once, and in its own flow.
func (i *intruder) codes() {
	flows := i.flows()
	takes := func(own bool, want string) {
		i.t.Helper()
		for _, f := range flows {
			for _, o := range i.operations {
				if !o.has("path", "challenge_id") || (o.Path == f.endpoint+"/{challenge_id}") != own {
					continue
				}
				if got := i.send(o, i.answer(o, f)); got.code != want {
					i.t.Errorf("the code of %s at %s: %d %s, want %s", f.endpoint, o.Path, got.status, got.body, want)
				}
			}
		}
	}
	i.unchanged("codes of other flows", func() { takes(false, "code_refused") })
	me := i.rob
	i.rob = i.mia.token
	mine := func(f flow) bool { return strings.HasPrefix(f.endpoint, "/v1/me/") }
	all := flows
	flows = slices.DeleteFunc(slices.Clone(all), func(f flow) bool { return !mine(f) })
	i.unchangedBut("codes of somebody else", []string{"challenges"}, func() { takes(true, "code_refused") })
	i.rob, flows = me, all
	takes(true, "ok")
	i.settles()
	i.unchangedBut("codes that were used", []string{"challenges"}, func() { takes(true, "code_refused") })
}

// post is what all writes without parameters have.
var post = catalog.Allowed{Method: http.MethodPost}

// member is the text of a member of a body.
func member(t *testing.T, body, name string) string {
	t.Helper()
	members := map[string]string{}
	if err := json.Unmarshal([]byte(body), &members); err != nil || members[name] == "" {
		t.Fatal(body, err)
	}
	return members[name]
}

// returns brings what a provider has sent back to other flows than its own.
func (i *intruder) returns() {
	c, personThere := i.contract, providertest.Person{ID: "intruder-there", Name: "Ina"}
	back := c.comesBack(flows, "", atHome, c.outside.plain, personThere)
	open := c.comesBack("/v1/providers/open/flows", "", atHome, c.outside.open, personThere)
	mine := c.comesBack(myFlows, i.mia.token, "", c.outside.plain, personThere)
	i.unchanged("returns of other flows", func() {
		for _, a := range []attempt{
			{what: "of nobody, at an account", path: mineThere, token: i.mia.token, body: back},
			{what: "of an account, at a sign-in", path: byProvider, body: mine},
			{what: "of somebody else's account", path: mineThere, token: i.eve.token, body: mine},
			{what: "of another provider", path: "/v1/providers/open/sessions", body: back},
			{what: "with another state", path: byProvider, body: strings.Replace(back, `"state":"`, `"state":"x`, 1)},
			{what: "with the state of another flow", path: byProvider, body: strings.Replace(back, member(i.t, back, "state"), member(i.t, mine, "state"), 1)},
			{what: "with another flow", path: byProvider, body: strings.Replace(back, member(i.t, back, "flow_token"), member(i.t, mine, "flow_token"), 1)},
			{what: "with the issuer of another provider", path: "/v1/providers/open/sessions", body: strings.Replace(open, "{", `{"iss":"https://evil.example",`, 1)},
		} {
			if got := i.send(operation{Allowed: post}, a); got.code != "code_refused" {
				i.t.Errorf("a return %s: %d %s", a.what, got.status, got.body)
			}
		}
	})
}

// tokens guesses tokens and keys.
func (i *intruder) tokens() {
	head, rest, _ := strings.Cut(i.mia.token, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	encode := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	decoded, err := base64.RawURLEncoding.DecodeString(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	other := func(from, to string) string {
		return strings.Join([]string{head, encode(strings.Replace(string(decoded), from, to, 1)), signature}, ".")
	}
	forged := []string{
		other(`"shopper"`, `"admin"`), other(fmt.Sprint(i.mia.id), fmt.Sprint(i.eve.id)), encode(`{"alg":"none","typ":"at+jwt"}`) + "." + claims + ".",
		encode(`{"alg":"HS256","typ":"at+jwt"}`) + "." + claims + "." + signature, head + "." + claims, head + "." + claims + ".", i.mia.token + "A", i.mia.token[:len(i.mia.token)-4],
		i.mia.refresh, i.mia.again, i.mia.refresh + i.mia.token, head + "." + claims + "." + strings.Repeat("A", len(signature)), "x", "null", i.mia.token + " " + i.mia.token,
	}
	key := i.eve.key
	prefix := i.eve.own["prefix"]
	last := "0"
	if strings.HasSuffix(key, last) {
		last = "1"
	}
	keys := []string{key[:len(key)-1] + last, strings.Replace(key, prefix, noPrefix, 1), strings.Replace(key, prefix, i.mia.own["prefix"], 1), key[:len(key)-1], key + "0", strings.ToUpper(key)}
	i.walk("unauthorized", func(o operation) (all []attempt) {
		if o.Roles == "anybody" {
			return nil
		}
		for _, token := range slices.Concat(forged, keys) {
			all = append(all, attempt{what: "a token that is none", token: token, body: i.like(o)})
		}
		return all
	})
	for _, o := range i.operations {
		if o.KeyScope == "" {
			continue
		}
		known := i.send(o, attempt{path: i.path(o, i.eve.own), token: keys[0]})
		unknown := i.send(o, attempt{path: i.path(o, i.eve.own), token: keys[1]})
		if known.body != unknown.body || shape(known) != shape(unknown) {
			i.t.Errorf("%s %s: a wrong key with a known prefix is told %s, with an unknown one %s", o.Method, o.Path, known.body, unknown.body)
		}
	}
	i.unchanged("tokens of sessions", func() {
		for _, token := range []string{i.mia.refresh + "A", i.mia.refresh[:len(i.mia.refresh)-1], i.mia.token, i.mia.again, "srt_", "x", strings.ToUpper(i.mia.refresh)} {
			got := i.send(operation{Allowed: post}, attempt{path: "/v1/tokens", body: fmt.Sprintf(`{"refresh_token":%q}`, token)})
			if got.code != "unauthorized" {
				i.t.Errorf("refresh by %.20s: %d %s", token, got.status, got.body)
			}
		}
	})
}

// known asks about somebody who is there and somebody who is not: the answers are alike.
func (i *intruder) known() {
	const nobody, noPhone = "eva@example.org", "+4915112345679"
	post := operation{Allowed: post}
	wrong := func(password string) func(string) string {
		return func(to string) string { return signIn(to, password) }
	}
	for _, of := range []struct {
		path, token, known, unknown string
		body                        func(to string) string
		want                        string
	}{
		{"/v1/users", "", i.eve.email, nobody, func(to string) string { return registration(to, otherPassword) }, "ok"},
		{"/v1/sessions", "", i.eve.email, nobody, wrong(otherPassword), "credentials_refused"},
		{"/v1/sessions", "", strings.ToUpper(i.eve.email), strings.ToUpper(nobody), wrong("x"), "credentials_refused"},
		{"/v1/password_resets", "", i.eve.email, nobody, func(to string) string { return fmt.Sprintf(`{"email":%q}`, to) }, "ok"},
		{"/v1/phone_codes", "", i.eve.phone, noPhone, byPhone, "ok"},
		{"/v1/me/email_codes", i.mia.token, i.eve.email, nobody, newEmail, "ok"},
		{"/v1/me/phone_codes", i.mia.token, i.eve.phone, noPhone, newPhone, "ok"},
		{"/v1/sellers/" + i.mia.own["seller_id"] + "/invitations", i.mia.token, i.eve.email, nobody, func(to string) string { return inviting(to, "member") }, "ok"},
	} {
		one := i.send(post, attempt{path: of.path, token: of.token, body: of.body(of.known)})
		two := i.send(post, attempt{path: of.path, token: of.token, body: of.body(of.unknown)})
		if one.code != of.want || shape(one) != shape(two) {
			i.t.Errorf("%s: of who is known %d %s, of who is not %d %s", of.path, one.status, one.body, two.status, two.body)
		}
		var challenges [2]struct {
			ID string `json:"challenge_id"`
		}
		for n, got := range []reply{one, two} {
			if json.Unmarshal([]byte(got.body), &challenges[n]) != nil || challenges[n].ID == "" {
				continue
			}
			path := strings.Replace(of.path, "/v1/users", "/v1/verifications", 1) + "/" + challenges[n].ID
			body := `{"code":"00000000"}`
			if of.path == "/v1/password_resets" {
				body = `{"code":"00000000","password":"` + otherPassword + `"}`
			}
			if got := i.send(post, attempt{path: path, token: of.token, body: body}); got.code != "code_refused" {
				i.t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	}
	i.settles()
}

// erased asks as somebody who was.
func (i *intruder) erased() {
	c := i.contract
	c.write("DELETE", "/v1/me", i.eve.token, "erase", `{"confirm":"erase"}`, "ok")
	i.settles()
	i.walk("unauthorized", func(o operation) []attempt {
		if !o.people() {
			return nil
		}
		a := attempt{what: "an ended session", token: i.eve.token, path: i.path(o, i.eve.own), body: i.like(o)}
		if o.Method == http.MethodGet && !o.Live {
			// Until the token's ten minutes are over, or Kafka has told of the end, these say that there is nothing.
			a.want = map[string]string{"ShowMe": "ok", "ListMySellers": "ok", "ShowCart": "ok", "ListShares": "ok"}[o.Operation]
		}
		if !strings.Contains(o.Roles, "shopper") && !strings.Contains(o.Roles, "seller_") { // which is nothing that she may do
			a.want = "forbidden"
		}
		return []attempt{a}
	})
	post := operation{Allowed: post}
	i.unchanged("an erased user", func() {
		for body, path := range map[string]string{
			fmt.Sprintf(`{"refresh_token":%q}`, i.eve.refresh): "/v1/tokens",
			signIn(i.eve.email, goodPassword):                  "/v1/sessions",
			strings.Replace(signIn(i.eve.email, goodPassword), "}", fmt.Sprintf(`,"device_token":%q}`, i.eve.again), 1): "/v1/sessions",
		} {
			if got := i.send(post, attempt{path: path, body: body}); got.code != "unauthorized" && got.code != "credentials_refused" {
				i.t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	})
	// A token of a shop that has accounts of its own names no session.
	other := c.token(i.eve.id, auth.RoleShopper)
	for _, o := range i.operations {
		if !strings.Contains(o.Roles, "shopper") {
			continue
		}
		i.unchanged(o.Method+" "+o.Path, func() {
			got := i.send(o, attempt{token: other, path: i.path(o, i.eve.own), body: i.like(o)})
			if nothing := nothingLeft[o.Operation]; got.status < 400 && (nothing == "" || !strings.Contains(got.body+"204", nothing)) {
				i.t.Errorf("%s %s of an erased user without a session: %d %s", o.Method, o.Path, got.status, got.body)
			}
		})
	}
}

// nothingLeft is what the operations say that do not refuse who is erased.
var nothingLeft = map[string]string{
	"ShowCart": `"lines":[]`, "EmptyCart": `"lines":[]`, "RemoveLine": `"lines":[]`, "ListShares": `"data":[]`,
	"ShowMe": `"state":"erased"`, "EraseMe": "204", "EndOtherSessions": "204", "ShowFactor": `"active":false`,
	"ListMySellers": `"data":[]`, "ListSessions": `"data":[]`, "ListSignIns": `"data":[]`, "ListIdentities": `"data":[]`,
}
