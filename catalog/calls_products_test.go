package catalog

import (
	"net/http"
	"strings"

	"sluice/core/auth"
)

// callsOfProducts are about a tree that nobody has read yet. To read it takes five statements in a transaction, which is told its
// isolation by one more; once a process has it, a reading asks nothing. A write looks its key up, claims it and keeps the answer: three
// statements. It locks the tree, and reads it by four if somebody has changed it. Then come the
// rows, one that counts the tree, two of the event, and two of the audit log.
func (c *callCounter) callsOfProducts() {
	const category, attribute, brand = "/v1/categories/{category_id}", "/v1/categories/{category_id}/attributes/{attribute}", "/v1/brands/{brand_id}"
	admin := c.token(7, auth.RoleAdmin)
	c.call(request{"GET", "/v1/categories", "", "", http.StatusOK, 6, 1, ""})
	c.call(request{"GET", "/v1/categories", "", "", http.StatusOK, 0, 0, ""})
	shoes := c.call(request{"POST", "/v1/categories", `{"names":{"en":"Shoes"}}`, admin, http.StatusCreated, 11, 1, ""})["category_id"]
	of := func(path string) string {
		return strings.NewReplacer("{category_id}", shoes, "{attribute}", "size").Replace(path)
	}
	c.call(request{"GET", of(category), "", "", http.StatusOK, 6, 1, category})
	c.call(request{"GET", of(category) + "/attributes", "", "", http.StatusOK, 0, 0, category + "/attributes"})
	c.call(request{"PUT", of(category), `{"position":1,"state":"active","names":{"en":"Shoes"}}`, admin, http.StatusOK, 12, 1, category})
	const size = `{"kind":"number","unit":"cm","required":true,"names":{"en":"Length"}}`
	c.callAll(map[string]string{"Idempotency-Key": "k", "If-Match": `"2"`}, request{"PUT", of(attribute), size, admin, http.StatusOK, 17, 1, attribute})
	c.callAll(map[string]string{"Idempotency-Key": "k", "If-Match": `"3"`}, request{"DELETE", of(attribute), "", admin, http.StatusOK, 16, 1, attribute})
	c.call(request{"GET", of(category), "", "", http.StatusOK, 6, 1, category})
	c.callsOfGoods(shoes)
	acme := c.call(request{"POST", "/v1/brands", `{"names":{"en":"Acme"}}`, admin, http.StatusCreated, 9, 1, ""})["brand_id"]
	at := strings.Replace(brand, "{brand_id}", acme, 1)
	c.call(request{"GET", "/v1/brands", "", "", http.StatusOK, 1, 0, ""})
	c.call(request{"GET", at, "", "", http.StatusOK, 1, 0, brand})
	c.call(request{"PUT", at, `{"state":"archived","names":{"en":"Acme","de":"Akme"}}`, admin, http.StatusOK, 12, 1, brand})
}
