package catalog_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"sluice/catalog"
	"sluice/catalog/notify"
	"sluice/core/auth"
	"sluice/core/lifecycle"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

// code is what the last message of a template to an address has, once it is there: messages come by tasks.
func (s *shop) code(to, template string) string {
	s.t.Helper()
	return s.codeAfter(to, template, "none")
}

// codeAfter is what the last one has, once that is another code.
func (s *shop) codeAfter(to, template, last string) (code string) {
	s.t.Helper()
	return s.found(to, template, last, codeForm)
}

// found is what the last message of a template to an address has of a form, once that is another text.
func (s *shop) found(to, template, last string, form *regexp.Regexp) (text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	err := lifecycle.Poll(ctx, 20*time.Millisecond, func() error {
		_, body := s.get("/messages?to=" + url.QueryEscape(to))
		var found []struct{ Template, Text string }
		if err := json.Unmarshal([]byte(body), &found); err != nil {
			return fmt.Errorf("%s: %w", body, err)
		}
		for _, m := range found { // the newest is the first
			if m.Template != template {
				continue
			}
			if text = form.FindString(m.Text); text != last {
				return nil
			}
			break
		}
		return fmt.Errorf("no %s to %s among %s", template, to, body)
	}, func(error) bool { return false })
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

var codeForm = regexp.MustCompile(`\b[0-9]{8}\b`)

const (
	goodPassword  = "correct horse battery staple"
	otherPassword = "staple battery horse correct"
)

func (c *contract) key(key string) http.Header { return http.Header{"Idempotency-Key": {key}} }

// write asks for a write under a key.
func (c *contract) write(method, path, token, key, body, want string) contracttest.Answer {
	c.t.Helper()
	return c.shoot(shot{Method: method, Path: path, Token: token, Header: c.key(key), Body: body, Want: want})
}

func (c *contract) text(a contracttest.Answer, member string) string {
	c.t.Helper()
	text, _ := a.JSON[member].(string)
	if text == "" {
		c.t.Errorf("%s has no %s", a.Body, member)
	}
	return text
}

func registration(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q,"region":"eu","locale":"de"}`, email, password)
}

func signIn(email, password string) string {
	return fmt.Sprintf(`{"email":%q,"password":%q}`, email, password)
}

// exerciseSignIn goes the way of a user from the registration on.
func (c *contract) exerciseSignIn() {
	const mia = "mia@example.org"
	asked := c.write("POST", "/v1/users", "", "r", registration(mia, goodPassword), "ok")
	c.write("POST", "/v1/users", "", "r", registration(mia, goodPassword), "ok")
	c.write("POST", "/v1/users", "", "r", registration(mia, otherPassword), "mismatch")
	c.write("POST", "/v1/users", "", "weak", registration("eve@example.org", "password1"), "password_refused")
	rival := c.write("POST", "/v1/users", "", "rival", registration("MIA@example.org", goodPassword), "ok")
	rivalCode := c.code("MIA@example.org", "verify_email")
	challenge, code := c.text(asked, "challenge_id"), c.code(mia, "verify_email")
	answer := func(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }
	c.write("POST", "/v1/verifications/"+challenge, "", "v", answer("00000000"), "code_refused")
	made := c.write("POST", "/v1/verifications/"+challenge, "", "v", answer(code), "ok")
	c.write("POST", "/v1/verifications/"+c.text(rival, "challenge_id"), "", "v", answer(rivalCode), "address_taken")
	const eve = "eve@denied.example"
	denied := c.text(c.write("POST", "/v1/users", "", "eve", registration(eve, goodPassword), "ok"), "challenge_id")
	c.write("POST", "/v1/verifications/"+denied, "", "v", answer(c.code(eve, "verify_email")), "registration_refused")

	first := c.write("POST", "/v1/sessions", "", "s", signIn("Mia@example.org", goodPassword), "ok")
	c.write("POST", "/v1/sessions", "", "s", signIn(mia, goodPassword), "ok")
	c.write("POST", "/v1/sessions", "", "s", signIn(mia, otherPassword), "credentials_refused")
	c.write("POST", "/v1/sessions", "", "other", fmt.Sprintf(`{"email":%q,"password":%q,"device_token":%q}`, mia, goodPassword, c.text(first, "device_token")), "ok")
	me := c.text(first, "access_token")
	if mine := c.shoot(shot{Method: "GET", Path: "/v1/me", Token: me, Want: "ok"}); mine.Body != made.Body {
		c.t.Errorf("made %s, seen as %s", made.Body, mine.Body)
	}
	refresh := func(token string) string { return fmt.Sprintf(`{"refresh_token":%q}`, token) }
	second := c.write("POST", "/v1/tokens", "", "t", refresh(c.text(first, "refresh_token")), "ok")
	c.write("POST", "/v1/tokens", "", "t", refresh("srt_none"), "unauthorized")
	c.write("POST", "/v1/sessions", "", "s", signIn(mia, goodPassword), "wrong_state")
	list := c.shoot(shot{Method: "GET", Path: "/v1/me/sessions", Token: c.text(second, "access_token"), Want: "ok"})
	if strings.Count(list.Body, `"session_id"`) != 2 || strings.Count(list.Body, `"current":true`) != 1 {
		c.t.Errorf("the sessions are %s", list.Body)
	}
	c.write("DELETE", "/v1/me/sessions", me, "d", "", "ok")
	c.write("DELETE", "/v1/me/sessions/ses_0000000000001", me, "d", "", "unknown_session")
	change := fmt.Sprintf(`{"current_password":%q,"password":%q}`, goodPassword, otherPassword)
	c.write("PUT", "/v1/me/password", me, "p", strings.Replace(change, otherPassword, "password1", 1), "password_refused")
	c.write("PUT", "/v1/me/password", me, "p", change, "ok")
	c.write("PUT", "/v1/me/password", me, "p", strings.Replace(change, otherPassword, "another password", 1), "credentials_refused")
	c.write("PUT", "/v1/me/password", c.token(7, auth.RoleShopper), "p", change, "wrong_state")
	c.write("DELETE", "/v1/me/sessions/"+c.text(first, "session_id"), me, "d", "", "ok")
	c.write("POST", "/v1/tokens", "", "t", refresh(c.text(second, "refresh_token")), "unauthorized")
	c.exerciseEndedSession(me, c.text(first, "session_id"), change)
	me = c.text(c.write("POST", "/v1/sessions", "", "back", signIn(mia, otherPassword), "ok"), "access_token")

	reset := c.text(c.write("POST", "/v1/password_resets", "", "a", `{"email":"mia@example.org"}`, "ok"), "challenge_id")
	fresh := func(code, password string) string { return fmt.Sprintf(`{"code":%q,"password":%q}`, code, password) }
	resetCode := c.code(mia, "reset_password")
	c.exerciseRefusedMessages(me, reset, fresh(resetCode, goodPassword))
	c.write("POST", "/v1/password_resets/"+reset, "", "n", fresh("00000000", goodPassword), "code_refused")
	c.write("POST", "/v1/password_resets/"+reset, "", "n", fresh(resetCode, "password1"), "password_refused")
	c.write("POST", "/v1/password_resets/"+reset, "", "n", fresh(resetCode, goodPassword), "ok")
	c.exerciseEndedSession(me, c.text(first, "session_id"), change)
	again := c.write("POST", "/v1/sessions", "", "again", signIn(mia, goodPassword), "ok")
	c.challenge, c.refresh, me = reset, c.text(again, "refresh_token"), c.text(again, "access_token")
	c.exerciseKeys(me)

	for _, s := range []shot{
		{Method: "POST", Path: "/v1/users", Body: registration("bob@example.org", goodPassword)},
		{Method: "POST", Path: "/v1/verifications/" + challenge, Body: answer(code)},
		{Method: "POST", Path: "/v1/sessions", Body: signIn(mia, goodPassword)},
		{Method: "POST", Path: "/v1/tokens", Body: refresh("x")},
		{Method: "POST", Path: "/v1/password_resets", Body: `{"email":"bob@example.org"}`},
		{Method: "POST", Path: "/v1/password_resets/" + reset, Body: fresh(code, goodPassword)},
		{Method: "GET", Path: "/.well-known/jwks.json"},
		{Method: "GET", Path: "/v1/me/sessions", Token: me},
		{Method: "DELETE", Path: "/v1/me/sessions", Token: me},
		{Method: "DELETE", Path: "/v1/me/sessions/ses_0000000000001", Token: me},
		{Method: "PUT", Path: "/v1/me/password", Token: me, Body: change},
	} {
		c.exerciseForm(s)
	}
	for _, body := range []string{
		registration("mia", goodPassword), registration("mіa@example.org", goodPassword), `{"email":"bob@example.org","password":"correct horse"}`,
		strings.Replace(registration("bob@example.org", goodPassword), "{", `{"user_id":"7",`, 1), strings.Replace(registration("bob@example.org", goodPassword), "{", `{"state":"active",`, 1),
	} {
		c.shoot(shot{Method: "POST", Path: "/v1/users", Body: body, Want: "malformed", Undocumented: true})
	}
	c.shoot(shot{Method: "POST", Path: "/v1/verifications/" + challenge, Body: answer("1"), Want: "malformed", Undocumented: true})
	c.shoot(shot{Method: "POST", Path: "/v1/sessions", Body: strings.Replace(signIn(mia, goodPassword), "}", `,"device_token":"`+strings.Repeat("x", 201)+`"}`, 1), Want: "malformed", Undocumented: true})
	c.everywhere("UPDATE users__ SET state = 'locked'")
	c.write("POST", "/v1/sessions", "", "locked", signIn(mia, goodPassword), "user_locked")
	c.everywhere("UPDATE users__ SET state = 'active'")
}

// exerciseRepeatedReset repeats a reset with the same password, and with another one.
func (c *contract) exerciseRepeatedReset() {
	const lou = "lou@example.org"
	asked := c.write("POST", "/v1/users", "", "lou", registration(lou, goodPassword), "ok")
	c.write("POST", "/v1/verifications/"+c.text(asked, "challenge_id"), "", "lou", fmt.Sprintf(`{"code":%q}`, c.code(lou, "verify_email")), "ok")
	reset := "/v1/password_resets/" + c.text(c.write("POST", "/v1/password_resets", "", "lou", fmt.Sprintf(`{"email":%q}`, lou), "ok"), "challenge_id")
	fresh := func(password string) string {
		return fmt.Sprintf(`{"code":%q,"password":%q}`, c.code(lou, "reset_password"), password)
	}
	c.write("POST", reset, "", "n", fresh(otherPassword), "ok")
	c.write("POST", reset, "", "n", fresh(otherPassword), "ok")
	c.write("POST", reset, "", "n", fresh(goodPassword), "mismatch")
}

// exerciseEndedSession has somebody who holds the token of a session that has ended: at once, nothing can be done with it about
// sessions and passwords, and nothing personal can be read.
func (c *contract) exerciseEndedSession(token, session, change string) {
	c.t.Helper()
	for _, path := range []string{
		"sessions", "identities", "sign_ins", "totp", "profile", "addresses", "addresses/" + noAddress, "consents", "data",
	} {
		c.shoot(shot{Method: "GET", Path: "/v1/me/" + path, Token: token, Want: "unauthorized"})
	}
	c.write("DELETE", "/v1/me/sessions", token, "over", "", "unauthorized")
	c.write("DELETE", "/v1/me/sessions/"+session, token, "over", "", "unauthorized")
	c.write("PUT", "/v1/me/password", token, "over", change, "unauthorized")
}

// exerciseRefusedMessages asks processes of the shop that send no e-mail, and none beyond those that were sent.
func (c *contract) exerciseRefusedMessages(me, reset, fresh string) {
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
		ask := func(operation string, s shot) {
			c.t.Helper()
			s.Want = want
			if got := d.Shoot(c.t, s); (got.Header.Get("Retry-After") != "") != (want == "too_many_messages") {
				c.t.Errorf("%s: %v", want, got.Header)
			}
			c.document.Saw(operation, want)
		}
		ask("registerUser", shot{Method: "POST", Path: "/v1/users", Body: registration("refused@example.org", goodPassword)})
		ask("askReset", shot{Method: "POST", Path: "/v1/password_resets", Body: `{"email":"mia@example.org"}`})
		if want == "no_channel" { // who may do the rest is not counted
			ask("resetPassword", shot{Method: "POST", Path: "/v1/password_resets/" + reset, Body: fresh})
			ask("changePassword", shot{Method: "PUT", Path: "/v1/me/password", Token: me, Body: fmt.Sprintf(`{"current_password":%q,"password":%q}`, otherPassword, goodPassword)})
		}
		if err := node.Shutdown(c.t.Context()); err != nil {
			c.t.Error(err)
		}
	}
}

// exerciseKeys verifies a token by what the shop publishes.
func (c *contract) exerciseKeys(token string) {
	c.t.Helper()
	document := c.shoot(shot{Method: "GET", Path: "/.well-known/jwks.json", Want: "ok"})
	keys, err := auth.ParsePublished([]byte(document.Body))
	if err != nil {
		c.t.Fatalf("%s: %v", document.Body, err)
	}
	shoppers := auth.NewShoppers()
	shoppers.Set(keys)
	v := auth.NewVerifier(c.keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10, Shoppers: shoppers})
	if who, err := v.Verify([]byte(token), time.Now()); err != nil || who.Role != auth.RoleShopper || who.Session < 1 {
		c.t.Errorf("%+v, %v", who, err)
	}
	var shown struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal([]byte(document.Body), &shown); err != nil || len(shown.Keys) != 2 || shown.Keys[0]["d"] != nil {
		c.t.Errorf("%s: %v", document.Body, err)
	}
}

// exerciseSignInOutage takes the tables of accounts away, where users are and where values are.
func (c *contract) exerciseSignInOutage(me string) {
	c.t.Helper()
	for _, p := range c.databases().All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(c.t.Context(), "RENAME TABLE claims__ TO nowhere__"); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, table := range []string{"challenges", "sessions", "identities"} {
		c.everywhere("RENAME TABLE " + table + "__ TO no_" + table + "__")
	}
	for _, s := range []shot{
		{Method: "POST", Path: "/v1/users", Body: registration("carl@example.org", goodPassword)},
		{Method: "POST", Path: "/v1/sessions", Body: signIn("carl@example.org", goodPassword)},
		{Method: "POST", Path: "/v1/password_resets", Body: `{"email":"carl@example.org"}`},
		{Method: "POST", Path: "/v1/verifications/" + c.challenge, Body: `{"code":"00000000"}`},
		{Method: "POST", Path: "/v1/password_resets/" + c.challenge, Body: fmt.Sprintf(`{"code":"00000000","password":%q}`, goodPassword)},
		{Method: "POST", Path: "/v1/tokens", Body: fmt.Sprintf(`{"refresh_token":%q}`, c.refresh)},
		{Method: "GET", Path: "/v1/me/sessions", Token: me},
		{Method: "DELETE", Path: "/v1/me/sessions", Token: me},
		{Method: "DELETE", Path: "/v1/me/sessions/ses_0000000000001", Token: me},
		{Method: "PUT", Path: "/v1/me/password", Token: me, Body: fmt.Sprintf(`{"current_password":%q,"password":%q}`, goodPassword, otherPassword)},
		{Method: "POST", Path: "/v1/phone_codes", Body: byPhone("+4915112345678")},
		{Method: "POST", Path: "/v1/phone_codes/" + c.challenge, Body: `{"code":"00000000"}`},
		{Method: "POST", Path: "/v1/me/phone_codes", Token: me, Body: `{"phone":"+4915112345678"}`},
		{Method: "POST", Path: "/v1/me/phone_codes/" + c.challenge, Token: me, Body: `{"code":"00000000"}`},
		{Method: "POST", Path: "/v1/me/email_codes", Token: me, Body: `{"email":"mia@example.net"}`},
		{Method: "POST", Path: "/v1/me/email_codes/" + c.challenge, Token: me, Body: `{"code":"00000000"}`},
		{Method: "GET", Path: "/v1/me/identities", Token: me},
		{Method: "DELETE", Path: "/v1/me/identities/idn_0000000000001", Token: me},
	} {
		s.Want = "unavailable"
		c.shoot(s)
	}
}
