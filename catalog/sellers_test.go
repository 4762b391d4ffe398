package catalog_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sluice/core/auth"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

const application = `{"legal_name":"Mia Miller GmbH","licence_no":"HRB 12345","address":{"country":"DE","divisions":["DE-BE"],"text":"Hauptstr. 1, 10115 Berlin"},` +
	`"documents":[{"kind":"licence","key":"applications/2026/hrb.pdf","sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}`

// everyValue executes a statement in all places of values, where sellers are.
func (s *shop) everyValue(statement string) {
	s.t.Helper()
	for _, p := range s.databases().All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(p.Name, err)
		}
	}
}

// reviewed are the users of the tests of sellers, by their tokens.
type reviewed struct{ owner, other, support, ops string }

func (c *contract) people() reviewed {
	c.t.Helper()
	tokens := map[int64]string{}
	for user, role := range map[int64]string{21: "", 22: "", 31: "support", 32: "ops"} {
		c.makeUser(user)
		if role != "" {
			c.grant(user, role)
		}
		tokens[user] = c.provedToken(user)
	}
	return reviewed{tokens[21], tokens[22], tokens[31], tokens[32]}
}

// seen sends a write of what the client has seen in a version.
func (c *contract) seen(version int, method, path, token, key, body, want string) contracttest.Answer {
	c.t.Helper()
	return c.shoot(shot{
		Method: method, Path: path, Token: token, Body: body, Want: want, Header: http.Header{"Idempotency-Key": {key}, "If-Match": {fmt.Sprintf("%q", strconv.Itoa(version))}},
	})
}

// unseen sends such a write without the version, which is no request of the document.
func (c *contract) unseen(method, path, token, body string) {
	c.t.Helper()
	c.shoot(shot{Method: method, Path: path, Token: token, Body: body, Want: "if_match_missing", Undocumented: true})
}

// exerciseRoles grants and takes away.
func (c *contract) exerciseRoles() {
	c.t.Helper()
	const path = "/v1/users/22/roles"
	set := func(user, role, body, want string, undocumented bool) {
		c.t.Helper()
		c.shoot(shot{Method: "PUT", Path: "/v1/users/" + user + "/roles/" + role, Token: c.admin, Body: body, Want: want, Undocumented: undocumented})
	}
	list := func() string {
		c.t.Helper()
		return c.shoot(shot{Method: "GET", Path: path, Token: c.admin, Want: "ok"}).Body
	}
	const grant, revoke = `{"granted":true,"reason":"she helps"}`, `{"granted":false,"reason":"she has left"}`
	queue := shot{Method: "GET", Path: "/v1/seller_reviews", Token: c.token(22, auth.RoleShopper), Want: "forbidden"}
	c.shoot(queue)
	for range 2 {
		set("22", "support", grant, "ok", false)
	}
	for _, want := range []string{`"role":"support"`, `"granted_by":"admin:1"`, `"reason":"she helps"`} {
		if got := list(); !strings.Contains(got, want) {
			c.t.Errorf("%s is not in %s", want, got)
		}
	}
	queue.Want = "ok"
	c.shoot(queue)
	set("22", "support", revoke, "ok", false)
	set("22", "support", revoke, "ok", false)
	queue.Want = "forbidden"
	c.shoot(queue)
	if got := list(); got != `{"data":[]}` && got != "{\"data\":[]}\n" {
		c.t.Errorf("the roles are %s", got)
	}
	acts := c.shoot(shot{Method: "GET", Path: "/v1/audit?object=user:22", Token: c.admin, Want: "ok"})
	for _, want := range []string{`"act":"role.grant"`, `"act":"role.revoke"`, `"why":"she has left"`} {
		if strings.Count(acts.Body, want) != 1 {
			c.t.Errorf("%s is not once in %s", want, acts.Body)
		}
	}
	set("4242", "ops", grant, "unknown_user", false)
	c.shoot(shot{Method: "GET", Path: "/v1/users/4242/roles", Token: c.admin, Want: "unknown_user"})
	c.everywhere("UPDATE users__ SET state = 'locked' WHERE user_id IN (22, 31)")
	set("22", "ops", grant, "wrong_state", false)
	c.everywhere("UPDATE users__ SET state = 'active' WHERE user_id IN (22, 31)")
	for _, wrong := range []struct{ role, body string }{
		{"admin", grant},
		{"seller_owner", grant},
		{"none", grant},
		{"ops", `{"granted":true}`},
		{"ops", `{"granted":true,"reason":""}`},
		{"ops", `{"granted":"yes","reason":"x"}`},
		{"ops", `{"granted":true,"reason":"a\nb"}`},
	} {
		set("22", wrong.role, wrong.body, "malformed", true)
	}
	c.exerciseForm(shot{Method: "GET", Path: path, Token: c.admin})
	c.exerciseForm(shot{Method: "PUT", Path: path + "/ops", Token: c.admin, Body: grant})
}

