package catalog_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/shard"
)

const noOffer = "ofr_0000000000001"

// summer is what an offer of a SKU is.
const summer = `{"market":"de","currency":"EUR","texts":{"en":{"title":"Summer","description":"One\n\nevening."}},"items":[{"sku_id":"SKU","units":100,"price":1999}],` +
	`"opens_at":"2099-11-11T20:00:00Z","closes_at":"2099-11-11T22:00:00.500Z","rules":{"limit":2,"hold_seconds":900}}`

func offering(sku string, edit ...string) string {
	return strings.NewReplacer(append([]string{"SKU", sku}, edit...)...).Replace(summer)
}

// market is a shop with a seller that is open, and has a product that is listed.
type market struct {
	*contract

	owner, support     string // tokens
	seller, sku, offer string
	version, keys      int
}

func (m *market) key() string { m.keys++; return fmt.Sprint("o", m.keys) }

func (m *market) path(rest string) string {
	return "/v1/sellers/" + m.seller + "/offers/" + m.offer + rest
}

// edit changes the offer as of its version. What has succeeded is sent again as a change of another version under the same key.
func (m *market) edit(rest, body, want string) {
	m.t.Helper()
	key := m.key()
	got := m.change("PUT", m.path(rest), m.owner, key, fmt.Sprintf(`"%d"`, m.version), body, want)
	if want == "ok" {
		version, _ := got.JSON["version"].(float64)
		m.version = int(version)
		m.change("PUT", m.path(rest), m.owner, key, `"777"`, body, "mismatch")
	}
}

// everyOffer executes a statement in all places of offers.
func (s *shop) everyOffer(statement string) {
	s.t.Helper()
	for _, p := range s.databases().All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(p.Name, err)
		}
	}
}

// exerciseOffers goes the way of an offer from its draft to shoppers.
func (c *contract) exerciseOffers() {
	c.t.Helper()
	for user, role := range map[int64]string{171: "", 172: "support"} {
		c.makeUser(user)
		if role != "" {
			c.grant(user, role)
		}
	}
	m := &market{contract: c, owner: c.provedToken(171), support: c.provedToken(172)}
	m.seller = c.text(c.write("POST", "/v1/sellers", m.owner, m.key(), application, "ok"), "seller_id")
	path := "/v1/sellers/" + m.seller + "/offers"
	m.write("POST", path, m.owner, m.key(), offering("4096"), "wrong_state") // the seller has not opened
	m.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 171")
	products := "/v1/sellers/" + m.seller + "/products"
	made := m.write("POST", products, m.owner, m.key(), strings.ReplaceAll(shirt, "CATEGORY", c.goods.category), "ok")
	at := products + "/" + m.text(made, "product_id")
	m.change("POST", at+"/skus", m.owner, m.key(), `"1"`, smallShirt, "ok")
	whole := m.shoot(shot{Method: "GET", Path: at, Token: m.owner, Want: "ok"})
	m.sku = regexp.MustCompile(`"sku_id":"([0-9]+)"`).FindStringSubmatch(whole.Body)[1]
	m.exerciseOfferDraft(path)
	m.exerciseOfferReview(at)
	m.exerciseOfferShown()
	m.exerciseOfferForms()
	c.market = m
}

func (m *market) exerciseOfferDraft(path string) {
	m.t.Helper()
	key, body := m.key(), offering(m.sku)
	made := m.write("POST", path, m.owner, key, body, "ok")
	again := m.write("POST", path, m.owner, key, body, "ok")
	m.write("POST", path, m.owner, key, offering(m.sku, "1999", "1998"), "mismatch")
	m.offer, m.version = m.text(made, "offer_id"), 1
	if made.Body != again.Body || made.JSON["stage"] != "draft" || made.Header.Get("Etag") != `"1"` || made.JSON["closes_at"] != "2099-11-11T22:00:00.5Z" {
		m.t.Errorf("made %s, and again %s", made.Body, again.Body)
	}
	foreign, _ := ids.SKU(1, 0)
	for _, sku := range []string{fmt.Sprint(foreign), "9223372036854775807", m.goodsSKU()} { // that nobody has, that nobody can have, of another seller
		m.write("POST", path, m.owner, m.key(), offering(sku), "unknown_sku")
		m.edit("", offering(sku), "unknown_sku")
	}
	m.edit("", offering(m.sku, "1999", "1899"), "ok")
	m.edit("/stage", `{"stage":"in_review"}`, "incomplete") // the product is not listed
	if list := m.shoot(shot{Method: "GET", Path: path, Token: m.owner, Want: "ok"}); strings.Count(list.Body, m.offer) != 1 {
		m.t.Errorf("the list is %s", list.Body)
	}
	keyed := m.text(m.write("POST", "/v1/sellers/"+m.seller+"/api_keys", m.owner, m.key(), keyFor("offers:read"), "ok"), "key")
	for _, path := range []string{path, m.path(""), m.path("/moves")} {
		m.shoot(shot{Method: "GET", Path: path, Token: keyed, Want: "ok"})
	}
}

