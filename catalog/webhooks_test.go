package catalog_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

// The ids of no webhook, and of no event.
const noWebhook, noEvent = "whk_0000000000015", "evt_0000000000015"

func hookAt(url string) string {
	return fmt.Sprintf(`{"url":%q,"types":["seller_moved","seller_key_made"]}`, url)
}

func hookAs(url, state string) string { return fmt.Sprintf(`{"url":%q,"state":%q}`, url, state) }

// webhookShots are requests of all operations about the webhooks of a seller, by an owner.
func (c *contract) webhookShots(owner, id string) []shot {
	path := "/v1/sellers/" + id + "/webhooks"
	return []shot{
		{Method: "GET", Path: path, Token: owner},
		{Method: "POST", Path: path, Token: owner, Body: hookAt("https://127.0.0.1:9/")},
		{Method: "GET", Path: path + "/" + noWebhook, Token: owner},
		{Method: "PUT", Path: path + "/" + noWebhook, Token: owner, Body: hookAs("https://127.0.0.1:9/", "active"), Header: http.Header{"If-Match": {`"1"`}}},
		{Method: "DELETE", Path: path + "/" + noWebhook, Token: owner},
		{Method: "POST", Path: path + "/" + noWebhook + "/secret", Token: owner},
		{Method: "POST", Path: path + "/" + noWebhook + "/test", Token: owner},
		{Method: "GET", Path: path + "/" + noWebhook + "/deliveries", Token: owner},
		{Method: "POST", Path: path + "/" + noWebhook + "/deliveries/" + noEvent + "/redelivery", Token: owner},
	}
}