// exerciseSellers goes the way of a seller from its application on.
func (c *contract) exerciseSellers() {
	who := c.people()
	c.exerciseRoles()
	first := c.write("POST", "/v1/sellers", who.owner, "a", application, "ok")
	again := c.write("POST", "/v1/sellers", who.owner, "a", application, "ok")
	c.write("POST", "/v1/sellers", who.owner, "a", strings.Replace(application, "Mia", "Eve", 1), "mismatch")
	if first.Body != again.Body || first.JSON["state"] != "applied" || first.Header.Get("Etag") != `"1"` {
		c.t.Errorf("applied: %s, again: %s, ETag %q", first.Body, again.Body, first.Header.Get("Etag"))
	}
	id := c.text(first, "seller_id")
	c.exerciseApplication(who, id)
	c.exerciseReview(who, id)
	c.exerciseMoves(who, id)
	c.exerciseRejection(who)
	c.exerciseSellerForms(who, id)
}

func (c *contract) exerciseApplication(who reviewed, id string) {
	c.t.Helper()
	path := "/v1/sellers/" + id + "/application"
	shown := c.shoot(shot{Method: "GET", Path: path, Token: who.owner, Want: "ok"})
	if shown.JSON["legal_name"] != "Mia Miller GmbH" || shown.Header.Get("Etag") != `"1"` {
		c.t.Errorf("the application is %s", shown.Body)
	}
	c.shoot(shot{Method: "GET", Path: path, Token: who.other, Want: "unknown_seller"})
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id, Want: "unknown_seller"}) // it has not opened
	put := func(token, key, version, body, want string, undocumented bool) contracttest.Answer {
		c.t.Helper()
		h := http.Header{"Idempotency-Key": {key}, "If-Match": {version}}
		if version == "" {
			delete(h, "If-Match")
		}
		return c.shoot(shot{Method: "PUT", Path: path, Token: token, Header: h, Body: body, Want: want, Undocumented: undocumented})
	}
	other := strings.Replace(application, "HRB 12345", "HRB 54321", 1)
	put(who.owner, "p", "", other, "if_match_missing", true)
	put(who.owner, "p", `"7"`, other, "changed_since", false)
	put(who.other, "p", `"1"`, other, "unknown_seller", false)
	done := put(who.owner, "p", `"1"`, other, "ok", false)
	put(who.owner, "p", `"1"`, other, "ok", false)
	put(who.owner, "p", `"1"`, application, "mismatch", false)
	put(who.owner, "q", `"1"`, other, "changed_since", false)
	if shown := c.shoot(shot{Method: "GET", Path: path, Token: who.owner, Want: "ok"}); done.Header.Get("Etag") != `"2"` || shown.JSON["licence_no"] != "HRB 54321" {
		c.t.Errorf("changed to %s", shown.Body)
	}
	for _, version := range []string{"1", `"0"`, `"01"`, `W/"1"`, "*", `"1", "2"`, `""`} {
		put(who.owner, "p", version, other, "malformed", true)
	}
	mine := c.shoot(shot{Method: "GET", Path: "/v1/me/sellers", Token: who.owner, Want: "ok"})
	none := c.shoot(shot{Method: "GET", Path: "/v1/me/sellers", Token: who.other, Want: "ok"})
	if strings.Count(mine.Body, id) != 1 || !strings.Contains(mine.Body, `"role":"owner"`) || strings.Contains(none.Body, id) {
		c.t.Errorf("mine: %s, the other's: %s", mine.Body, none.Body)
	}
	for _, change := range [][2]string{
		{"Mia Miller GmbH", ""},
		{"Mia Miller GmbH", `a\u0000b`},
		{"HRB 12345", "-"},
		{`"DE",`, `"de",`},
		{"DE-BE", "de_be"},
		{"licence\",\"key", `passport","key`},
		{"applications/", "https://x/"},
		{"applications/", "../"},
		{"e3b0c442", "E3B0C442"},
		{`"licence_no"`, `"state":"open","licence_no"`},
		{`[{"kind`, `[],"x":[{"kind`},
		{`"documents":[`, `"documents":["x",`},
		{"Hauptstr.", strings.Repeat("x", 200)},
	} {
		c.shoot(shot{Method: "POST", Path: "/v1/sellers", Token: who.owner, Body: strings.Replace(application, change[0], change[1], 1), Want: "malformed", Undocumented: true})
	}
}

