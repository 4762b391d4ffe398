package catalog

import (
	"net/http"
	"strings"

	"sluice/core/auth"
)

// callsOfOffers counts what the way of an offer costs: of the seller of callsOfGoods, reviewed by its reviewer. Each call of a seller's people
// looks whether they are some; content has its SKUs looked up. A write looks its key up, claims it and keeps the answer: three statements. It
// locks the offer, and has two of the event; a move has one that moves and one that is kept. A privileged act has two of the audit log. Ops
// have a session: one statement looks whether it lives, and of a decision another one whether it is proved.
func (c *callCounter) callsOfOffers(seller, sku string) {
	const list, one, review = "/v1/sellers/{seller_id}/offers", "/v1/sellers/{seller_id}/offers/{offer_id}", "/v1/offer_reviews/{offer_id}"
	const content = `{"market":"de","currency":"EUR","texts":{"en":{"title":"Sale"}},"items":[{"sku_id":"SKU","units":1,"price":PRICE}],` +
		`"opens_at":"2099-11-11T20:00:00Z","closes_at":"2099-11-11T22:00:00Z","rules":{"hold_seconds":900}}`
	owner, ops := c.token(8, auth.RoleShopper), c.issue(auth.Identity{Subject: 9, Role: auth.RoleShopper, Session: 9})
	of := func(price string) string { return strings.NewReplacer("SKU", sku, "PRICE", price).Replace(content) }
	path := strings.NewReplacer("{seller_id}", seller)
	made := c.call(request{"POST", path.Replace(list), of("100"), owner, http.StatusCreated, 9, 1, list})
	path = strings.NewReplacer("{seller_id}", seller, "{offer_id}", made["offer_id"])
	do := func(method, operation, body, token, version string, statements int64) {
		c.t.Helper()
		c.callAll(
			map[string]string{"Idempotency-Key": "offers" + version, "If-Match": `"` + version + `"`},
			request{method, path.Replace(operation), body, token, http.StatusOK, statements, 1, operation},
		)
	}
	do("PUT", one, of("101"), owner, "1", 9)
	do("PUT", one+"/stage", `{"stage":"in_review"}`, owner, "2", 12) // two look what the offer has, and whether it is listed; one whether its time is over
	c.call(request{"GET", path.Replace(list), "", owner, http.StatusOK, 2, 0, list})
	c.call(request{"GET", path.Replace(one), "", owner, http.StatusOK, 2, 0, one})
	c.call(request{"GET", path.Replace(one) + "/moves", "", owner, http.StatusOK, 3, 0, one + "/moves"})
	c.call(request{"GET", "/v1/offer_reviews", "", ops, http.StatusOK, 2, 0, ""})
	c.call(request{"GET", path.Replace(review), "", ops, http.StatusOK, 2, 0, review})
	do("POST", review+"/claim", "", ops, "3", 11) // two look whose the offer is, and that the reviewer is nobody there
	do("POST", review+"/decision", `{"approve":true,"reason":"x"}`, ops, "3", 17)
	c.call(request{"GET", "/v1/offers", "", "", http.StatusOK, 2, 0, ""})
	c.call(request{"GET", path.Replace("/v1/offers/{offer_id}"), "", "", http.StatusOK, 2, 0, "/v1/offers/{offer_id}"})
	do("PUT", "/v1/offers/{offer_id}/stage", `{"stage":"withdrawn","reason":"x"}`, ops, "4", 14)
}
