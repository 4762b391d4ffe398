package catalog

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sluice/core/auth"
)

// callsOfCarts counts what carts ask about a SKU that shoppers can buy. What it is takes three statements, however many there are.
func (c *callCounter) callsOfCarts(sku int64) {
	c.t.Helper()
	const (
		cart, ofGuest = "/v1/me/cart", "/v1/guest_cart"
		line          = "/lines/{sku_id}"
		one           = `{"quantity":1}`
		sold          = 3
	)
	me := c.token(30, auth.RoleShopper)
	of := strings.NewReplacer("{sku_id}", strconv.FormatInt(sku, 10))
	guest := c.call(request{"POST", "/v1/guest_carts", "", "", http.StatusCreated, 0, 0, ""})["cart_token"]
	as := func(version int, r request) map[string]any {
		c.t.Helper()
		headers := map[string]string{"Idempotency-Key": "k", "If-Match": fmt.Sprintf(`"%d"`, version)}
		if strings.HasPrefix(r.path, ofGuest) {
			headers["Cart-Token"] = guest
		}
		return c.callAll(headers, r)
	}
	for _, base := range []string{cart, ofGuest} {
		token := ""
		if base == cart {
			token = me
		}
		as(1, request{"PUT", base + of.Replace(line), one, token, http.StatusOK, 2 + sold, 0, base + line})
		as(1, request{"PUT", base + of.Replace(line), one, token, http.StatusOK, 1, 0, base + line}) // the cart says so already
		as(0, request{"GET", base, "", token, http.StatusOK, 1 + sold, 0, ""})
		as(2, request{"DELETE", base + of.Replace(line), "", token, http.StatusOK, 2, 0, base + line})
		as(3, request{"PUT", base + of.Replace(line), one, token, http.StatusOK, 2 + sold, 0, base + line})
		as(4, request{"DELETE", base, "", token, http.StatusOK, 2, 0, ""})
		as(5, request{"PUT", base + of.Replace(line), one, token, http.StatusOK, 2 + sold, 0, base + line})
	}
	merging := fmt.Sprintf(`{"cart_token":%q}`, guest)
	c.call(request{"POST", cart + "/merges", merging, me, http.StatusOK, 9, 2, ""}) // three take it over, with a task; three put it in
	c.call(request{"POST", cart + "/merges", merging, me, http.StatusOK, 3, 0, ""})
	shared := c.call(request{"POST", cart + "/shares", `{}`, me, http.StatusCreated, 7, 1, ""})["share_token"] // three keep the answer
	c.call(request{"GET", cart + "/shares", "", me, http.StatusOK, 1, 0, ""})
	c.call(request{"GET", "/v1/shared_carts/" + shared, "", "", http.StatusOK, 1 + sold, 0, "/v1/shared_carts/{share_token}"})
	c.call(request{"DELETE", cart + "/shares/" + shared, "", me, http.StatusNoContent, 1, 0, cart + "/shares/{share_token}"})
}