// goodsSKU is a SKU of another seller.
func (m *market) goodsSKU() string {
	m.t.Helper()
	product, err := ids.Read[ids.Product](m.goods.product)
	if err != nil {
		m.t.Fatal(err)
	}
	sku, _ := ids.SKU(product, 0)
	return fmt.Sprint(sku)
}

func (m *market) exerciseOfferReview(product string) {
	m.t.Helper()
	review := "/v1/offer_reviews/" + m.offer
	const yes = `{"approve":true,"reason":"all agrees"}`
	id := product[strings.LastIndex(product, "/")+1:]
	list := func(stage string) {
		p, err := ids.Read[ids.Product](id)
		if err != nil {
			m.t.Fatal(err)
		}
		m.everyProduct(fmt.Sprintf("UPDATE products__ SET stage = '%s' WHERE product_id = %d", stage, p))
	}
	list("listed")
	m.edit("/stage", `{"stage":"in_review"}`, "ok")
	m.edit("", offering(m.sku), "wrong_state")
	m.edit("/stage", `{"stage":"draft"}`, "wrong_state")
	if queue := m.shoot(shot{Method: "GET", Path: "/v1/offer_reviews", Token: m.support, Want: "ok"}); !strings.Contains(queue.Body, m.offer) {
		m.t.Errorf("the queue is %s", queue.Body)
	}
	decide := func(token, key, body, want string) {
		m.seen(m.version, "POST", review+"/decision", token, key, body, want)
	}
	decide(m.token(172, auth.RoleShopper), m.key(), yes, "step_up_required") // it is of no session
	decide(m.support, m.key(), yes, "wrong_state")                           // nobody has claimed it
	m.grant(171, "ops")
	m.write("POST", review+"/claim", m.owner, m.key(), "", "own_seller")
	m.write("POST", review+"/claim", m.support, m.key(), "", "ok")
	m.seen(m.version-1, "POST", review+"/decision", m.support, m.key(), yes, "changed_since")
	m.unseen("POST", review+"/decision", m.support, yes)
	ops := m.provedToken(opsOfProducts)
	m.write("POST", review+"/claim", ops, m.key(), "", "review_claimed")
	decide(ops, m.key(), yes, "review_claimed")
	decide(m.owner, m.key(), yes, "own_seller")
	list("delisted")
	decide(m.support, m.key(), yes, "incomplete")
	list("listed")
	m.shoot(shot{Method: "GET", Path: review, Token: m.support, Want: "ok"})
	decide(m.support, m.key(), `{"approve":false,"reason":"the title misleads"}`, "ok")
	m.version++
	if moves := m.shoot(shot{Method: "GET", Path: m.path("/moves"), Token: m.owner, Want: "ok"}); !strings.Contains(moves.Body, "the title misleads") {
		m.t.Errorf("the moves are %s", moves.Body)
	}
	m.edit("/stage", `{"stage":"draft"}`, "ok")
	m.edit("/stage", `{"stage":"in_review"}`, "ok")
	m.write("POST", review+"/claim", m.support, m.key(), "", "ok")
	key := m.key()
	decide(m.support, key, yes, "ok")
	decide(m.support, key, yes, "ok")
	decide(m.support, key, strings.Replace(yes, "true", "false", 1), "mismatch")
	m.write("POST", review+"/claim", m.support, m.key(), "", "wrong_state")
	m.version++
}

func (m *market) exerciseOfferShown() {
	m.t.Helper()
	public := "/v1/offers/" + m.offer
	m.shoot(shot{Method: "GET", Path: "/v1/offers/" + noOffer, Want: "unknown_offer"})
	lists := func(want bool) {
		m.t.Helper()
		if list := m.shoot(shot{Method: "GET", Path: "/v1/offers?limit=1", Want: "ok"}); strings.Contains(list.Body, m.offer) != want {
			m.t.Errorf("the list is %s", list.Body)
		}
	}
	m.shoot(shot{Method: "GET", Path: public, Want: "ok"})
	lists(true)
	m.everyValue("UPDATE sellers__ SET state = 'suspended' WHERE applicant = 171")
	m.shoot(shot{Method: "GET", Path: public, Want: "unknown_offer"})
	lists(false)
	m.edit("/stage", `{"stage":"withdrawn"}`, "wrong_state")
	m.everyValue("UPDATE sellers__ SET state = 'open' WHERE applicant = 171")
	const withdraw = `{"stage":"withdrawn","reason":"complaint 4711"}`
	key := m.key()
	overrule := func(token, key, body, want string) { m.seen(m.version, "PUT", public+"/stage", token, key, body, want) }
	overrule(m.token(opsOfProducts, auth.RoleShopper), m.key(), withdraw, "step_up_required") // it is of no session
	overrule(m.owner, m.key(), withdraw, "own_seller")                                        // who has the role ops
	m.seen(m.version-1, "PUT", public+"/stage", m.admin, m.key(), withdraw, "changed_since")
	m.unseen("PUT", public+"/stage", m.admin, withdraw)
	overrule(m.admin, key, withdraw, "ok")
	overrule(m.admin, key, withdraw, "ok")
	overrule(m.admin, key, strings.Replace(withdraw, "4711", "4712", 1), "mismatch")
	m.version++
	overrule(m.admin, m.key(), withdraw, "ok") // it is so already
	m.shoot(shot{Method: "GET", Path: public, Want: "unknown_offer"})
	m.edit("/stage", `{"stage":"draft"}`, "wrong_state")
	m.everyOffer("UPDATE offers__ SET stage = 'closed'")
	overrule(m.admin, m.key(), withdraw, "wrong_state")
	m.everyOffer("UPDATE offers__ SET stage = 'withdrawn'")
}

