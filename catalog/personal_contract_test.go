package catalog_test

import (
	"fmt"
	"net/http"
	"strings"

	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

const anAddress = `{"recipient":"Ann Example","country":"DE","divisions":["DE-BE"],"lines":["Beispielstr. 7"],"postcode":"10115","phone":"+4915112345678","default":true}`

// personal are the operations on what is personal, each as it succeeds for a user who has the address and the versions.
func personal(address string) []shot {
	match := http.Header{"If-Match": {`"1"`}}
	return []shot{
		{Method: "GET", Path: "/v1/me/profile"},
		{Method: "PATCH", Path: "/v1/me/profile", Body: `{"display_name":"Ann"}`, Header: match},
		{Method: "GET", Path: "/v1/me/addresses"},
		{Method: "POST", Path: "/v1/me/addresses", Body: anAddress},
		{Method: "GET", Path: "/v1/me/addresses/" + address},
		{Method: "PUT", Path: "/v1/me/addresses/" + address, Body: anAddress, Header: match},
		{Method: "DELETE", Path: "/v1/me/addresses/" + address, Header: match},
		{Method: "GET", Path: "/v1/me/consents"},
		{Method: "POST", Path: "/v1/me/consents", Body: `{"purpose":"marketing","given":true,"text_version":"1"}`},
		{Method: "GET", Path: "/v1/me/data"},
		{Method: "DELETE", Path: "/v1/me", Body: `{"confirm":"erase"}`},
	}
}

// applying is another operation that looks for the user first.
var applying = shot{Method: "POST", Path: "/v1/sellers", Body: application}

const noAddress = "adr_0000000000001"

func (c *contract) made(user int) string {
	c.t.Helper()
	c.shoot(shot{Method: "PUT", Path: fmt.Sprint("/v1/users/", user), Token: c.service, Body: `{"region":"eu","locale":"de"}`, Want: "ok"})
	return c.token(int64(user), auth.RoleShopper)
}

// by sends requests of a user.
func (c *contract) by(token, want string, s shot) contracttest.Answer {
	c.t.Helper()
	s.Token, s.Want = token, want
	return c.shoot(s)
}

func (c *contract) exercisePersonal() {
	c.exerciseProfile()
	c.exerciseAddresses()
	c.exerciseConsents()
	locked, unknown := c.made(71), c.token(72, auth.RoleShopper)
	c.everywhere("UPDATE users__ SET state = 'locked' WHERE user_id = 71")
	for _, s := range personal(noAddress) {
		c.by(unknown, "unknown_user", s)
		c.by(locked, "user_locked", s)
	}
	c.by(locked, "user_locked", applying)
	for i, s := range personal(noAddress) {
		s.Token = c.token(int64(80+i), auth.RoleShopper)
		c.exerciseForm(s)
	}
	c.exerciseErasure()
}

func (c *contract) exerciseProfile() {
	me := c.made(70)
	patch := func(match, want, body string, header ...string) contracttest.Answer {
		c.t.Helper()
		s := shot{Method: "PATCH", Path: "/v1/me/profile", Body: body, Header: http.Header{"If-Match": {match}}}
		s.Undocumented = match == "" || strings.ContainsAny(body, "\u202e\\")
		if match == "" {
			s.Header = http.Header{}
		}
		for i := 0; i < len(header); i += 2 {
			s.Header.Set(header[i], header[i+1])
		}
		return c.by(me, want, s)
	}
	show := func() contracttest.Answer { return c.by(me, "ok", shot{Method: "GET", Path: "/v1/me/profile"}) }
	if got := show(); got.Body != "{}" || got.Header.Get("ETag") != `"1"` {
		c.t.Errorf("a new profile: %v %s", got.Header, got.Body)
	}
	patch("", "if_match_missing", `{"display_name":"Ann"}`)
	patch(`"7"`, "changed_since", `{"display_name":"Ann"}`)
	first := patch(`"1"`, "ok", `{"display_name":"Ann"}`, "Idempotency-Key", "p1")
	again := patch(`"1"`, "ok", `{"display_name":"Ann"}`, "Idempotency-Key", "p1")
	if first.Body != again.Body || again.Header.Get("ETag") != `"2"` || first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		c.t.Errorf("%v %s, again %v %s", first.Header, first.Body, again.Header, again.Body)
	}
	patch(`"1"`, "mismatch", `{"display_name":"Bob"}`, "Idempotency-Key", "p1")
	patch(`"2"`, "consent_missing", `{"birthday":"1990-12-31"}`)
	patch(`"2"`, "consent_missing", `{"gender":"other"}`)
	consent := func(given string) {
		c.t.Helper()
		c.by(me, "ok", shot{Method: "POST", Path: "/v1/me/consents", Body: `{"purpose":"optional_profile","given":` + given + `,"text_version":"1"}`})
	}
	consent("true")
	patch(`"2"`, "ok", `{"birthday":"1990-12-31","gender":"other"}`)
	for _, body := range []string{
		`{"display_name":" Ann"}`, "{\"display_name\":\"A\u202enn\"}", `{"display_name":"A\u0000"}`, `{"display_name":"` + strings.Repeat("ä", 150) + `"}`,
		`{"birthday":"1899-12-31"}`, `{"birthday":"2990-12-31"}`, `{"birthday":"1990-02-30"}`,
	} {
		patch(`"3"`, "malformed", body)
	}
	for _, body := range []string{ // mass assignment, and other forms
		`{"user_id":"1"}`, `{"version":7}`, `{"Display_Name":"Ann"}`, `{"display_name":7}`, `{"gender":"x"}`, `{"birthday":"31.12.1990"}`, `[]`,
	} {
		s := shot{Method: "PATCH", Path: "/v1/me/profile", Body: body, Header: http.Header{"If-Match": {`"3"`}}, Undocumented: true}
		c.by(me, "malformed", s)
	}
	for _, match := range []string{`*`, `2`, `W/"2"`, `"2", "3"`, `""`, `"02"`} {
		s := shot{Method: "PATCH", Path: "/v1/me/profile", Body: `{"display_name":"Ann"}`, Header: http.Header{"If-Match": {match}}, Undocumented: true}
		c.by(me, "malformed", s)
	}
	patch(`"3"`, "ok", "{\"display_name\":\"Zoe\u0308\"}")
	if got := show(); got.Body != `{"display_name":"Zoë","birthday":"1990-12-31","gender":"other"}` || got.Header.Get("ETag") != `"4"` {
		c.t.Errorf("%v %s", got.Header, got.Body)
	}
	patch(`"4"`, "ok", `{"gender":""}`)
	consent("false")
	if got := show(); got.Body != `{"display_name":"Zoë"}` || got.Header.Get("ETag") != `"6"` {
		c.t.Errorf("after the consent was withdrawn: %v %s", got.Header, got.Body)
	}
	patch(`"6"`, "consent_missing", `{"birthday":"1990-12-31"}`)
	patch(`"6"`, "ok", `{"display_name":""}`)
	if got := show(); got.Body != `{}` {
		c.t.Errorf("%s", got.Body)
	}
}

