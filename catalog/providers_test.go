package catalog_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"sluice/catalog"
	"sluice/catalog/account/provider/providertest"
	"sluice/catalog/internal/vault"
	"sluice/core/auth"
	"sluice/core/local/contracttest"
	"sluice/core/shard"
)

const pageOfReturn = "https://shop.example/back/"

// outside are providers on this machine: two that work, one that answers nonsense, and one that is away.
type outside struct {
	plain *providertest.Plain
	open  *providertest.OpenID
}

// withProviders has the shop know them.
func (s *shop) withProviders() outside {
	s.t.Helper()
	o := outside{providertest.NewPlain(s.t), providertest.NewOpenID(s.t, pageOfReturn+"open")}
	silent := func(name, issuer string) string {
		return fmt.Sprintf(`{"name": %q, "title": "Silent", "kind": "oidc", "issuer": %q, "client_id": "shop", "client_secret_file": "provider.secret", "redirect_url": %q}`,
			name, issuer, pageOfReturn+name)
	}
	s.cfg.Providers.File = providertest.WriteFile(s.t, o.plain.File("plain", pageOfReturn+"plain"), o.open.File("open", pageOfReturn+"open"),
		silent("broken", o.plain.URL), silent("away", "http://127.0.0.1:1"))
	s.cfg.Providers.Networks = []string{"127.0.0.0/8"}
	return o
}

// there is where somebody signs in.
type there interface {
	SignIn(address string, as providertest.Person) providertest.Return
}

// comesBack begins at a provider, and is the body of what it brings back.
func (c *contract) comesBack(path, token, body string, at there, as providertest.Person) string {
	c.t.Helper()
	begun := c.shoot(shot{Method: "POST", Path: path, Token: token, Body: body, Want: "ok"})
	back := at.SignIn(c.text(begun, "authorize_url"), as)
	return fmt.Sprintf(`{"flow_token":%q,"code":%q,"state":%q}`, c.text(begun, "flow_token"), back.Code, back.State)
}

const (
	flows, myFlows        = "/v1/providers/plain/flows", "/v1/me/providers/plain/flows"
	byProvider, mineThere = "/v1/providers/plain/sessions", "/v1/me/providers/plain/identities"
	atHome                = `{"region":"eu","locale":"de"}`
)

// exerciseProviders goes the way of a user who signs in by a provider, and of one who adds a provider to an account.
func (c *contract) exerciseProviders() {
	const lea = "lea@example.org" // of exercisePhones
	person := func(id string) providertest.Person { return providertest.Person{ID: id, Name: id} }
	list := c.shoot(shot{Method: "GET", Path: "/v1/providers", Want: "ok"})
	if data, _ := list.JSON["data"].([]any); len(data) != 4 {
		c.t.Errorf("%s", list.Body)
	}
	back := c.comesBack(flows, "", atHome, c.outside.plain, person("ann-there"))
	c.write("POST", byProvider, "", "ann", strings.Replace(back, `"code":"`, `"code":"x`, 1), "code_refused")
	c.outside.plain.Fail(http.StatusServiceUnavailable)
	c.write("POST", byProvider, "", "ann", back, "provider_unavailable")
	c.outside.plain.Fail(http.StatusNotFound)
	c.write("POST", byProvider, "", "ann", back, "provider_failed")
	c.outside.plain.Fail(0)
	tokens := c.write("POST", byProvider, "", "ann", back, "ok")
	if again := c.write("POST", byProvider, "", "ann", back, "ok"); again.JSON["session_id"] != tokens.JSON["session_id"] {
		c.t.Errorf("%s after %s", again.Body, tokens.Body)
	}
	c.write("POST", byProvider, "", "eve", back, "code_refused")
	c.write("POST", "/v1/tokens", "", "t", fmt.Sprintf(`{"refresh_token":%q}`, c.text(tokens, "refresh_token")), "ok")
	c.write("POST", byProvider, "", "ann", back, "wrong_state")

	denied := c.comesBack(flows, "", `{"region":"eu","locale":"dn"}`, c.outside.plain, person("denied-there"))
	c.write("POST", byProvider, "", "denied", denied, "registration_refused")
	known := providertest.Person{ID: "lea-there", Name: "Lea", Email: lea, Verified: true}
	c.write("POST", "/v1/providers/open/sessions", "", "lea", c.comesBack("/v1/providers/open/flows", "", atHome, c.outside.open, known), "account_exists")
	next := c.comesBack(flows, "", atHome, c.outside.plain, person("ann-there"))
	c.everywhere("UPDATE users__ SET state = 'locked'")
	c.write("POST", byProvider, "", "locked", next, "user_locked")
	c.everywhere("UPDATE users__ SET state = 'active'")

	me := c.text(c.write("POST", "/v1/sessions", "", "lea-there", signIn(lea, goodPassword), "ok"), "access_token")
	adds := func(id string) string { return c.comesBack(myFlows, me, "", c.outside.plain, person(id)) }
	c.write("POST", mineThere, me, "taken", adds("ann-there"), "identity_taken")
	wrong := adds("lea-there")
	c.write("POST", mineThere, me, "wrong", strings.Replace(wrong, `"code":"`, `"code":"x`, 1), "code_refused")
	c.outside.plain.Fail(http.StatusServiceUnavailable)
	c.write("POST", mineThere, me, "wrong", wrong, "provider_unavailable")
	c.outside.plain.Fail(http.StatusNotFound)
	c.write("POST", mineThere, me, "wrong", wrong, "provider_failed")
	c.outside.plain.Fail(0)
	c.everywhere("UPDATE users__ SET state = 'locked'")
	c.write("POST", mineThere, me, "wrong", wrong, "user_locked")
	c.everywhere("UPDATE users__ SET state = 'active'")
	c.exerciseRefusedPhones(me, map[string]shot{"addProvider": {Method: "POST", Path: mineThere, Body: wrong, Header: c.key("wrong")}})
	added := c.write("POST", mineThere, me, "wrong", wrong, "ok")
	c.code(lea, "sign_in_added")
	c.exerciseManyIdentities(me, added)
	c.exerciseFormsOfProviders(me, back)
}

