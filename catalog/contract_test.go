package catalog_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account/provider/providertest"
	"sluice/catalog/internal/objects/objectstest"
	"sluice/core/auth"
	"sluice/core/local/contracttest"
)

const document = "../docs/api/catalog.yaml"

// unreached are the documented codes that no outside can bring about at will.
var unreached = map[string][]string{
	"":         {"internal", "overloaded"}, // a bug; the server's own test has the other
	"makeUser": {"outcome_unknown"},        // MySQL must hang between two statements

	"registerUser": {"outcome_unknown"}, "verifyEmail": {"outcome_unknown"}, "signIn": {"outcome_unknown"},
	"refreshTokens": {"outcome_unknown"}, "endOtherSessions": {"outcome_unknown"}, "endSession": {"outcome_unknown"},
	"finishSignIn": {"outcome_unknown"}, "stepUp": {"outcome_unknown"}, "beginFactor": {"outcome_unknown"}, "confirmFactor": {"outcome_unknown"},
	"removeFactor": {"outcome_unknown"}, "renewRecoveryCodes": {"outcome_unknown"},
	"changePassword": {"outcome_unknown"}, "askReset": {"outcome_unknown"}, "resetPassword": {"outcome_unknown"},

	"claimAssessment": {"outcome_unknown"}, "decideAssessment": {"outcome_unknown"},

	// Two requests with one key must meet; the test of package replay has them.
	"setRole": {"outcome_unknown"}, "apply": {"outcome_unknown", "in_progress"}, "changeApplication": {"outcome_unknown", "in_progress"},
	"moveSeller": {"outcome_unknown", "in_progress"}, "claimReview": {"outcome_unknown", "in_progress", "mismatch"}, "decideReview": {"outcome_unknown", "in_progress"},

	"joinSeller": {"outcome_unknown", "in_progress"}, "invite": {"outcome_unknown", "in_progress"}, "removeMember": {"outcome_unknown", "in_progress"},
	"withdrawInvitation": {"outcome_unknown"}, "offerSeller": {"outcome_unknown"}, "endOffer": {"outcome_unknown", "in_progress", "mismatch"},
	"acceptSeller": {"outcome_unknown", "in_progress", "mismatch"}, "makeKey": {"outcome_unknown"}, "revokeKey": {"outcome_unknown"},
	"makeWebhook": {"outcome_unknown", "in_progress"}, "changeWebhook": {"outcome_unknown", "in_progress"}, "removeWebhook": {"outcome_unknown", "in_progress"},
	"rotateWebhook": {"outcome_unknown", "in_progress"}, "testWebhook": {"outcome_unknown", "in_progress"}, "redeliver": {"outcome_unknown", "in_progress"},

	"eraseMe": {"outcome_unknown"},

	// Others must change the cart all the time.
	"putLine": {"outcome_unknown", "cart_busy"}, "removeLine": {"outcome_unknown", "cart_busy"}, "emptyCart": {"outcome_unknown", "cart_busy"},
	"putGuestLine": {"outcome_unknown", "cart_busy"}, "removeGuestLine": {"outcome_unknown", "cart_busy"}, "emptyGuestCart": {"outcome_unknown", "cart_busy"},
	"mergeCart": {"outcome_unknown", "cart_busy"}, "shareCart": {"outcome_unknown", "in_progress"}, "endShare": {"outcome_unknown"},

	"makeCategory": {"outcome_unknown", "in_progress"}, "changeCategory": {"outcome_unknown", "in_progress"}, "setAttribute": {"outcome_unknown", "in_progress"},
	"removeAttribute": {"outcome_unknown", "in_progress"}, "makeBrand": {"outcome_unknown", "in_progress"}, "changeBrand": {"outcome_unknown", "in_progress"},

	"makeProduct": {"outcome_unknown", "in_progress"}, "changeProduct": {"outcome_unknown", "in_progress"}, "moveProduct": {"outcome_unknown", "in_progress"}, "setText": {"outcome_unknown", "in_progress"}, "removeText": {"outcome_unknown", "in_progress"},
	"addSKU": {"outcome_unknown", "in_progress"}, "changeSKU": {"outcome_unknown", "in_progress"}, "restoreProduct": {"outcome_unknown", "in_progress"}, "overruleProduct": {"outcome_unknown", "in_progress"}, "decideProduct": {"outcome_unknown", "in_progress"},
	"claimProduct": {"outcome_unknown", "in_progress", "mismatch"}, "askUpload": {"outcome_unknown", "in_progress"}, "checkMedia": {"outcome_unknown", "in_progress"}, "decideMedia": {"outcome_unknown", "in_progress"},

	"makeOffer": {"outcome_unknown", "in_progress"}, "changeOffer": {"outcome_unknown", "in_progress"}, "moveOffer": {"outcome_unknown", "in_progress"},
	"overruleOffer": {"outcome_unknown", "in_progress"}, "decideOffer": {"outcome_unknown", "in_progress"}, "claimOffer": {"outcome_unknown", "in_progress", "mismatch"},
	"setPrices": {"outcome_unknown", "in_progress"},

	"makeWarehouse": {"outcome_unknown", "in_progress"}, "changeWarehouse": {"outcome_unknown", "in_progress"}, "setStockPlan": {"outcome_unknown", "in_progress"},
	"putStockDocument": {"outcome_unknown"},

	// Another request with the same key must be under way, too.
	"changeProfile": {"outcome_unknown", "in_progress"},
	"addAddress":    {"outcome_unknown", "in_progress"},
	"changeAddress": {"outcome_unknown", "in_progress"},
	"removeAddress": {"outcome_unknown", "in_progress"},
	"noteConsent":   {"outcome_unknown", "in_progress"},
	"askPhoneCode":  {"outcome_unknown"}, "signInByPhone": {"outcome_unknown"}, "askNewPhone": {"outcome_unknown"}, "setPhone": {"outcome_unknown"},
	"removeIdentity": {"outcome_unknown"}, "askNewEmail": {"outcome_unknown"}, "setEmail": {"outcome_unknown"},

	// The provider must hang, and the user be erased between two looks; the tests of package account have both.
	"signInByProvider": {"outcome_unknown", "in_progress"}, "addProvider": {"outcome_unknown", "in_progress", "unknown_user"},
}

