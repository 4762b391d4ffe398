package catalog_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"sluice/core/auth"
	"sluice/core/shard"
)

const noShare = "AAHmrQ2mXh3lJ1x3v0T0mQkHmrQ2mXh3lJ0"

// cartOf makes the cart of a user by hand, with a unit of each of some SKUs.
func (s *shop) cartOf(user int64, skus ...string) {
	s.t.Helper()
	var lines []string
	for _, sku := range skus {
		lines = append(lines, fmt.Sprintf(`{"s":%s,"q":1,"t":1}`, sku))
	}
	p := s.databases().At(shard.OfUser(user))
	_, err := p.In(p.Writer()).ExecContext(s.t.Context(), "REPLACE INTO carts__ (user_id, version, content, changed_at) VALUES (?, 2, ?, NOW(3))",
		user, "["+strings.Join(lines, ",")+"]")
	if err != nil {
		s.t.Fatal(err)
	}
}

// guest is the header of a guest's cart.
func guest(token string) http.Header { return http.Header{"Cart-Token": {token}} }

// listed is the SKU of the contract's product, which shoppers can buy from then on.
func (c *contract) listed() (sku string) {
	c.t.Helper()
	c.everyProduct("UPDATE product_skus__ SET state = 'active'")
	c.everyProduct("UPDATE products__ SET stage = 'listed'")
	whole := c.shoot(shot{Method: "GET", Path: "/v1/products/" + c.goods.product, Want: "ok"})
	return regexp.MustCompile(`"sku_id":"([0-9]+)"`).FindStringSubmatch(whole.Body)[1]
}

// exerciseCarts has a guest choose, sign in, and share.
func (c *contract) exerciseCarts() {
	c.t.Helper()
	sku := c.listed()
	me, other := c.token(271, auth.RoleShopper), c.token(272, auth.RoleShopper)
	for user := int64(271); user < 280; user++ {
		c.makeUser(user)
	}
	const lines, shares, merges = "/v1/me/cart/lines/", "/v1/me/cart/shares", "/v1/me/cart/merges"
	token := c.text(c.write("POST", "/v1/guest_carts", "", "t", "", "ok"), "cart_token")
	empty := c.shoot(shot{Method: "GET", Path: "/v1/guest_cart", Header: guest(token), Want: "ok"})
	if !strings.Contains(empty.Body, `"lines":[]`) || empty.Header.Get("Etag") != `"1"` {
		c.t.Errorf("a new cart is %s, %s", empty.Body, empty.Header.Get("Etag"))
	}
	guests := func(method, rest, body, match, want string) string {
		c.t.Helper()
		header := guest(token)
		if match != "" {
			header.Set("If-Match", match)
		}
		return c.shoot(shot{Method: method, Path: "/v1/guest_cart" + rest, Body: body, Header: header, Want: want}).Body
	}
	guests("PUT", "/lines/"+sku, `{"quantity":2}`, "", "ok")
	guests("PUT", "/lines/"+sku, `{"quantity":3,"saved_for_later":true}`, `"1"`, "changed_since")
	guests("DELETE", "/lines/"+sku, "", `"1"`, "changed_since")
	guests("DELETE", "", "", `"1"`, "changed_since")
	guests("PUT", "/lines/77824", `{"quantity":2}`, "", "unknown_sku")
	guests("DELETE", "/lines/77824", "", "", "ok")
	guests("DELETE", "", "", "", "ok")
	guests("PUT", "/lines/"+sku, `{"quantity":2}`, "", "ok")
	if body := guests("GET", "", "", "", "ok"); !strings.Contains(body, `"quantity":2`) || !strings.Contains(body, `"available":true`) || !strings.Contains(body, `"Shirt"`) {
		c.t.Errorf("the guest sees %s", body)
	}
	c.write("PUT", lines+sku, me, "p", `{"quantity":1}`, "ok")
	merging := fmt.Sprintf(`{"cart_token":%q}`, token)
	for range 2 {
		if got := c.write("POST", merges, me, "m", merging, "ok"); !strings.Contains(got.Body, `"quantity":3`) || got.Header.Get("Etag") != `"3"` {
			c.t.Errorf("merged: %s", got.Body)
		}
	}
	c.write("POST", merges, other, "m", merging, "cart_merged")
	c.write("POST", merges, me, "n", fmt.Sprintf(`{"cart_token":%q}`, strings.Repeat("A", 43)), "unknown_cart")
	for _, r := range [][3]string{{"GET", "", ""}, {"DELETE", "", ""}, {"PUT", "/lines/" + sku, `{"quantity":1}`}, {"DELETE", "/lines/" + sku, ""}} {
		guests(r[0], r[1], r[2], "", "cart_merged")
	}

	c.write("POST", shares, other, "none", `{}`, "wrong_state")
	made := c.write("POST", shares, me, "s", `{"days":3}`, "ok")
	link := "/v1/shared_carts/" + c.text(made, "share_token")
	if again := c.write("POST", shares, me, "s", `{"days":3}`, "ok"); again.Body != made.Body {
		c.t.Errorf("shared %s, and again %s", made.Body, again.Body)
	}
	c.write("POST", shares, me, "s", `{"days":4}`, "mismatch")
	seen := c.shoot(shot{Method: "GET", Path: link, Want: "ok"})
	if !strings.Contains(seen.Body, `"quantity":3`) || strings.Contains(seen.Body, "user") || strings.Contains(seen.Body, "added_at") {
		c.t.Errorf("others see %s", seen.Body)
	}
	if list := c.shoot(shot{Method: "GET", Path: shares, Token: me, Want: "ok"}); strings.Count(list.Body, "share_token") != 1 || !strings.Contains(list.Body, c.text(made, "share_token")) {
		c.t.Errorf("the shares are %s", list.Body)
	}
	for n := range 19 {
		c.link = "/v1/shared_carts/" + c.text(c.write("POST", shares, me, fmt.Sprint("s", n), `{}`, "ok"), "share_token")
	}
	c.write("POST", shares, me, "more", `{}`, "too_many")
	c.write("DELETE", shares+strings.TrimPrefix(link, "/v1/shared_carts"), other, "e", "", "unknown_share")
	c.write("DELETE", shares+strings.TrimPrefix(link, "/v1/shared_carts"), me, "e", "", "ok")
	c.shoot(shot{Method: "GET", Path: link, Want: "unknown_share"})

	c.change("PUT", lines+sku, me, "q", `"2"`, `{"quantity":8}`, "changed_since")
	c.change("PUT", lines+sku, me, "q", `"3"`, `{"quantity":8}`, "ok")
	c.change("DELETE", lines+sku, me, "d", `"3"`, "", "changed_since")
	c.change("DELETE", "/v1/me/cart", me, "d", `"3"`, "", "changed_since")
	c.everyProduct("UPDATE products__ SET stage = 'delisted'")
	if gone := c.shoot(shot{Method: "GET", Path: "/v1/me/cart", Token: me, Want: "ok"}); !strings.Contains(gone.Body, `"available":false`) || !strings.Contains(gone.Body, `"changes":["unavailable"]`) {
		c.t.Errorf("what nobody sells is shown as %s", gone.Body)
	}
	c.write("PUT", lines+sku, me, "r", `{"quantity":9}`, "unknown_sku")
	c.write("DELETE", lines+sku, me, "s", "", "ok")
	c.write("DELETE", "/v1/me/cart", me, "t", "", "ok")
	c.everyProduct("UPDATE products__ SET stage = 'listed'")
	c.exerciseFullCart(sku)
	c.exerciseCartForms(sku)
}

