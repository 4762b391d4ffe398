package catalog_test

import (
	"fmt"
	"log/slog"
	"strings"

	"sluice/catalog"
	"sluice/catalog/notify"
	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

func byPhone(phone string) string {
	return fmt.Sprintf(`{"phone":%q,"region":"eu","locale":"de"}`, phone)
}

func newPhone(phone string) string { return fmt.Sprintf(`{"phone":%q}`, phone) }

// exercisePhones goes the way of a user who signs in by phone, and of one who adds a phone to an account.
func (c *contract) exercisePhones() {
	const ann, bob, lea = "+4915112345678", "+4915187654321", "lea@example.org"
	answer := func(code string) string { return fmt.Sprintf(`{"code":%q}`, code) }
	asked := c.write("POST", "/v1/phone_codes", "", "p", `{"phone":"0151 1234-5678","country":"DE","region":"eu","locale":"de"}`, "ok")
	in, annCode := "/v1/phone_codes/"+c.text(asked, "challenge_id"), c.code(ann, "sign_in_code")
	c.write("POST", in, "", "e", answer(wrongOf(annCode)), "code_refused")
	tokens := c.write("POST", in, "", "e", answer(annCode), "ok")
	if again := c.write("POST", in, "", "e", answer(annCode), "ok"); again.JSON["session_id"] != tokens.JSON["session_id"] {
		c.t.Errorf("%s after %s", again.Body, tokens.Body)
	}
	c.write("POST", "/v1/tokens", "", "t", fmt.Sprintf(`{"refresh_token":%q}`, c.text(tokens, "refresh_token")), "ok")
	c.write("POST", in, "", "e", answer(annCode), "wrong_state")
	const cat = "+4915122222222"
	named := "/v1/phone_codes/" + c.text(c.write("POST", "/v1/phone_codes", "", "q", byPhone(cat), "ok"), "challenge_id")
	c.write("POST", named, "", "q", fmt.Sprintf(`{"code":%q,"device_token":%q,"device_name":"Cat's phone"}`, c.code(cat, "sign_in_code"), c.text(tokens, "device_token")), "ok")
	anns := c.text(tokens, "access_token")
	list := c.shoot(shot{Method: "GET", Path: "/v1/me/identities", Token: anns, Want: "ok"})
	c.write("DELETE", "/v1/me/identities/"+identityOf(list, ann), anns, "last", "", "wrong_state")
	c.write("DELETE", "/v1/me/identities/idn_0000000000001", anns, "none", "", "unknown_identity")

	const eve = "+4915199999999"
	denied := c.text(c.write("POST", "/v1/phone_codes", "", "eve", strings.Replace(byPhone(eve), `"de"`, `"dn"`, 1), "ok"), "challenge_id")
	c.write("POST", "/v1/phone_codes/"+denied, "", "eve", answer(c.code(eve, "sign_in_code")), "registration_refused")
	registered := c.write("POST", "/v1/users", "", "lea", registration(lea, goodPassword), "ok")
	c.write("POST", "/v1/verifications/"+c.text(registered, "challenge_id"), "", "lea", answer(c.code(lea, "verify_email")), "ok")
	me := c.text(c.write("POST", "/v1/sessions", "", "lea", signIn(lea, goodPassword), "ok"), "access_token")
	set := func(phone, key, last string) (path, code string) {
		c.t.Helper()
		asked := c.write("POST", "/v1/me/phone_codes", me, key, newPhone(phone), "ok")
		return "/v1/me/phone_codes/" + c.text(asked, "challenge_id"), c.codeAfter(phone, "sign_in_code", last)
	}
	path, code := set(ann, "taken", annCode)
	c.write("POST", path, me, "taken", answer(code), "address_taken")
	path, code = set(bob, "set", "")
	c.write("POST", path, me, "set", answer(wrongOf(code)), "code_refused")
	c.exerciseRefusedPhones(me, map[string]shot{"setPhone": {Method: "POST", Path: path, Body: answer(code), Header: c.key("set")}})
	added := c.write("POST", path, me, "set", answer(code), "ok")
	if again := c.write("POST", path, me, "set", answer(code), "ok"); again.Body != added.Body {
		c.t.Errorf("%s after %s", again.Body, added.Body)
	}
	c.code(lea, "sign_in_added")
	phone := "/v1/me/identities/" + c.text(added, "identity_id")
	c.exerciseRefusedPhones(me, map[string]shot{"removeIdentity": {Method: "DELETE", Path: phone}})
	locked := c.write("POST", "/v1/phone_codes", "", "locked", byPhone(bob), "ok")
	c.everywhere("UPDATE users__ SET state = 'locked'")
	c.write("POST", "/v1/phone_codes/"+c.text(locked, "challenge_id"), "", "locked", answer(c.codeAfter(bob, "sign_in_code", code)), "user_locked")
	c.everywhere("UPDATE users__ SET state = 'active'")
	c.write("DELETE", phone, me, "removes", "", "ok")
	c.write("DELETE", phone, me, "removes", "", "ok")
	c.code(bob, "sign_in_removed")

	nobody := c.token(9, auth.RoleShopper) // who has a token, and no session
	for _, s := range []shot{
		{Method: "POST", Path: "/v1/me/phone_codes", Body: newPhone(bob)}, {Method: "POST", Path: path, Body: answer(code)}, {Method: "DELETE", Path: phone},
	} {
		s.Token, s.Want = nobody, "step_up_required"
		c.shoot(s)
	}
	for _, s := range []shot{
		{Method: "POST", Path: "/v1/phone_codes", Body: byPhone(bob)},
		{Method: "POST", Path: in, Body: answer(code)},
		{Method: "POST", Path: "/v1/me/phone_codes", Token: me, Body: newPhone(bob)},
		{Method: "POST", Path: path, Token: me, Body: answer(code)},
		{Method: "GET", Path: "/v1/me/identities", Token: me},
		{Method: "DELETE", Path: phone, Token: me},
	} {
		c.exerciseForm(s)
	}
	c.exerciseFormsOfPhones()
}

// exerciseFormsOfPhones sends what is no number, or more than is known.
func (c *contract) exerciseFormsOfPhones() {
	const bob = "+4915187654321"
	for _, more := range []string{`,"device_name":"a\nb"`, `,"device_token":7`} {
		body := strings.Replace(`{"code":"12345678"}`, "}", more+"}", 1)
		c.shoot(shot{Method: "POST", Path: "/v1/phone_codes/" + strings.Repeat("A", 22), Body: body, Want: "malformed", Undocumented: true})
	}
	for _, body := range []string{
		byPhone(""), byPhone("+４９15112345678"), byPhone("+49151１2345678"), byPhone("tel:" + bob), byPhone(bob + " ext 5"),
		strings.Replace(byPhone(bob), "}", `,"country":"de"}`, 1), strings.Replace(byPhone(bob), "{", `{"user_id":"7",`, 1),
	} {
		c.shoot(shot{Method: "POST", Path: "/v1/phone_codes", Body: body, Want: "malformed", Undocumented: true})
	}
	for _, body := range []string{byPhone("0151 1234-5678"), byPhone("112"), byPhone("+49 30 1234567"), byPhone("+"), byPhone("+49151")} {
		c.shoot(shot{Method: "POST", Path: "/v1/phone_codes", Body: body, Want: "malformed"})
	}
}

func wrongOf(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

// identityOf is the id of the identity with a value.
func identityOf(list contracttest.Answer, value string) string {
	data, _ := list.JSON["data"].([]any)
	for _, item := range data {
		if i, _ := item.(map[string]any); i["value"] == value {
			id, _ := i["identity_id"].(string)
			return id
		}
	}
	return ""
}

// exerciseRefusedPhones asks processes of the shop that send no short messages, and none beyond those that were sent. What else is
// asked for sends notices, which have no cap.
func (c *contract) exerciseRefusedPhones(me string, notices map[string]shot) {
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
			s.Want, s.Token = want, me
			if operation == "askPhoneCode" {
				s.Token = ""
			}
			d.Shoot(c.t, s)
			c.document.Saw(operation, want)
		}
		ask("askPhoneCode", shot{Method: "POST", Path: "/v1/phone_codes", Body: byPhone("+4915111111111")})
		ask("askNewPhone", shot{Method: "POST", Path: "/v1/me/phone_codes", Body: newPhone("+4915111111111")})
		for operation, s := range notices {
			if want == "no_channel" {
				ask(operation, s)
			}
		}
		if err := node.Shutdown(c.t.Context()); err != nil {
			c.t.Error(err)
		}
	}
}