// exerciseManyIdentities adds one more than a user may have.
func (c *contract) exerciseManyIdentities(me string, of contracttest.Answer) {
	c.t.Helper()
	before := c.comesBack(myFlows, me, "", c.outside.plain, providertest.Person{ID: "one-more"})
	databases := c.databases()
	v, err := catalog.OpenVault(c.t.Context(), c.cfg.Vault, databases, slog.New(slog.DiscardHandler))
	if err != nil {
		c.t.Fatal(err)
	}
	user := c.userOf(me)
	p := databases.At(shard.OfUser(user))
	for n := range 20 {
		sealed, err := v.Seal(c.t.Context(), user, vault.Field{Table: "identities", Column: "value", Row: int64(n + 1)}, []byte("a name"))
		if err == nil {
			_, err = p.In(p.Writer()).ExecContext(c.t.Context(), "INSERT INTO identities__ (user_id, claim, kind, provider, value_index, value, made_at) "+
				"VALUES (?, ?, 'provider', 'plain', UNHEX(SHA2(?, 256)), ?, NOW(3))", user, n+1, n, sealed)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	c.write("POST", mineThere, me, "many", before, "wrong_state")
	c.everywhere("DELETE FROM identities__ WHERE claim <= 20")
	c.write("DELETE", "/v1/me/identities/"+c.text(of, "identity_id"), me, "of-a-provider", "", "ok")
}

// userOf is the user of a token.
func (c *contract) userOf(token string) int64 {
	c.t.Helper()
	user, err := strconv.ParseInt(c.text(c.shoot(shot{Method: "GET", Path: "/v1/me", Token: token, Want: "ok"}), "user_id"), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return user
}

func (c *contract) exerciseFormsOfProviders(me, back string) {
	c.t.Helper()
	mine := func(path, body string) shot { return shot{Method: "POST", Path: path, Token: me, Body: body} }
	anybodys := func(path, body string) shot { return shot{Method: "POST", Path: path, Body: body} }
	for name, want := range map[string]string{"none": "unknown_provider", "away": "provider_unavailable", "broken": "provider_failed"} {
		for _, s := range []shot{anybodys("/v1/providers/"+name+"/flows", atHome), mine("/v1/me/providers/"+name+"/flows", "")} {
			s.Want = want
			c.shoot(s)
		}
	}
	nobody := c.token(9, auth.RoleShopper) // who has a token, and no session
	for _, s := range []shot{anybodys("/v1/providers/none/sessions", back), mine("/v1/me/providers/none/identities", back)} {
		s.Want = "unknown_provider"
		c.shoot(s)
	}
	for _, s := range []shot{mine(myFlows, ""), mine(mineThere, back)} {
		s.Token, s.Want = nobody, "step_up_required"
		c.shoot(s)
	}
	for _, s := range []shot{{Method: "GET", Path: "/v1/providers"}, anybodys(flows, atHome), anybodys(byProvider, back), mine(myFlows, ""), mine(mineThere, back)} {
		c.exerciseForm(s)
	}
	for _, body := range []string{
		strings.Replace(back, `"code":"`, `"code":"ü`, 1), strings.Replace(back, `"state":"`, `"state":"`+strings.Repeat("x", 200), 1),
		strings.Replace(back, "{", `{"redirect_url":"https://evil.example",`, 1), strings.Replace(back, "{", `{"user_id":"7",`, 1), `{"code":"x","state":"y"}`,
	} {
		c.shoot(shot{Method: "POST", Path: byProvider, Body: body, Want: "malformed", Undocumented: true})
	}
	for _, body := range []string{`{"region":"EU","locale":"de"}`, `{"region":"eu","locale":"de","redirect_url":"https://evil.example"}`} {
		c.shoot(shot{Method: "POST", Path: flows, Body: body, Want: "malformed", Undocumented: true})
	}
}

// TestShopRefusesProvidersThatItCannotAsk starts shops with wrong files and settings.
func TestShopRefusesProvidersThatItCannotAsk(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.withProviders()
	cfg := s.cfg
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	cfg.Providers.Networks = nil
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "token_url: the address may not be reached") {
		t.Error(err)
	}
	cfg = s.cfg
	cfg.Providers.Timeout = cfg.WriteTimeout
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "sign-in-providers-timeout") {
		t.Error(err)
	}
	cfg = s.cfg
	cfg.RequestsMax = 2 * 4 * 32
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.RequestsMax--
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "requests-max: 255: want 256 or more, or smaller at_once") {
		t.Error(err)
	}
	cfg = s.cfg
	cfg.Providers.File += "x"
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "sign-in-providers-file: ") {
		t.Error(err)
	}
}
