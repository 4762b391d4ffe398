package catalog_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
)

// exerciseAssessments goes the way of two users who have to wait, and of who decides about them.
func (c *contract) exerciseAssessments() {
	other := c.token(3, auth.RoleAdmin)
	var waiting []string
	for _, name := range []string{"una", "ida"} {
		email := name + "@held.example"
		asked := c.text(c.write("POST", "/v1/users", "", name, registration(email, goodPassword), "ok"), "challenge_id")
		made := c.write("POST", "/v1/verifications/"+asked, "", name, fmt.Sprintf(`{"code":%q}`, c.code(email, "verify_email")), "ok")
		if made.JSON["state"] != "locked" {
			c.t.Errorf("%s is made as %s", name, made.Body)
		}
		c.write("POST", "/v1/sessions", "", name, signIn(email, goodPassword), "user_locked")
		waiting = append(waiting, "/v1/assessments/sign_up."+c.text(made, "user_id"))
	}
	first := c.shoot(shot{Method: "GET", Path: "/v1/assessments?limit=1", Token: c.admin, Want: "ok"})
	c.shoot(shot{Method: "GET", Path: "/v1/assessments?cursor=" + c.text(first, "next_cursor"), Token: c.admin, Want: "ok"})
	const yes, no = `{"allow":true,"reason":"she has called"}`, `{"allow":false,"reason":"a robot"}`
	claim := func(of, token, want string) { c.write("POST", of+"/claim", token, "c", "", want) }
	decide := func(of, token, body, want string) { c.write("POST", of+"/decision", token, "d", body, want) }
	decide(waiting[0], c.admin, yes, "wrong_state")
	claim(waiting[0], c.admin, "ok")
	claim(waiting[0], c.admin, "ok")
	claim(waiting[0], other, "wrong_state")
	decide(waiting[0], other, yes, "wrong_state")
	c.shoot(shot{
		Method: http.MethodPost, Path: waiting[0] + "/decision", Token: c.admin, Body: `{"allow":true,"reason":"a\nb"}`, Want: "malformed", Undocumented: true,
	})
	decide(waiting[0], c.admin, yes, "ok")
	decide(waiting[0], c.admin, yes, "ok")
	decide(waiting[0], c.admin, no, "wrong_state")
	c.makeUser(33)
	c.grant(33, "support")
	support := c.provedToken(33)
	claim("/v1/assessments/sign_up.33", support, "forbidden") // it is about themselves
	if got := c.write("POST", waiting[1]+"/claim", support, "c", "", "ok"); got.JSON["claimed_by"] != "support:33" {
		c.t.Errorf("claimed: %s", got.Body)
	}
	decide(waiting[1], c.token(33, auth.RoleShopper), no, "step_up_required") // it is of no session
	decide(waiting[1], support, no, "ok")
	if got := c.shoot(shot{Method: "GET", Path: "/v1/audit?act=review.decide&actor=support:33", Token: c.admin, Want: "ok"}); strings.Count(got.Body, `"a robot"`) != 1 {
		c.t.Errorf("the audit log has %s", got.Body)
	}
	c.write("POST", "/v1/sessions", "", "una", signIn("una@held.example", goodPassword), "ok")
	c.write("POST", "/v1/sessions", "", "ida", signIn("ida@held.example", goodPassword), "user_locked")
	claim("/v1/assessments/sign_up.9", c.admin, "unknown_assessment")
	decide("/v1/assessments/application.sel_0000000000009", c.admin, yes, "unknown_assessment")
	for _, id := range []string{"sign_up.0", "sign_up.07", "order.7", "7", "sign_up.9223372036854775808", "application.9", "sign_up.sel_0000000000009", "application.sel_000000000000u"} {
		c.shoot(shot{Method: http.MethodPost, Path: "/v1/assessments/" + id + "/claim", Token: c.admin, Want: "malformed", Undocumented: true})
	}
	for _, s := range []shot{
		{Method: "GET", Path: "/v1/assessments", Token: c.admin},
		{Method: "POST", Path: waiting[0] + "/claim", Token: c.admin},
		{Method: "POST", Path: waiting[0] + "/decision", Token: c.admin, Body: yes},
	} {
		c.exerciseForm(s)
	}
}