func (c *contract) exerciseAddresses() {
	me, other := c.made(73), c.made(74)
	add := func(token, want, body string) contracttest.Answer {
		c.t.Helper()
		return c.by(token, want, shot{Method: "POST", Path: "/v1/me/addresses", Body: body})
	}
	first, second := add(me, "ok", anAddress), add(me, "ok", anAddress)
	id := fmt.Sprint(first.JSON["address_id"])
	at := shot{Method: "GET", Path: "/v1/me/addresses/" + id}
	if got := c.by(me, "ok", at); got.JSON["default"] != false || got.Header.Get("ETag") != `"2"` {
		c.t.Errorf("after another became the default: %v %s", got.Header, got.Body)
	}
	if second.JSON["default"] != true || second.Status != 201 || second.Header.Get("ETag") != `"1"` {
		c.t.Errorf("%d %v %s", second.Status, second.Header, second.Body)
	}
	for _, s := range personal(id)[4:7] { // of somebody else
		c.by(other, "unknown_address", s)
	}
	change := func(match, want string) contracttest.Answer {
		c.t.Helper()
		s := shot{Method: "PUT", Path: at.Path, Body: strings.Replace(anAddress, "7", "8", 1)}
		if s.Undocumented = match == ""; match != "" {
			s.Header = http.Header{"If-Match": {match}}
		}
		return c.by(me, want, s)
	}
	change("", "if_match_missing")
	change(`"1"`, "changed_since")
	if got := change(`"2"`, "ok"); got.JSON["default"] != true || got.Header.Get("ETag") != `"3"` {
		c.t.Errorf("%v %s", got.Header, got.Body)
	}
	key := http.Header{"Idempotency-Key": {"once"}, "If-Match": {`"3"`}}
	s := shot{Method: "PUT", Path: at.Path, Body: anAddress, Header: key}
	c.by(me, "ok", s)
	s.Body = strings.Replace(anAddress, "Ann", "Bob", 1)
	c.by(me, "mismatch", s)
	for _, body := range []string{
		strings.Replace(anAddress, `"DE"`, `"UK"`, 1), strings.Replace(anAddress, `"DE"`, `"QQ"`, 1), strings.Replace(anAddress, `"DE"`, `"ZZ"`, 1),
		strings.Replace(anAddress, "7\"", "7 \"", 1),
	} {
		add(me, "malformed", body)
	}
	for _, body := range []string{
		strings.Replace(anAddress, "Ann", "\u200bAnn", 1), strings.Replace(anAddress, `"DE"`, `"de"`, 1), strings.Replace(anAddress, `"DE"`, `"ＤＥ"`, 1), strings.Replace(anAddress, "+49", "0049", 1),
		strings.Replace(anAddress, "+49", "+49 ", 1), strings.Replace(anAddress, "DE-BE", "de-be", 1), strings.Replace(anAddress, `["Beispielstr. 7"]`, "[]", 1),
		strings.Replace(anAddress, `["Beispielstr. 7"]`, `["1","2","3","4","5"]`, 1), strings.Replace(anAddress, "Beispielstr. 7", strings.Repeat("x", 301), 1),
		strings.Replace(anAddress, `"recipient"`, `"user_id":"1","recipient"`, 1), strings.Replace(anAddress, `"recipient"`, `"address_id":"`+id+`","recipient"`, 1),
		strings.Replace(anAddress, "10115", "10115\\u0000", 1), strings.Replace(anAddress, `"Ann Example"`, `""`, 1),
	} {
		c.by(me, "malformed", shot{Method: "POST", Path: "/v1/me/addresses", Body: body, Undocumented: true})
	}
	for _, path := range []string{strings.ToUpper(id), "ses" + id[3:], "1", id + "x"} {
		c.by(me, "malformed", shot{Method: "GET", Path: "/v1/me/addresses/" + path, Undocumented: true})
	}
	var found []string
	for cursor := "?limit=1"; ; {
		page := c.by(me, "ok", shot{Method: "GET", Path: "/v1/me/addresses" + cursor})
		for _, item := range page.JSON["data"].([]any) {
			found = append(found, fmt.Sprint(item.(map[string]any)["address_id"]))
		}
		next, more := page.JSON["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "?limit=1&cursor=" + next
	}
	if len(found) != 2 || found[0] >= found[1] {
		c.t.Errorf("listed: %q", found)
	}
	for _, query := range []string{"?limit=0", "?limit=101", "?limit=x"} {
		c.by(me, "malformed", shot{Method: "GET", Path: "/v1/me/addresses" + query, Undocumented: true})
		c.by(me, "malformed", shot{Method: "GET", Path: "/v1/me/consents" + query, Undocumented: true})
	}
	c.by(me, "malformed", shot{Method: "GET", Path: "/v1/me/addresses?cursor=x"})
	remove := func(match, want string, key ...string) contracttest.Answer {
		c.t.Helper()
		s := shot{Method: "DELETE", Path: at.Path, Header: http.Header{}}
		if s.Undocumented = match == ""; match != "" {
			s.Header.Set("If-Match", match)
		}
		if key != nil {
			s.Header["Idempotency-Key"] = key
		}
		return c.by(me, want, s)
	}
	remove("", "if_match_missing")
	remove(`"1"`, "changed_since")
	remove(`"4"`, "ok", "gone")
	if again := remove(`"4"`, "ok", "gone"); again.Header.Get("Idempotent-Replayed") != "true" || again.Status != 204 {
		c.t.Errorf("%d %v", again.Status, again.Header)
	}
	remove(`"5"`, "mismatch", "gone")
	remove(`"4"`, "unknown_address")
	c.exerciseManyAddresses()
}

// exerciseManyAddresses adds as many as a user may have.
func (c *contract) exerciseManyAddresses() {
	me := c.made(75)
	for range 50 {
		c.by(me, "ok", shot{Method: "POST", Path: "/v1/me/addresses", Body: anAddress})
	}
	c.by(me, "wrong_state", shot{Method: "POST", Path: "/v1/me/addresses", Body: anAddress})
	data := c.by(me, "ok", shot{Method: "GET", Path: "/v1/me/data"})
	defaults := strings.Count(data.Body, `"default":true`)
	if list := data.JSON["addresses"].([]any); len(list) != 50 || defaults != 1 {
		c.t.Errorf("%d addresses, %d defaults", len(list), defaults)
	}
	another := c.made(76)
	s := shot{Method: "POST", Path: "/v1/me/addresses", Body: anAddress, Header: http.Header{"Idempotency-Key": {"k"}}}
	c.by(another, "ok", s)
	s.Body = strings.Replace(anAddress, "Ann", "Bob", 1)
	c.by(another, "mismatch", s)
}

func (c *contract) exerciseConsents() {
	me := c.made(79)
	say := func(want, purpose, given, version string) contracttest.Answer {
		c.t.Helper()
		return c.by(me, want, shot{
			Method: "POST", Path: "/v1/me/consents",
			Body: fmt.Sprintf(`{"purpose":%q,"given":%s,"text_version":%q}`, purpose, given, version),
		})
	}
	for i, said := range []struct {
		purpose, given, version string
		status                  int
		number                  float64
	}{
		{"marketing", "false", "1", 201, 1},
		{"marketing", "true", "1", 201, 2},
		{"personalisation", "true", "1", 201, 3},
		{"marketing", "true", "1", 200, 2},
		{"marketing", "true", "2", 201, 4},
		{"marketing", "false", "2", 201, 5},
	} {
		if got := say("ok", said.purpose, said.given, said.version); got.Status != said.status || got.JSON["number"] != said.number || got.JSON["actor_id"] != "79" || got.JSON["actor_role"] != "shopper" {
			c.t.Errorf("%d: %d %s", i, got.Status, got.Body)
		}
	}
	for _, body := range []string{
		`{"purpose":"other","given":true,"text_version":"1"}`, `{"purpose":"marketing","given":"yes","text_version":"1"}`, `{"purpose":"marketing","given":true}`,
		`{"purpose":"marketing","given":true,"text_version":"A"}`, `{"purpose":"marketing","given":true,"text_version":"1","at":"2020-01-01T00:00:00Z"}`,
		`{"purpose":"marketing","given":true,"text_version":"1","actor_id":"1"}`,
	} {
		c.by(me, "malformed", shot{Method: "POST", Path: "/v1/me/consents", Body: body, Undocumented: true})
	}
	s := shot{Method: "POST", Path: "/v1/me/consents", Body: `{"purpose":"marketing","given":true,"text_version":"3"}`, Header: http.Header{"Idempotency-Key": {"k"}}}
	c.by(me, "ok", s)
	s.Body = `{"purpose":"marketing","given":true,"text_version":"4"}`
	c.by(me, "mismatch", s)
	var numbers []any
	for cursor := "?limit=4"; ; {
		page := c.by(me, "ok", shot{Method: "GET", Path: "/v1/me/consents" + cursor})
		for _, item := range page.JSON["data"].([]any) {
			numbers = append(numbers, item.(map[string]any)["number"])
		}
		next, more := page.JSON["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "?limit=4&cursor=" + next
	}
	if fmt.Sprint(numbers) != "[6 5 4 3 2 1]" {
		c.t.Errorf("listed: %v", numbers)
	}
	for _, cursor := range []string{"0", "01", "x", "99999999999"} {
		c.by(me, "malformed", shot{Method: "GET", Path: "/v1/me/consents?cursor=" + cursor})
	}
	// Whoever has 500 entries may take back what was given, and say nothing else.
	c.everywhere("INSERT INTO consents__ SELECT 79, 6 + seq, 'marketing', TRUE, '3', 79, 'shopper', NOW(3) FROM seq_1_to_494")
	say("wrong_state", "marketing", "true", "4")
	say("wrong_state", "optional_profile", "true", "4")
	say("wrong_state", "optional_profile", "false", "4")
	say("ok", "marketing", "false", "3")
	say("wrong_state", "marketing", "false", "4")
}

func (c *contract) exerciseErasure() {
	me := c.made(78)
	c.by(me, "ok", shot{Method: "POST", Path: "/v1/me/addresses", Body: anAddress})
	c.by(me, "malformed", shot{Method: "DELETE", Path: "/v1/me", Body: `{"confirm":"yes"}`, Undocumented: true})
	for range 2 {
		c.by(me, "ok", shot{Method: "DELETE", Path: "/v1/me", Body: `{"confirm":"erase"}`})
	}
	for _, s := range append(personal(noAddress)[:10], applying) {
		c.by(me, "unknown_user", s)
	}
	if got := c.by(me, "ok", shot{Method: "GET", Path: "/v1/me"}); got.JSON["state"] != "erased" {
		c.t.Errorf("%s", got.Body)
	}
}