// contract is a shop that is held to its API document.
type contract struct {
	*shop
	document *contracttest.Document

	admin, service     string
	challenge, refresh string // of the user who signs in
	second, proved     string // a challenge and a token of the user who has a second factor
	sellers            []shot // of all operations of sellers
	outside            outside
	goods              *goods
	market             *market
	store              *objectstest.Server
	link               string // of a shared cart
}

type shot = contracttest.Shot

func newContract(t *testing.T, in layout) *contract {
	t.Helper()
	c := &contract{shop: newShopIn(t, in)}
	c.cfg.RatePerUser, c.cfg.BurstPerUser = 0.001, 300 // a key calls each operation
	c.cfg.Messages.Inbox = true
	c.cfg.Messages.PerRecipient, c.cfg.Messages.PerAddress = 50, 500 // all ask from one address
	c.cfg.MarketsFile = rulesOf(t, wholeMarket)
	c.cfg.AssessRulesFile = rulesOf(t, `{"rules": [
		{"name": "locale", "at": ["sign_up"], "when": {"locale": {"in": ["dn"]}}, "then": "deny"},
		{"name": "denied", "at": ["sign_up"], "when": {"mail_domain": {"in": ["denied.example"]}}, "then": "deny"},
		{"name": "held", "at": ["sign_up"], "when": {"mail_domain": {"in": ["held.example"]}}, "then": "hold"},
		{"name": "denied_country", "at": ["application"], "when": {"country": {"in": ["XX"]}}, "then": "deny"},
		{"name": "held_country", "at": ["application"], "when": {"country": {"in": ["YY"]}}, "then": "hold"},
		{"name": "challenged_country", "at": ["application"], "when": {"country": {"in": ["ZZ"]}}, "then": "challenge"}
	]}`)
	c.outside = c.withProviders()
	c.store = objectstest.Start(t)
	c.cfg.Media = c.store.Config()
	c.cfg.Webhooks.Networks = []string{"127.0.0.0/8"}
	c.cfg.ReadTimeout = 500 * time.Millisecond // it waits for one
	c.start()
	c.asks("127.0.0.1")
	c.document = contracttest.Open(t, document, c.node.Addr(), c.http)
	c.admin, c.service = c.token(1, auth.RoleAdmin), c.token(2, auth.RoleService)
	return c
}