// exerciseWebhooks has a system of a seller get what happens to it, and goes the way of a webhook from its beginning on.
func (c *contract) exerciseWebhooks(id, owner string, ownerID int64) {
	c.t.Helper()
	type arrived struct {
		header http.Header
		body   []byte
	}
	came := make(chan arrived, 100)
	system := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			c.t.Error(err)
		}
		came <- arrived{r.Header, body}
	}))
	defer system.Close()
	hooks := "/v1/sellers/" + id + "/webhooks"
	c.write("POST", hooks, c.token(ownerID, auth.RoleShopper), "w", hookAt(system.URL), "step_up_required")
	for _, private := range []string{"https://user@127.0.0.1/", "https://10.0.0.1/", "https://2130706433/"} { // what no schema tells
		c.shoot(shot{Method: "POST", Path: hooks, Token: owner, Body: hookAt(private), Want: "malformed"})
	}
	for _, wrong := range []string{
		hookAt("ftp://127.0.0.1/"), hookAt(""),
		strings.Replace(hookAt(system.URL), "seller_moved", "webhook_test", 1), strings.Replace(hookAt(system.URL), "seller_moved", "seller_key_made", 1),
		strings.Replace(hookAt(system.URL), `["seller_moved","seller_key_made"]`, "[]", 1),
	} {
		c.shoot(shot{Method: "POST", Path: hooks, Token: owner, Body: wrong, Want: "malformed", Undocumented: true})
	}
	made := c.write("POST", hooks, owner, "w", hookAt(system.URL), "ok")
	if again := c.write("POST", hooks, owner, "w", hookAt(system.URL), "ok"); again.Body != made.Body || made.Header.Get("Etag") != `"1"` {
		c.t.Errorf("made %s, again %s", made.Body, again.Body)
	}
	c.write("POST", hooks, owner, "w", hookAt(system.URL+"/other"), "mismatch")
	secret, hook := c.text(made, "secret"), hooks+"/"+c.text(made, "webhook_id")
	for _, path := range []string{hooks, hook} {
		if shown := c.shoot(shot{Method: "GET", Path: path, Token: owner, Want: "ok"}); strings.Contains(shown.Body, secret) || !strings.Contains(shown.Body, system.URL) {
			c.t.Errorf("%s", shown.Body)
		}
	}
	c.found("kim@example.org", "webhook_set", "", regexp.MustCompile("Mia Miller"))
	arrives := func(secret, kind string) string {
		c.t.Helper()
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			c.t.Fatal(err)
		}
		var got arrived
		select {
		case got = <-came:
		case <-time.After(time.Minute):
			c.t.Fatalf("no %s arrives", kind)
		}
		if err := verifier.Verify(got.body, got.header); err != nil || !strings.HasPrefix(string(got.body), fmt.Sprintf(`{"type":%q,"timestamp":"2`, kind)) {
			c.t.Errorf("%s, %v, want %s", got.body, err, kind)
		}
		return got.header.Get("Webhook-Id")
	}
	c.write("POST", "/v1/sellers/"+id+"/api_keys", owner, "hooked", keyFor("seller:read"), "ok")
	event := arrives(secret, "seller_key_made")
	again := func(want string) contracttest.Answer {
		c.t.Helper()
		return c.write("POST", hook+"/deliveries/"+event+"/redelivery", owner, "again"+want, "", want)
	}
	again("ok")
	if second := arrives(secret, "seller_key_made"); second != event {
		c.t.Errorf("%s is sent again as %s", event, second)
	}
	again("ok") // which is a repetition
	tested := c.write("POST", hook+"/test", owner, "t", "", "ok")
	c.write("POST", hook+"/test", owner, "t", "", "ok")
	if got := arrives(secret, "webhook_test"); got != c.text(tested, "event_id") {
		c.t.Errorf("tested by %s, want %s", got, tested.Body)
	}
	c.await("all is delivered", func() bool {
		page := c.shoot(shot{Method: "GET", Path: hook + "/deliveries", Token: owner, Want: "ok"})
		return strings.Count(page.Body, `"state":"delivered"`) == 2
	})
	page := c.shoot(shot{Method: "GET", Path: hook + "/deliveries?limit=1", Token: owner, Want: "ok"})
	if rest := c.shoot(shot{Method: "GET", Path: hook + "/deliveries?cursor=" + c.text(page, "next_cursor"), Token: owner, Want: "ok"}); !strings.Contains(rest.Body, event) {
		c.t.Errorf("%s is not in %s", event, rest.Body)
	}
	for _, query := range []string{"?limit=0", "?cursor=x", "?cursor=0", "?cursor=01"} {
		c.shoot(shot{Method: "GET", Path: hook + "/deliveries" + query, Token: owner, Want: "malformed", Undocumented: true})
	}
	rotated := c.write("POST", hook+"/secret", owner, "r", "", "ok")
	if same := c.write("POST", hook+"/secret", owner, "r", "", "ok"); same.Body != rotated.Body || c.text(rotated, "secret") == secret {
		c.t.Errorf("rotated to %s, again %s", rotated.Body, same.Body)
	}
	c.write("POST", hook+"/secret", c.token(ownerID, auth.RoleShopper), "r", "", "step_up_required")
	c.write("POST", hook+"/test", owner, "t2", "", "ok")
	arrives(secret, "webhook_test")
	c.write("POST", hook+"/test", owner, "t3", "", "ok")
	arrives(c.text(rotated, "secret"), "webhook_test")
	c.exerciseChangedWebhook(hook, owner, c.token(ownerID, auth.RoleShopper), system.URL, again)
	for n := range 9 {
		c.write("POST", hooks, owner, fmt.Sprint("more", n), hookAt("https://127.0.0.1:9/"), "ok")
	}
	c.write("POST", hooks, owner, "more9", hookAt("https://127.0.0.1:9/"), "wrong_state")
	c.refusedKeys(hooks, hook, owner, event)
	for range 2 {
		c.write("DELETE", hook, owner, "d", "", "ok")
	}
	acts := c.shoot(shot{Method: "GET", Path: "/v1/sellers/" + id + "/acts", Token: owner, Want: "ok"})
	for act, want := range map[string]int{"make_webhook": 10, "change_webhook": 2, "rotate_webhook": 1, "remove_webhook": 1} {
		if strings.Count(acts.Body, fmt.Sprintf(`"act":%q`, act)) != want || strings.Contains(acts.Body, system.URL) {
			c.t.Errorf("%s is not %d times in %s", act, want, acts.Body)
		}
	}
}