// exerciseFullCart adds a line to carts that have as many as there may be.
func (c *contract) exerciseFullCart(sku string) {
	c.t.Helper()
	var full []string
	for n := range 100 {
		full = append(full, fmt.Sprint(4096*7+n))
	}
	c.cartOf(273, full...)
	c.write("PUT", "/v1/me/cart/lines/"+sku, c.token(273, auth.RoleShopper), "f", `{"quantity":1}`, "too_many")
	token := c.text(c.write("POST", "/v1/guest_carts", "", "t", "", "ok"), "cart_token")
	put := shot{Method: "PUT", Path: "/v1/guest_cart/lines/" + sku, Body: `{"quantity":1}`, Header: guest(token), Want: "ok"}
	c.shoot(put)
	c.everywhere(fmt.Sprintf(`UPDATE cart_guests__ SET content = '[%s]' WHERE user_id IS NULL`, `{"s":4097,"q":1,"t":1}`+manyLines(99)))
	put.Body, put.Want = `{"quantity":2}`, "too_many"
	c.shoot(put)
}

// manyLines are so many lines of a row.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,{"s":%d,"q":1,"t":1}`, 4096*7+i)
	}
	return b.String()
}

// cartShots are requests of all operations of carts, each of another user, because a user has a limit.
func (c *contract) cartShots(sku string) []shot {
	c.t.Helper()
	token := c.text(c.write("POST", "/v1/guest_carts", "", "t", "", "ok"), "cart_token")
	other := c.text(c.write("POST", "/v1/guest_carts", "", "t", "", "ok"), "cart_token")
	const cart, ofGuest = "/v1/me/cart", "/v1/guest_cart"
	all := []shot{
		{Method: "GET", Path: cart},
		{Method: "DELETE", Path: cart},
		{Method: "PUT", Path: cart + "/lines/" + sku, Body: `{"quantity":1}`},
		{Method: "DELETE", Path: cart + "/lines/" + sku},
		{Method: "POST", Path: cart + "/merges", Body: fmt.Sprintf(`{"cart_token":%q}`, other)},
		{Method: "GET", Path: cart + "/shares"},
		{Method: "POST", Path: cart + "/shares", Body: `{"days":1}`},
		{Method: "DELETE", Path: cart + "/shares" + strings.TrimPrefix(c.link, "/v1/shared_carts")},
	}
	for i := range all {
		all[i].Token = c.token(int64(272+i), auth.RoleShopper)
	}
	return append(
		all,
		shot{Method: "GET", Path: ofGuest, Header: guest(token)},
		shot{Method: "DELETE", Path: ofGuest, Header: guest(token)},
		shot{Method: "PUT", Path: ofGuest + "/lines/" + sku, Header: guest(token), Body: `{"quantity":1}`},
		shot{Method: "DELETE", Path: ofGuest + "/lines/" + sku, Header: guest(token)},
		shot{Method: "POST", Path: "/v1/guest_carts"},
		shot{Method: "GET", Path: c.link},
	)
}