func (c *contract) exerciseReview(who reviewed, id string) {
	c.t.Helper()
	review := "/v1/seller_reviews/" + id
	queue := func() string {
		c.t.Helper()
		return c.shoot(shot{Method: "GET", Path: "/v1/seller_reviews", Token: who.support, Want: "ok"}).Body
	}
	if !strings.Contains(queue(), id) {
		c.t.Error("it is not in the queue")
	}
	const yes, no = `{"approve":true,"reason":"the register has it"}`, `{"approve":false,"reason":"x"}`
	c.seen(3, "POST", review+"/decision", c.token(31, auth.RoleShopper), "early", yes, "step_up_required") // it is of no session
	c.seen(3, "POST", review+"/decision", who.support, "early", yes, "wrong_state")                        // nobody has claimed it
	claimed := c.write("POST", review+"/claim", who.support, "c", "", "ok")
	if claimed.JSON["state"] != "in_review" || strings.Contains(queue(), id) {
		c.t.Errorf("claimed: %s, the queue: %s", claimed.Body, queue())
	}
	c.seen(2, "POST", review+"/decision", who.support, "unseen", yes, "changed_since")
	c.unseen("POST", review+"/decision", who.support, yes)
	c.write("POST", review+"/claim", who.ops, "c", "", "review_claimed")
	c.seen(3, "POST", review+"/decision", who.ops, "d", no, "review_claimed")
	c.shoot(shot{
		Method: "PUT", Path: "/v1/sellers/" + id + "/application", Token: who.owner, Body: application, Want: "wrong_state", Header: http.Header{"If-Match": {`"3"`}},
	})
	c.seen(3, "PUT", "/v1/sellers/"+id+"/state", who.ops, "m", `{"state":"open","reason":"a short cut"}`, "wrong_state")
	c.everyValue("UPDATE sellers__ SET claim_ends_at = NOW(3) - INTERVAL 1 SECOND WHERE claimed_by IS NOT NULL")
	if !strings.Contains(queue(), id) {
		c.t.Error("a claim that has ended keeps it from the queue")
	}
	c.seen(3, "POST", review+"/decision", who.support, "late", yes, "wrong_state")
	c.write("POST", review+"/claim", who.support, "c2", "", "ok")
	c.seen(3, "POST", review+"/decision", who.support, "d", yes, "ok")
	c.seen(3, "POST", review+"/decision", who.support, "d", yes, "ok")
	c.seen(3, "POST", review+"/decision", who.support, "d", no, "mismatch")
	c.write("POST", review+"/claim", who.support, "c3", "", "ok")
	c.seen(3, "POST", review+"/decision", who.support, "d2", yes, "second_reviewer")
	c.everyValue("UPDATE sellers__ SET claim_ends_at = NOW(3) - INTERVAL 1 SECOND WHERE claimed_by IS NOT NULL")
	c.write("POST", review+"/claim", who.ops, "c4", "", "ok")
	shown := c.shoot(shot{Method: "GET", Path: review, Token: who.ops, Want: "ok"})
	if !strings.Contains(shown.Body, `"approvals":["31"]`) || !strings.Contains(shown.Body, `"claimed_by":"32"`) || !strings.Contains(shown.Body, "HRB 54321") || shown.Header.Get("Etag") != `"3"` {
		c.t.Errorf("the review is %s", shown.Body)
	}
	if opened := c.seen(3, "POST", review+"/decision", who.ops, "d", yes, "ok"); opened.JSON["state"] != "open" {
		c.t.Errorf("approved twice: %s", opened.Body)
	}
	c.write("POST", review+"/claim", who.ops, "c5", "", "wrong_state")
	public := c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id, Want: "ok"})
	if public.JSON["legal_name"] != "Mia Miller GmbH" || strings.Contains(public.Body, "HRB") || strings.Contains(public.Body, "pdf") {
		c.t.Errorf("anybody sees %s", public.Body)
	}
	acts := c.shoot(shot{Method: "GET", Path: "/v1/audit?act=seller.approve", Token: c.admin, Want: "ok"})
	if strings.Count(acts.Body, `"act":"seller.approve"`) != 2 || !strings.Contains(acts.Body, `"actor":"ops:32"`) || !strings.Contains(acts.Body, `"why":"the register has it"`) {
		c.t.Errorf("the acts are %s", acts.Body)
	}
}