// asks has all requests come from an address from then on: each may cause so many messages.
func (c *contract) asks(from string) {
	c.http.CloseIdleConnections()
	c.http.Transport = &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
}

func (c *contract) shoot(s shot) contracttest.Answer {
	c.t.Helper()
	return c.document.Shoot(c.t, s)
}

func TestServerKeepsToItsDocument(t *testing.T) {
	t.Parallel()
	for _, in := range layouts {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			newContract(t, in).exercise()
		})
	}
}

func (c *contract) exercise() {
	c.exerciseUsers()
	c.exerciseAudit()
	c.exerciseSignIn()
	c.exerciseRepeatedReset()
	c.exerciseAssessments()
	c.exerciseFactors()
	c.exerciseSellers()
	c.exerciseAssessedSellers()
	c.exercisePeople()
	c.exercisePhones()
	c.asks("127.0.0.2")
	c.exerciseEmails()
	c.exerciseProviders()
	c.asks("127.0.0.1")
	c.exerciseProducts()
	c.exerciseGoods()
	c.exerciseOffers()
	c.exerciseCarts()
	c.exerciseEverywhere()
	for _, s := range []shot{
		{Method: "GET", Path: "/v1/audit", Token: c.admin},
		{Method: "GET", Path: "/v1/me", Token: c.token(7, auth.RoleShopper)},
		{Method: "GET", Path: "/v1/users/7", Token: c.service},
		{Method: "PUT", Path: "/v1/users/7", Token: c.service, Body: `{"region":"eu","locale":"de"}`},
	} {
		c.exerciseForm(s)
	}
	c.exercisePersonal()
	c.exerciseOutage()
	c.document.CheckComplete(c.t, unreached)
}

