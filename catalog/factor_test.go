package catalog_test

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"sluice/catalog"
	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

// silent starts a process of the shop that sends no e-mail, and returns how to ask it, in the name of an operation.
func (c *contract) silent() (ask func(operation string, s shot), stop func()) {
	c.t.Helper()
	cfg := c.cfg
	cfg.Messages.Inbox = false
	node, err := catalog.Start(c.t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	d := contracttest.Open(c.t, document, node.Addr(), c.http)
	ask = func(operation string, s shot) {
		c.t.Helper()
		s.Want = "no_channel"
		d.Shoot(c.t, s)
		c.document.Saw(operation, "no_channel")
	}
	return ask, func() {
		if err := node.Shutdown(c.t.Context()); err != nil {
			c.t.Error(err)
		}
	}
}

// exerciseFactors goes the way of a user who adds a second factor and removes it.
func (c *contract) exerciseFactors() {
	const tom = "tom@example.org"
	code := func(text string) string { return fmt.Sprintf(`{"code":%q}`, text) }
	password := fmt.Sprintf(`{"password":%q}`, goodPassword)
	asked := c.write("POST", "/v1/users", "", "t", registration(tom, goodPassword), "ok")
	made := c.write("POST", "/v1/verifications/"+c.text(asked, "challenge_id"), "", "t", code(c.code(tom, "verify_email")), "ok")
	first := c.write("POST", "/v1/sessions", "", "t", signIn(tom, goodPassword), "ok")
	me := c.text(first, "access_token")
	silent, stop := c.silent()
	defer stop()

	const age = "UPDATE sessions__ SET proved_at = proved_at - INTERVAL 5 MINUTE"
	c.everywhere(age)
	for _, path := range []string{"/v1/me/totp", "/v1/me/totp/recovery_codes", "/v1/me/totp/removal"} {
		body := ""
		if strings.HasSuffix(path, "removal") {
			body = password
		}
		if got := c.write("POST", path, me, "early", body, "step_up_required"); got.Status != 403 {
			c.t.Errorf("%s: %d", path, got.Status)
		}
	}
	c.write("DELETE", "/v1/me", me, "early", `{"confirm":"erase"}`, "step_up_required")
	c.write("POST", "/v1/me/step_up", me, "u", fmt.Sprintf(`{"password":%q}`, otherPassword), "credentials_refused")
	c.write("POST", "/v1/me/step_up", me, "u", code("123456"), "wrong_state")
	user, err := strconv.ParseInt(c.text(made, "user_id"), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write("POST", "/v1/me/step_up", c.token(user, auth.RoleShopper), "u", password, "unknown_session") // a token of no session
	c.write("POST", "/v1/me/step_up", me, "u", password, "ok")
	c.write("POST", "/v1/me/totp/recovery_codes", me, "none", "", "wrong_state")
	c.write("POST", "/v1/me/totp/confirmation", me, "none", code("123456"), "wrong_state")
	begun := c.write("POST", "/v1/me/totp", me, "b", "", "ok")
	if again := c.write("POST", "/v1/me/totp", me, "b", "", "ok"); again.Body != begun.Body {
		c.t.Errorf("begun with %s, again: %s", begun.Body, again.Body)
	}
	began := time.Now()
	shown := func(later int) string {
		text, err := totp.GenerateCode(c.text(begun, "secret"), began.Add(time.Duration(later)*30*time.Second))
		if err != nil {
			c.t.Fatal(err)
		}
		return text
	}
	c.write("POST", "/v1/me/totp/confirmation", me, "c", code(shown(9)), "code_refused")
	silent("confirmFactor", shot{Method: "POST", Path: "/v1/me/totp/confirmation", Token: me, Body: code(shown(0))})
	confirmed := c.write("POST", "/v1/me/totp/confirmation", me, "c", code(shown(0)), "ok")
	all, _ := confirmed.JSON["recovery_codes"].([]any)
	recovery := func(n int) string { return fmt.Sprint(all[n]) }
	c.write("POST", "/v1/me/totp", me, "again", "", "wrong_state")

	in := c.write("POST", "/v1/sessions", "", "second", signIn(tom, goodPassword), "ok")
	if in.Status != 202 || in.JSON["access_token"] != nil {
		c.t.Errorf("the password alone: %d %s", in.Status, in.Body)
	}
	second := "/v1/sessions/" + c.text(in, "challenge_id")
	c.write("POST", second, "", "f", code(shown(0)), "code_refused")
	silent("finishSignIn", shot{Method: "POST", Path: second, Body: code(recovery(0))})
	c.everywhere("UPDATE users__ SET state = 'locked'")
	c.write("POST", second, "", "f", code(recovery(0)), "user_locked")
	c.everywhere("UPDATE users__ SET state = 'active'")
	finish := fmt.Sprintf(`{"code":%q,"device_name":"a phone","device_token":%q}`, recovery(0), c.text(first, "device_token"))
	done := c.write("POST", second, "", "f", finish, "ok")
	c.write("POST", second, "", "f", finish, "ok")
	c.write("POST", "/v1/tokens", "", "t2", fmt.Sprintf(`{"refresh_token":%q}`, c.text(done, "refresh_token")), "ok")
	c.write("POST", second, "", "f", finish, "wrong_state")
	me = c.text(done, "access_token")

	c.write("POST", "/v1/me/step_up", me, "v", password, "wrong_state")
	c.write("POST", "/v1/me/step_up", me, "v", code(recovery(0)), "code_refused")
	silent("stepUp", shot{Method: "POST", Path: "/v1/me/step_up", Token: me, Body: code(recovery(1))})
	c.everywhere(age)
	c.write("POST", "/v1/me/totp/recovery_codes", me, "r", "", "step_up_required")
	c.write("POST", "/v1/me/step_up", me, "v", code(recovery(1)), "ok")
	if got := c.shoot(shot{Method: "GET", Path: "/v1/me/totp", Token: me, Want: "ok"}); got.JSON["active"] != true || fmt.Sprint(got.JSON["recovery_codes_left"]) != "8" {
		c.t.Errorf("the second factor is shown as %s", got.Body)
	}
	c.write("POST", "/v1/me/totp/recovery_codes", me, "r", "", "ok")
	c.write("POST", "/v1/me/totp/removal", me, "x", fmt.Sprintf(`{"password":%q}`, otherPassword), "credentials_refused")
	silent("removeFactor", shot{Method: "POST", Path: "/v1/me/totp/removal", Token: me, Body: password})
	c.everywhere("RENAME TABLE credentials__ TO kept__")
	c.everywhere("CREATE TABLE credentials__ LIKE kept__")
	c.write("POST", "/v1/me/totp/removal", me, "x", password, "wrong_state") // a user without a password
	c.everywhere("DROP TABLE credentials__")
	c.everywhere("RENAME TABLE kept__ TO credentials__")
	for range 2 {
		c.write("POST", "/v1/me/totp/removal", me, "x", password, "ok")
	}

	history := c.shoot(shot{Method: "GET", Path: "/v1/me/sign_ins", Token: me, Want: "ok"})
	if strings.Count(history.Body, `"outcome":"signed_in"`) != 2 || strings.Count(history.Body, `"outcome":"code_refused"`) != 1 ||
		strings.Count(history.Body, `"device_name":"a phone"`) != 1 || strings.Count(history.Body, `"network":"127.0.0.0/24"`) != 3 {
		c.t.Errorf("the sign-ins are %s", history.Body)
	}
	c.exerciseForm(shot{Method: "GET", Path: "/v1/me/sign_ins", Token: me})

	c.second, c.proved = second, me
	for _, s := range []shot{
		{Method: "POST", Path: second, Body: finish},
		{Method: "POST", Path: "/v1/me/step_up", Token: me, Body: password},
		{Method: "GET", Path: "/v1/me/totp", Token: me},
		{Method: "POST", Path: "/v1/me/totp", Token: me},
		{Method: "POST", Path: "/v1/me/totp/confirmation", Token: me, Body: code("123456")},
		{Method: "POST", Path: "/v1/me/totp/removal", Token: me, Body: password},
		{Method: "POST", Path: "/v1/me/totp/recovery_codes", Token: me},
	} {
		c.exerciseForm(s)
	}
	for path, body := range map[string]string{
		second: code("12345"), "/v1/me/totp/confirmation": code("abcde_fghij"), "/v1/me/totp/removal": `{}`,
		"/v1/me/step_up": fmt.Sprintf(`{"password":%q,"code":"123456"}`, goodPassword),
	} {
		c.shoot(shot{Method: "POST", Path: path, Token: me, Body: body, Want: "malformed", Undocumented: true})
	}
	c.shoot(shot{Method: "POST", Path: "/v1/me/step_up", Token: me, Body: `{}`, Want: "malformed", Undocumented: true})
	c.shoot(shot{Method: "GET", Path: "/v1/me/totp", Token: c.token(4711, auth.RoleShopper), Want: "ok"}) // who has no password has none

	c.everywhere("UPDATE sessions__ SET proved_at = NOW(3), proved_by = 'totp'")
	c.write("DELETE", "/v1/me", me, "erase", `{"confirm":"erase"}`, "ok")
	c.write("POST", "/v1/sessions", "", "gone", signIn(tom, goodPassword), "credentials_refused")
	c.write("DELETE", "/v1/me", me, "erase", `{"confirm":"erase"}`, "unauthorized")
}

// exerciseFactorsOutage asks while the tables of sessions and factors are away.
func (c *contract) exerciseFactorsOutage(me string) {
	c.t.Helper()
	c.everywhere("RENAME TABLE factors__ TO no_factors__, sign_ins__ TO no_sign_ins__")
	for _, s := range []shot{
		{Method: "POST", Path: c.second, Body: `{"code":"123456"}`},
		{Method: "POST", Path: "/v1/me/step_up", Token: me, Body: fmt.Sprintf(`{"password":%q}`, goodPassword)},
		{Method: "GET", Path: "/v1/me/totp", Token: me},
		{Method: "GET", Path: "/v1/me/sign_ins", Token: me},
		{Method: "POST", Path: "/v1/me/totp", Token: c.proved},
		{Method: "POST", Path: "/v1/me/totp/confirmation", Token: me, Body: `{"code":"123456"}`},
		{Method: "POST", Path: "/v1/me/totp/removal", Token: c.proved, Body: fmt.Sprintf(`{"password":%q}`, goodPassword)},
		{Method: "POST", Path: "/v1/me/totp/recovery_codes", Token: c.proved},
	} {
		s.Want = "unavailable"
		c.shoot(s)
	}
}
