package catalog_test

import (
	"fmt"
	"log/slog"

	"sluice/catalog"
	"sluice/catalog/notify"
	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

func newEmail(address string) string { return fmt.Sprintf(`{"email":%q}`, address) }

func firstEmail(address, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, address, password)
}

// exerciseEmails goes the way of a user who changes the address, and of one who has a phone only and adds one.
func (c *contract) exerciseEmails() {
	const lea, old, next, nobody = "lea@example.org", "noa@example.org", "noa@example.net", "nobody@example.net"
	answer := func(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }
	registered := c.write("POST", "/v1/users", "", "noa", registration(old, goodPassword), "ok")
	c.write("POST", "/v1/verifications/"+c.text(registered, "challenge_id"), "", "noa", answer(c.code(old, "verify_email")), "ok")
	me := c.text(c.write("POST", "/v1/sessions", "", "noa", signIn(old, goodPassword), "ok"), "access_token")
	other := c.text(c.write("POST", "/v1/sessions", "", "other", signIn(old, goodPassword), "ok"), "access_token")

	const ask = "/v1/me/email_codes"
	answerTo := func(asked contracttest.Answer) string { return ask + "/" + c.text(asked, "challenge_id") }
	c.write("POST", ask, me, "both", firstEmail(next, goodPassword), "wrong_state")
	last := c.code(lea, "verify_email")
	taken := answerTo(c.write("POST", ask, me, "taken", newEmail(lea), "ok"))
	c.write("POST", taken, me, "taken", answer(c.codeAfter(lea, "verify_email", last)), "address_taken")
	path := answerTo(c.write("POST", ask, me, "set", newEmail(next), "ok"))
	code := c.code(next, "verify_email")
	c.write("POST", path, me, "set", answer(wrongOf(code)), "code_refused")
	c.exerciseRefusedEmails(me, shot{Method: "POST", Path: path, Body: answer(code), Header: c.key("set")})
	set := c.write("POST", path, me, "set", answer(code), "ok")
	if again := c.write("POST", path, me, "set", answer(code), "ok"); again.Body != set.Body {
		c.t.Errorf("%s after %s", again.Body, set.Body)
	}
	c.code(old, "email_changed")
	c.shoot(shot{Method: "GET", Path: "/v1/me/identities", Token: other, Want: "unauthorized"})
	c.write("POST", "/v1/sessions", "", "old", signIn(old, goodPassword), "credentials_refused")
	c.write("POST", "/v1/sessions", "", "new", signIn(next, goodPassword), "ok")
	c.exerciseFirstEmail()

	stranger := c.token(9, auth.RoleShopper) // who has a token, and no session
	c.shoot(shot{Method: "POST", Path: ask, Token: stranger, Body: newEmail(nobody), Want: "step_up_required"})
	c.shoot(shot{Method: "POST", Path: path, Token: stranger, Body: answer(code), Want: "step_up_required"})
	for _, s := range []shot{{Method: "POST", Path: ask, Token: me, Body: newEmail(nobody)}, {Method: "POST", Path: path, Token: me, Body: answer(code)}} {
		c.exerciseForm(s)
	}
	for _, body := range []string{newEmail("noa"), newEmail("nоa@example.org"), newEmail(""), `{}`} {
		c.shoot(shot{Method: "POST", Path: ask, Token: me, Body: body, Want: "malformed", Undocumented: true})
	}
}

// exerciseFirstEmail has a user who has a phone only.
func (c *contract) exerciseFirstEmail() {
	const ask, phone, ida, other = "/v1/me/email_codes", "+4915133333333", "ida@example.org", "ida@example.net"
	answer := func(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }
	asked := c.write("POST", "/v1/phone_codes", "", "ida", byPhone(phone), "ok")
	in := c.write("POST", "/v1/phone_codes/"+c.text(asked, "challenge_id"), "", "ida", answer(c.code(phone, "sign_in_code")), "ok")
	me := c.text(in, "access_token")
	c.write("POST", ask, me, "first", newEmail(ida), "wrong_state")
	c.write("POST", ask, me, "first", firstEmail(ida, "password1"), "password_refused")
	first := c.write("POST", ask, me, "first", firstEmail(ida, goodPassword), "ok")
	c.write("POST", ask, me, "first", firstEmail(ida, goodPassword), "ok")
	c.write("POST", ask, me, "first", firstEmail(ida, otherPassword), "mismatch")
	second := c.write("POST", ask, me, "second", firstEmail(other, goodPassword), "ok")
	c.write("POST", ask+"/"+c.text(first, "challenge_id"), me, "first", answer(c.code(ida, "verify_email")), "ok")
	c.write("POST", ask+"/"+c.text(second, "challenge_id"), me, "second", answer(c.code(other, "verify_email")), "wrong_state")
	c.write("POST", "/v1/sessions", "", "ida", signIn(ida, goodPassword), "ok")
}

// exerciseRefusedEmails asks processes of the shop that send no e-mail, and none beyond those that were sent.
func (c *contract) exerciseRefusedEmails(me string, set shot) {
	c.t.Helper()
	for want, change := range map[string]func(*notify.Config){
		"no_channel":        func(m *notify.Config) { m.Inbox = false },
		"too_many_messages": func(m *notify.Config) { m.PerDay = 1 },
	} {
		cfg := c.cfg
		change(&cfg.Messages)
		node, err := catalog.Start(c.t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err != nil {
			c.t.Fatal(err)
		}
		d := contracttest.Open(c.t, document, node.Addr(), c.http)
		d.Shoot(c.t, shot{Method: "POST", Path: "/v1/me/email_codes", Token: me, Body: newEmail("refused@example.net"), Want: want})
		c.document.Saw("askNewEmail", want)
		if want == "no_channel" { // notices have no cap
			set.Token, set.Want = me, want
			d.Shoot(c.t, set)
			c.document.Saw("setEmail", want)
		}
		if err := node.Shutdown(c.t.Context()); err != nil {
			c.t.Error(err)
		}
	}
}