func (c *contract) exerciseUsers() {
	put := func(user, token, body, want string, undocumented bool) contracttest.Answer {
		c.t.Helper()
		return c.shoot(shot{Method: "PUT", Path: "/v1/users/" + user, Token: token, Body: body, Want: want, Undocumented: undocumented})
	}
	const home = `{"region":"eu","locale":"de-DE"}`
	me := c.token(7, auth.RoleShopper)
	c.shoot(shot{Method: "GET", Path: "/v1/me", Token: me, Want: "unknown_user"})
	c.shoot(shot{Method: "GET", Path: "/v1/users/7", Token: c.service, Want: "unknown_user"})
	first := put("7", c.service, home, "ok", false)
	again := put("7", c.admin, home, "ok", false)
	if first.Status != 201 || again.Status != 200 || first.Body != again.Body {
		c.t.Errorf("made: %d %s, again: %d %s", first.Status, first.Body, again.Status, again.Body)
	}
	put("7", c.service, `{"region":"eu","locale":"fr"}`, "wrong_state", false)
	put("7", c.service, `{"region":"us","locale":"de-DE"}`, "wrong_state", false)
	mine := c.shoot(shot{Method: "GET", Path: "/v1/me", Token: me, Want: "ok"})
	shown := c.shoot(shot{Method: "GET", Path: "/v1/users/7", Token: c.admin, Want: "ok"})
	if mine.Body != first.Body || shown.Body != first.Body || mine.JSON["user_id"] != "7" || mine.JSON["state"] != "active" {
		c.t.Errorf("made %s, seen as %s and %s", first.Body, mine.Body, shown.Body)
	}
	c.exercisePositions(me)
	put("9223372036854775807", c.service, home, "ok", false)
	for _, id := range []string{"0", "07", "-7", "7.0", "9223372036854775808", "ses_0000000000007", "%37", "x"} {
		put(id, c.service, home, "malformed", true)
	}
	for _, body := range []string{
		`{"region":"eu"}`, `{"region":null,"locale":"de"}`, `{"region":"EU","locale":"de"}`, `{"region":"e","locale":"de"}`,
		`{"region":"eu","locale":"DE"}`, `{"region":"eu","locale":"de_DE"}`, `{"region":"eu","locale":7}`, `{"Region":"eu","locale":"de"}`,
		`{"region":"eu","locale":"de","user_id":"8"}`, `{"region":"eu","locale":"de","state":"active"}`, `["eu","de"]`, `null`,
	} {
		put("8", c.service, body, "malformed", true)
	}
	for _, body := range []string{ // what the validator does not see
		`{"region":"eu","region":"us","locale":"de"}`, `{"region":"eu","locale":"de"} {}`, "\ufeff" + home, "{\"region\":\"e\xff\",\"locale\":\"de\"}",
	} {
		if got := c.document.Ask(c.t, c.document.Request(c.t, shot{Method: "PUT", Path: "/v1/users/8", Token: c.service, Body: body})); got.Code() != "malformed" {
			c.t.Errorf("%q: %d %s", body, got.Status, got.Body)
		}
	}
	c.shoot(shot{Method: "GET", Path: "/v1/users/8", Token: c.service, Want: "unknown_user"})
}

// exercisePositions asks for positions in all forms. No reader reaches the highest one, so the writer answers.
func (c *contract) exercisePositions(token string) {
	c.t.Helper()
	ask := func(want string, undocumented bool, positions ...string) {
		c.t.Helper()
		c.shoot(shot{Method: "GET", Path: "/v1/me", Token: token, Want: want, Undocumented: undocumented, Header: http.Header{"Read-After": positions}})
	}
	ask("ok", false, "1")
	ask("ok", false, "9999999999999999999")
	for _, wrong := range []string{"0", "01", "-1", "+1", "1.0", "x", "", "10000000000000000000"} {
		ask("malformed", true, wrong)
	}
	ask("malformed", false, "1", "1")
}