func (c *contract) exerciseMoves(who reviewed, id string) {
	c.t.Helper()
	move := func(version int, token, key, state, want string) {
		c.t.Helper()
		body := fmt.Sprintf(`{"state":%q,"reason":"complaint 4711"}`, state)
		got := c.seen(version, "PUT", "/v1/sellers/"+id+"/state", token, key, body, want)
		if want == "ok" && got.JSON["state"] != state {
			c.t.Errorf("moved to %s: %s", state, got.Body)
		}
	}
	move(4, c.token(32, auth.RoleShopper), "m1", "suspended", "step_up_required")
	move(4, who.ops, "m1", "suspended", "ok")
	move(4, who.ops, "m1", "suspended", "ok")
	move(4, who.ops, "m1", "open", "mismatch")
	move(5, who.ops, "m2", "suspended", "ok") // it is so already
	move(4, who.ops, "m2b", "open", "changed_since")
	c.unseen("PUT", "/v1/sellers/"+id+"/state", who.ops, `{"state":"open","reason":"x"}`)
	move(5, who.ops, "m3", "closed", "wrong_state")
	move(5, c.admin, "m4", "open", "ok")
	move(6, c.admin, "m5", "closing", "ok")
	move(7, who.ops, "m6", "open", "wrong_state")
	move(7, who.ops, "m7", "closed", "ok")
	c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id, Want: "ok"})
	history := c.shoot(shot{Method: "GET", Path: "/v1/seller_reviews/" + id, Token: who.support, Want: "ok"})
	if got := strings.Count(history.Body, `"to":`); got != 7 || strings.Count(history.Body, "complaint 4711") != 4 {
		c.t.Errorf("%d moves: %s", got, history.Body)
	}
}

// exerciseRejection has one that is rejected, by support who apply too.
func (c *contract) exerciseRejection(who reviewed) {
	c.t.Helper()
	own := c.text(c.write("POST", "/v1/sellers", who.support, "own", application, "ok"), "seller_id")
	c.write("POST", "/v1/seller_reviews/"+own+"/claim", who.support, "own", "", "own_seller")
	c.seen(1, "POST", "/v1/seller_reviews/"+own+"/decision", who.support, "own", `{"approve":true,"reason":"I am good"}`, "own_seller")
	c.write("POST", "/v1/seller_reviews/"+own+"/claim", who.ops, "r", "", "ok")
	c.seen(2, "POST", "/v1/seller_reviews/"+own+"/decision", who.ops, "r", `{"approve":false,"reason":"the licence has ended"}`, "ok")
	shown := c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + own + "/application", Token: who.support, Want: "ok"})
	if shown.JSON["state"] != "rejected" || shown.JSON["reason"] != "the licence has ended" {
		c.t.Errorf("rejected: %s", shown.Body)
	}
	var waiting []string
	for i := range 5 {
		waiting = append(waiting, c.text(c.write("POST", "/v1/sellers", who.other, fmt.Sprint("many", i), application, "ok"), "seller_id"))
	}
	c.write("POST", "/v1/sellers", who.other, "many5", application, "wrong_state")
	c.write("POST", "/v1/sellers", who.other, "many0", application, "ok")
	var found []string
	for path := "/v1/seller_reviews?limit=2"; path != ""; {
		page := c.shoot(shot{Method: "GET", Path: path, Token: who.support, Want: "ok"})
		data, _ := page.JSON["data"].([]any)
		for _, item := range data {
			of, _ := item.(map[string]any)
			found = append(found, fmt.Sprint(of["seller_id"]))
		}
		path = ""
		if next, ok := page.JSON["next_cursor"].(string); ok {
			path = "/v1/seller_reviews?limit=2&cursor=" + next
		}
	}
	if strings.Join(found, " ") != strings.Join(waiting, " ") {
		c.t.Errorf("by pages %v, want %v", found, waiting)
	}
	for _, query := range []string{"?limit=0", "?cursor=x", "?cursor=1"} {
		c.shoot(shot{Method: "GET", Path: "/v1/seller_reviews" + query, Token: who.support, Want: "malformed", Undocumented: true})
	}
	ops := c.text(c.write("POST", "/v1/sellers", who.ops, "own", application, "ok"), "seller_id")
	c.seen(1, "PUT", "/v1/sellers/"+ops+"/state", who.ops, "own", `{"state":"open","reason":"I am good"}`, "own_seller")
}