// exerciseChangedWebhook disables a webhook and activates it again.
func (c *contract) exerciseChangedWebhook(hook, owner, unproved, url string, again func(string) contracttest.Answer) {
	c.t.Helper()
	put := func(key, version, body, want string, undocumented bool) contracttest.Answer {
		c.t.Helper()
		h := http.Header{"Idempotency-Key": {key}, "If-Match": {version}}
		if version == "" {
			delete(h, "If-Match")
		}
		return c.shoot(shot{Method: "PUT", Path: hook, Token: owner, Header: h, Body: body, Want: want, Undocumented: undocumented})
	}
	c.shoot(shot{Method: "PUT", Path: hook, Token: unproved, Header: http.Header{"If-Match": {`"2"`}}, Body: hookAs(url, "disabled"), Want: "step_up_required"})
	put("p", "", hookAs(url, "disabled"), "if_match_missing", true)
	put("p", `"1"`, hookAs(url, "disabled"), "changed_since", false) // it was rotated
	put("p", `"2"`, hookAs(url, "paused"), "malformed", true)
	put("p", `"2"`, hookAs("https://10.0.0.1/", "active"), "malformed", false)
	for range 2 {
		if got := put("p", `"2"`, hookAs(url, "disabled"), "ok", false); got.JSON["disabled_for"] != "owner" || got.Header.Get("Etag") != `"3"` {
			c.t.Errorf("disabled: %s", got.Body)
		}
	}
	put("p", `"3"`, hookAs(url, "active"), "mismatch", false)
	c.write("POST", hook+"/test", owner, "t4", "", "wrong_state")
	again("wrong_state")
	if got := put("q", `"3"`, hookAs(url, "active"), "ok", false); got.JSON["state"] != "active" || got.JSON["types"] != nil {
		c.t.Errorf("active: %s", got.Body)
	}
}

// refusedKeys uses the keys of requests for others, and asks for webhooks and deliveries that are none.
func (c *contract) refusedKeys(hooks, hook, owner, event string) {
	c.t.Helper()
	none := hooks + "/" + noWebhook
	c.write("DELETE", hook, owner, "d", "", "ok")
	c.write("DELETE", none, owner, "d", "", "mismatch")
	c.write("POST", none+"/secret", owner, "r", "", "mismatch")
	c.write("POST", none+"/test", owner, "t", "", "mismatch")
	c.write("POST", none+"/deliveries/"+event+"/redelivery", owner, "againok", "", "mismatch")
	for _, s := range []shot{
		{Method: "GET", Path: none},
		{Method: "DELETE", Path: none},
		{Method: "POST", Path: none + "/secret"},
		{Method: "POST", Path: none + "/test"},
		{Method: "GET", Path: none + "/deliveries"},
		{Method: "POST", Path: none + "/deliveries/" + event + "/redelivery"},
		{Method: "PUT", Path: none, Body: hookAs("https://127.0.0.1:9/", "active"), Header: http.Header{"If-Match": {`"1"`}}},
	} {
		s.Token, s.Want = owner, "unknown_webhook"
		c.shoot(s)
	}
	kept := c.shoot(shot{Method: "GET", Path: hooks, Token: owner, Want: "ok"})
	_, rest, _ := strings.Cut(kept.Body, `"webhook_id":"`)
	other, _, _ := strings.Cut(rest, `"`)
	c.write("POST", hooks+"/"+other+"/deliveries/"+event+"/redelivery", owner, "none", "", "unknown_delivery")
}