func (c *contract) exerciseAssessmentsOutage() {
	c.shoot(shot{Method: "GET", Path: "/v1/assessments", Token: c.admin, Want: "unavailable"})
	c.write("POST", "/v1/assessments/sign_up.9/claim", c.admin, "o", "", "unavailable")
	c.write("POST", "/v1/assessments/sign_up.9/decision", c.admin, "o", `{"allow":true,"reason":"x"}`, "unavailable")
}

// exerciseAssessedSellers goes the way of who applies to sell from countries that are denied, held and challenged.
func (c *contract) exerciseAssessedSellers() {
	ada, _ := c.newcomer("ada")
	support := c.provedToken(31)
	apply := func(token, key, country, want string) string {
		c.t.Helper()
		got := c.write("POST", "/v1/sellers", token, key, strings.Replace(application, `"DE"`, fmt.Sprintf("%q", country), 1), want)
		if want != "ok" {
			return ""
		}
		return c.text(got, "seller_id")
	}
	queue := func() string {
		c.t.Helper()
		return c.shoot(shot{Method: "GET", Path: "/v1/seller_reviews?limit=100", Token: support, Want: "ok"}).Body
	}
	decide := func(id, token string, allow bool, want string) {
		c.t.Helper()
		of := "/v1/assessments/application." + id
		c.write("POST", of+"/claim", token, "c", "", "ok")
		c.write("POST", of+"/decision", token, "d", fmt.Sprintf(`{"allow":%v,"reason":"we have called"}`, allow), want)
	}
	for range 2 {
		apply(ada, "x", "XX", "application_refused")
	}
	held, rejected, challenged, own := apply(ada, "y", "YY", "ok"), apply(ada, "y2", "YY", "ok"), apply(ada, "z", "ZZ", "ok"), apply(support, "own2", "YY", "ok")
	if all := queue(); strings.Contains(all, held) || strings.Contains(all, rejected) || !strings.Contains(all, challenged) {
		c.t.Errorf("the queue is %s", all)
	}
	c.write("POST", "/v1/seller_reviews/"+held+"/claim", support, "held", "", "wrong_state")
	list := c.shoot(shot{Method: "GET", Path: "/v1/assessments?limit=100", Token: c.admin, Want: "ok"})
	for _, id := range []string{held, rejected, challenged, own} {
		if !strings.Contains(list.Body, `"application.`+id+`"`) {
			c.t.Errorf("%s is not listed in %s", id, list.Body)
		}
	}
	decide(held, c.admin, true, "ok")
	decide(rejected, c.admin, false, "ok")
	c.write("POST", "/v1/assessments/application."+own+"/claim", support, "c", "", "forbidden")
	joined := "/v1/assessments/application." + apply(ada, "y3", "YY", "ok")
	c.write("POST", joined+"/claim", support, "c", "", "ok")
	c.everyValue("INSERT INTO seller_members__ (seller_id, user_id, role, since) SELECT subject, 31, 'member', NOW(3) FROM assess_answers__ WHERE moment = 'application' AND claimed_by LIKE '%:31'")
	c.write("POST", joined+"/decision", support, "d", `{"allow":true,"reason":"we have called"}`, "own_seller")
	if all := queue(); !strings.Contains(all, held) || strings.Contains(all, rejected) {
		c.t.Errorf("the queue is %s", all)
	}
	shown := c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + rejected + "/application", Token: ada, Want: "ok"})
	if shown.JSON["state"] != "rejected" || shown.JSON["reason"] != "we have called" {
		c.t.Errorf("rejected: %s", shown.Body)
	}
}
