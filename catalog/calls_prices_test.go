package catalog

import (
	"net/http"
	"strings"
)

// callsOfPrices counts what prices of the SKU of callsOfGoods cost, which is listed. What a product is, two statements tell, and of one that is
// listed another one whether its seller is open. A write of prices has the three of its key, one that locks, one that writes, one of the
// version and two of the event; what begins or ends later has a task.
func (c *callCounter) callsOfPrices(owner, admin string, path *strings.Replacer) {
	const of, public = "/v1/sellers/{seller_id}/products/{product_id}/skus/{sku_id}/prices/{market}", "/v1/products/{product_id}/prices"
	const list, later = `{"kind":"list","price":{"amount":2000,"currency":"EUR"}}`, `{"kind":"list","channel":"app","price":{"amount":1900,"currency":"EUR"},"from":"2090-01-01T00:00:00Z"}`
	at := strings.Replace(path.Replace(of), "{market}", "de", 1)
	c.callAll(map[string]string{"Idempotency-Key": "prices", "If-Match": `"1"`},
		request{"PUT", at, `{"prices":[` + list + `,` + later + `]}`, owner, http.StatusOK, 13, 1, of})
	c.call(request{"GET", at, "", owner, http.StatusOK, 5, 0, of})
	c.call(request{"GET", at + "/changes", "", owner, http.StatusOK, 5, 0, of + "/changes"})
	c.call(request{"GET", path.Replace(public) + "?market=de", "", "", http.StatusOK, 4, 0, public})
	sku := path.Replace("{sku_id}")
	c.call(request{"POST", "/v1/me/quotes", `{"market":"de","items":[{"sku_id":"` + sku + `","quantity":2}]}`, owner, http.StatusOK, 4, 0, ""})
	c.call(request{"GET", "/v1/markets", "", "", http.StatusOK, 0, 0, ""})
	c.call(request{"GET", "/v1/price_snapshot", "", admin, http.StatusOK, 3, 1, ""})
}