// exerciseAudit looks for the acts of exerciseUsers: two users were made, by a service.
func (c *contract) exerciseAudit() {
	list := func(query, want string, undocumented bool) (data []any, next string) {
		c.t.Helper()
		got := c.shoot(shot{Method: "GET", Path: "/v1/audit" + query, Token: c.admin, Want: want, Undocumented: undocumented})
		data, _ = got.JSON["data"].([]any)
		next, _ = got.JSON["next_cursor"].(string)
		return data, next
	}
	all, next := list("", "ok", false)
	if len(all) != 2 || next != "" {
		c.t.Fatalf("%d acts, and then %q", len(all), next)
	}
	first, _ := all[1].(map[string]any)
	origin, _ := first["origin"].(string)
	if first["actor"] != "service:2" || first["act"] != "user.make" || first["object"] != "user:7" || !strings.HasPrefix(origin, "127.0.0.1 ") || len(origin) != len("127.0.0.1 ")+24 {
		c.t.Errorf("the act is shown as %v", first)
	}
	if got := fmt.Sprint(first["changes"]); got != "[map[after:eu name:region] map[after:de-DE name:locale]]" {
		c.t.Errorf("its changes are %s", got)
	}
	page, next := list("?limit=1", "ok", false)
	rest, end := list("?limit=1&cursor="+next, "ok", false)
	if len(page) != 1 || len(rest) != 1 || end != "" || fmt.Sprint(append(page, rest...)) != fmt.Sprint(all) {
		c.t.Errorf("by pages: %v, %v and then %q", page, rest, end)
	}
	for query, want := range map[string]int{
		"?object=user:7": 1, "?object=user:8": 0, "?actor=service:2": 2, "?actor=admin:1": 0, "?act=user.make&object=user:7": 1,
		"?from=2001-01-01T00:00:00Z": 2, "?until=2001-01-01T00:00:00Z": 0, "?from=2001-01-01T00:00:00Z&until=9999-01-01T00:00:00.5%2B01:00": 2,
	} {
		if got, _ := list(query, "ok", false); len(got) != want {
			c.t.Errorf("%s: %d acts, want %d", query, len(got), want)
		}
	}
	for _, query := range []string{
		"?limit=0", "?limit=101", "?limit=-1", "?limit=x", "?limit=", "?cursor=x", "?cursor=", "?cursor=0.0", "?cursor=99999999999999999999.1.1",
		"?from=yesterday", "?from=", "?actor=The+Boss", "?act=make", "?object=user%0A7",
	} {
		list(query, "malformed", true)
	}
	for _, query := range []string{"?limit=1&limit=2", "?limit=01", "?until=2026-02-30T00:00:00Z", "?cursor=01.1.1", "?cursor=9223372036854775807.1.1", "?from=2026-01-01T00:00:00,5Z"} { // what the validator does not see
		if got := c.document.Ask(c.t, c.document.Request(c.t, shot{Method: "GET", Path: "/v1/audit" + query, Token: c.admin})); got.Code() != "malformed" {
			c.t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
}

// more is a header with other values of a name.
func more(h http.Header, name string, values ...string) http.Header {
	if h = h.Clone(); h == nil {
		h = http.Header{}
	}
	h[name] = values
	return h
}

// exerciseForm sends a request in every wrong form.
func (c *contract) exerciseForm(s shot) {
	c.t.Helper()
	with := func(want string, undocumented bool, edit func(*shot)) {
		c.t.Helper()
		wrong := s
		wrong.Want, wrong.Undocumented = want, undocumented
		edit(&wrong)
		c.shoot(wrong)
	}
	with("malformed", true, func(s *shot) {
		if s.Body == "" {
			s.Body = "{}"
		} else {
			s.Body = strings.Replace(s.Body, "{", `{"surprise":1,`, 1)
		}
	})
	with("malformed", false, func(s *shot) { s.Path += "?surprise=1" })
	if s.Token != "" {
		with("unauthorized", false, func(s *shot) { s.Token = "" })
		with("unauthorized", false, func(s *shot) { s.Token += "x" })
		with("forbidden", false, func(s *shot) {
			ofShoppers := s.Path == "/v1/me" || strings.HasPrefix(s.Path, "/v1/me/") || strings.HasPrefix(s.Path, "/v1/sellers") && !strings.HasSuffix(s.Path, "/state")
			if s.Token = c.admin; !ofShoppers {
				s.Token = c.token(7, auth.RoleShopper)
			}
		})
	}
	if s.Method != http.MethodGet {
		with("idempotency_key_missing", true, func(s *shot) { s.Header = more(s.Header, "Idempotency-Key") })
		with("idempotency_key_invalid", true, func(s *shot) { s.Header = more(s.Header, "Idempotency-Key", "a b") })
		if s.Body != "" {
			with("unsupported_media_type", true, func(s *shot) { s.Header = more(s.Header, "Content-Type", "text/plain") })
		}
		return
	}
	c.document.Head(c.t, s)
}

func (c *contract) exerciseEverywhere() {
	for _, path := range []string{"/v2", "/v1/users/", "/v1/users/7/", "//v1/me", "/v1/../v1/me", "/v1/m%65"} {
		c.shoot(shot{Method: "GET", Path: path, Want: "not_found", Undocumented: path == "/v1/users/"}) // whose id is missing
	}
	if got := c.shoot(shot{Method: "DELETE", Path: "/v1/users/7", Want: "method_not_allowed"}); got.Header.Get("Allow") != "GET, HEAD, PUT" {
		c.t.Errorf("allowed: %v", got.Header)
	}
	c.shoot(shot{Method: "GET", Path: "/v1/me", Want: "headers_too_large", Header: http.Header{"X": {strings.Repeat("x", 9000)}}})
	c.shoot(shot{Method: "GET", Path: "/v1/me", Want: "malformed", Header: http.Header{"Authorization": {"Bearer a", "Bearer b"}}})
	c.shoot(shot{
		Method: "PUT", Path: "/v1/users/7", Token: c.service, Want: "payload_too_large",
		Body: `{"region":"eu","locale":"de"` + strings.Repeat(" ", 17000) + "}",
	})
	hasty := c.token(77, auth.RoleShopper)
	for i := 0; c.shoot(shot{Method: "GET", Path: "/v1/me", Token: hasty}).Code() != "rate_limited"; i++ {
		if i > c.cfg.BurstPerUser {
			c.t.Fatal("a user has no limit")
		}
	}
	slow, err := net.Dial("tcp", c.node.Addr())
	if err != nil {
		c.t.Fatal(err)
	}
	defer slow.Close()
	_, err = fmt.Fprintf(slow, "PUT /v1/users/7 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: k\r\n"+
		"Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{", c.service)
	if err != nil {
		c.t.Fatal(err)
	}
	text, err := io.ReadAll(slow)
	if err != nil || !strings.Contains(string(text), `"code":"request_timeout"`) {
		c.t.Errorf("a request that does not end: %q, %v", text, err)
	}
	c.document.Saw("", "request_timeout")
}

// exerciseOutage takes the tables away.
func (c *contract) exerciseOutage() {
	kept := c.comesBack(flows, "", atHome, c.outside.plain, providertest.Person{ID: "late"})
	c.everywhere("RENAME TABLE users__ TO elsewhere__, audit_entries__ TO forgotten__, assess_answers__ TO unanswered__")
	c.shoot(shot{Method: "GET", Path: "/v1/audit", Token: c.admin, Want: "unavailable"})
	c.shoot(shot{Method: "GET", Path: "/v1/me", Token: c.token(8, auth.RoleShopper), Want: "unavailable"})
	c.shoot(shot{Method: "GET", Path: "/v1/users/7", Token: c.service, Want: "unavailable"})
	c.shoot(shot{Method: "PUT", Path: "/v1/users/7", Token: c.service, Body: `{"region":"eu","locale":"de"}`, Want: "unavailable"})
	c.exerciseSignInOutage(c.token(8, auth.RoleShopper))
	for _, s := range []shot{
		{Method: "POST", Path: byProvider, Body: kept},
		{Method: "POST", Path: myFlows, Token: c.token(8, auth.RoleShopper)},
		{Method: "POST", Path: mineThere, Body: kept, Token: c.token(8, auth.RoleShopper)},
	} {
		s.Want = "unavailable"
		c.shoot(s)
	}
	c.exerciseFactorsOutage(c.token(8, auth.RoleShopper))
	c.market.exerciseOffersOutage()
	c.exerciseCartsOutage()
	c.goods.exerciseGoodsOutage()
	c.goods.exerciseStockOutage()
	c.exerciseProductsOutage()
	c.exerciseSellersOutage()
	for _, s := range personal(noAddress) {
		c.by(c.token(8, auth.RoleShopper), "unavailable", s)
	}
	c.exerciseAssessmentsOutage()
	if !strings.Contains(c.logs.String(), "there is no table users") {
		c.t.Errorf("the log does not say why: %s", c.logs.String())
	}
}