// exerciseCartForms sends all of them in wrong forms, and for guests who have no cart.
func (c *contract) exerciseCartForms(sku string) {
	c.t.Helper()
	for _, s := range c.cartShots(sku) {
		if s.Header != nil {
			wrong := s
			wrong.Want, wrong.Header = "unknown_cart", guest(strings.Repeat("A", 43))
			c.shoot(wrong)
			for _, header := range []http.Header{nil, guest("x"), guest(strings.Repeat("A", 42))} {
				wrong.Want, wrong.Undocumented, wrong.Header = "malformed", true, header
				c.shoot(wrong)
			}
		}
		c.exerciseForm(s)
	}
	put := shot{Method: "PUT", Path: "/v1/me/cart/lines/" + sku, Token: c.token(274, auth.RoleShopper), Want: "malformed", Undocumented: true}
	for _, body := range []string{
		`{}`, `{"quantity":null}`, `{"quantity":0}`, `{"quantity":-1}`, `{"quantity":1000}`, `{"quantity":1.5}`, `{"quantity":"1"}`,
		`{"quantity":9223372036854775808}`, `{"quantity":1,"saved_for_later":1}`, `{"quantity":1,"note":"for Ann"}`, `[]`,
	} {
		put.Body = body
		c.shoot(put)
	}
	share := shot{Method: "POST", Path: "/v1/me/cart/shares", Token: c.token(275, auth.RoleShopper), Want: "malformed", Undocumented: true}
	for _, body := range []string{`{"days":0}`, `{"days":31}`, `{"days":-1}`, `{"days":"1"}`} {
		share.Body = body
		c.shoot(share)
	}
	for _, token := range []string{"x", strings.Repeat("A", 34), strings.Repeat("A", 36), strings.Repeat("A", 34) + "B", strings.Repeat("+", 35)} {
		c.shoot(shot{Method: "GET", Path: "/v1/shared_carts/" + token, Want: "malformed", Undocumented: true})
	}
}

// exerciseCartsOutage takes the tables of carts away.
func (c *contract) exerciseCartsOutage() {
	c.t.Helper()
	for _, table := range []string{"carts", "cart_guests", "cart_shares"} {
		c.everywhere("RENAME TABLE " + table + "__ TO no_" + table + "__")
	}
	for _, s := range c.cartShots("77824") {
		if s.Want = "unavailable"; s.Path == "/v1/guest_carts" {
			s.Want = "ok" // it needs none
		}
		c.shoot(s)
	}
}

// plantCarts has the shop give the secrets of carts.
func (h *hunted) plantCarts() {
	h.t.Helper()
	token := fmt.Sprint(h.do("POST", "/v1/guest_carts", "", http.StatusCreated)["cart_token"])
	merging := fmt.Sprintf(`{"cart_token":%q}`, token)
	h.do("POST", "/v1/me/cart/merges", merging, http.StatusOK)
	h.do("POST", "/v1/me/cart/merges", strings.Replace(merging, token, "Bilby-cart-token", 1), http.StatusBadRequest)
	h.words = append(h.words, "Bilby-cart-token")
	me := h.do("GET", "/v1/me", "", http.StatusOK)
	user, err := strconv.ParseInt(fmt.Sprint(me["user_id"]), 10, 64)
	if err != nil {
		h.t.Fatal(err)
	}
	h.cartOf(user, "4096")
	h.do("POST", "/v1/me/cart/shares", `{}`, http.StatusCreated)
}