// offersOf are requests of all operations of people of a seller about an offer, in the form that is right.
func offersOf(seller, offer, sku string) []shot {
	at, match := "/v1/sellers/"+seller+"/offers/"+offer, http.Header{"If-Match": {`"777"`}}
	return []shot{
		{Method: "GET", Path: "/v1/sellers/" + seller + "/offers"},
		{Method: "POST", Path: "/v1/sellers/" + seller + "/offers", Body: offering(sku)},
		{Method: "GET", Path: at},
		{Method: "PUT", Path: at, Header: match, Body: offering(sku)},
		{Method: "PUT", Path: at + "/stage", Header: match, Body: `{"stage":"in_review"}`},
		{Method: "GET", Path: at + "/moves"},
	}
}

// offerShots are requests of all operations of offers. Each of a seller is of another one of its people, because a user has a limit.
func (m *market) offerShots(seller, offer string) []shot {
	m.t.Helper()
	match := http.Header{"If-Match": {`"777"`}}
	all := offersOf(seller, offer, m.sku)
	for i := range all {
		all[i].Token = m.token(int64(180+i), auth.RoleShopper)
	}
	return append(
		all,
		shot{Method: "GET", Path: "/v1/offers"},
		shot{Method: "GET", Path: "/v1/offers/" + offer},
		shot{Method: "PUT", Path: "/v1/offers/" + offer + "/stage", Token: m.admin, Header: match, Body: `{"stage":"withdrawn","reason":"x"}`},
		shot{Method: "GET", Path: "/v1/offer_reviews", Token: m.admin},
		shot{Method: "GET", Path: "/v1/offer_reviews/" + offer, Token: m.admin},
		shot{Method: "POST", Path: "/v1/offer_reviews/" + offer + "/claim", Token: m.support},
		shot{Method: "POST", Path: "/v1/offer_reviews/" + offer + "/decision", Token: m.support, Header: match, Body: `{"approve":true,"reason":"x"}`},
	)
}

// exerciseOfferForms sends all of them in wrong forms, about what is not there, and as of another version.
func (m *market) exerciseOfferForms() {
	m.t.Helper()
	for i, s := range m.offerShots(m.seller, m.offer) {
		if user := int64(180 + i); i < 6 {
			m.makeUser(user)
			m.everyValue(fmt.Sprintf("INSERT INTO seller_members__ (seller_id, user_id, role, since) SELECT seller_id, %d, 'member', NOW(3) FROM sellers__ WHERE applicant = 171", user))
		}
		about := func(old, with, want string, undocumented bool) {
			if strings.Contains(s.Path, old) {
				other := s
				other.Path, other.Want, other.Undocumented = strings.Replace(s.Path, old, with, 1), want, undocumented
				m.shoot(other)
			}
		}
		about(m.seller, "sel_0000000000015", "unknown_seller", false)
		about(m.seller, "7", "malformed", true)
		about(m.offer, noOffer, "unknown_offer", false)
		about(m.offer, "cat_0000000000001", "malformed", true)
		if s.Header != nil {
			old := s
			switch old.Want = "changed_since"; {
			case strings.HasSuffix(s.Path, "/decision"):
				old.Want = "wrong_state" // it is in no review
			case strings.HasPrefix(s.Path, "/v1/offers/"):
				old.Want = "ok" // it is withdrawn already
			}
			m.shoot(old)
			old.Header, old.Want, old.Undocumented = nil, "if_match_missing", true
			m.shoot(old)
		}
		m.exerciseForm(s)
	}
	for _, wrong := range [][2]string{ // contents that the document cannot tell from others
		{`"EUR"`, `"XXX"`},
		{"22:00:00.500Z", "20:00:00Z"},
		{"22:00:00.500Z", "20:00:59Z"},
		{`"2099-11-11T20:00:00Z"`, `"2099-01-01T20:00:00Z"`},
		{`100,"price":1999`, `10000000,"price":9007199254740991`},
		{`"items":[`, `"items":[{"sku_id":"` + m.sku + `","units":1,"price":1},`},
	} {
		m.write("POST", "/v1/sellers/"+m.seller+"/offers", m.token(181, auth.RoleShopper), m.key(), offering(m.sku, wrong[0], wrong[1]), "malformed")
	}
}

// exerciseOffersOutage takes the tables of offers away.
func (m *market) exerciseOffersOutage() {
	m.t.Helper()
	m.everyOffer("RENAME TABLE offers__ TO no_offers__")
	for _, s := range m.offerShots(m.seller, m.offer) {
		s.Want = "unavailable"
		m.shoot(s)
	}
}