// sellerShots are requests of all operations of sellers, but that anybody may make.
func (c *contract) sellerShots(who reviewed, id string) []shot {
	return []shot{
		{Method: "GET", Path: "/v1/me/sellers", Token: who.owner},
		{Method: "POST", Path: "/v1/sellers", Token: who.owner, Body: application},
		{Method: "GET", Path: "/v1/sellers/" + id + "/application", Token: who.owner},
		{Method: "PUT", Path: "/v1/sellers/" + id + "/application", Token: who.owner, Body: application, Header: http.Header{"If-Match": {`"1"`}}},
		{Method: "PUT", Path: "/v1/sellers/" + id + "/state", Token: who.ops, Body: `{"state":"open","reason":"x"}`, Header: http.Header{"If-Match": {`"1"`}}},
		{Method: "GET", Path: "/v1/seller_reviews", Token: who.support},
		{Method: "GET", Path: "/v1/seller_reviews/" + id, Token: who.support},
		{Method: "POST", Path: "/v1/seller_reviews/" + id + "/claim", Token: who.support},
		{Method: "POST", Path: "/v1/seller_reviews/" + id + "/decision", Token: who.support, Body: `{"approve":true,"reason":"x"}`, Header: http.Header{"If-Match": {`"1"`}}},
	}
}

func (c *contract) exerciseSellerForms(who reviewed, id string) {
	c.t.Helper()
	c.exerciseFormsOf(c.sellerShots(who, id), id)
	c.exerciseForm(shot{Method: "GET", Path: "/v1/sellers/" + id})
	for _, state := range []string{"applied", "in_review", "rejected", "gone", ""} {
		c.shoot(shot{Method: "PUT", Path: "/v1/sellers/" + id + "/state", Token: who.ops, Body: fmt.Sprintf(`{"state":%q,"reason":"x"}`, state), Header: http.Header{"If-Match": {`"1"`}}, Want: "malformed", Undocumented: true})
	}
	c.sellers = append(c.sellerShots(who, id), shot{Method: "GET", Path: "/v1/sellers/" + id})
}

// exerciseFormsOf sends requests about a seller in every wrong form, and about others than sellers.
func (c *contract) exerciseFormsOf(all []shot, id string) {
	c.t.Helper()
	for _, s := range all {
		if strings.Contains(s.Path, id) {
			unknown := s
			unknown.Path, unknown.Want = strings.Replace(s.Path, id, "sel_0000000000015", 1), "unknown_seller"
			c.shoot(unknown)
			for _, wrong := range []string{"SEL_0000000000015", "ses_0000000000015", "7"} {
				unknown.Path, unknown.Want, unknown.Undocumented = strings.Replace(s.Path, id, wrong, 1), "malformed", true
				c.shoot(unknown)
			}
		}
		c.exerciseForm(s)
	}
}

// exerciseSellersOutage takes the tables of sellers away.
func (c *contract) exerciseSellersOutage() {
	c.t.Helper()
	c.everyValue("RENAME TABLE sellers__ TO no_sellers__, seller_members__ TO no_members__, seller_api_keys__ TO no_keys__")
	for _, s := range c.sellers {
		s.Want = "unavailable"
		c.shoot(s)
	}
	c.shoot(shot{Method: "GET", Path: "/v1/users/7/roles", Token: c.admin, Want: "unavailable"})
	c.shoot(shot{Method: "PUT", Path: "/v1/users/7/roles/ops", Token: c.admin, Body: `{"granted":true,"reason":"x"}`, Want: "unavailable"})
}
