package catalog

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"sluice/core/auth"
	"sluice/core/ids"
)

// callsOfGoods counts what the way of a product costs: of the seller of callsOfSellers, reviewed by its reviewer. Each call of a seller's people
// looks whether they are some. A write looks its key up, claims it and keeps the answer: three statements. It locks the product and reads its
// texts and SKUs by three; then come what changes, the count of the version, what it was before and after, and two of the event. A privileged
// act has two of the audit log. Ops have a session: one statement looks whether it lives, and of a decision another one whether it is proved.
func (c *callCounter) callsOfGoods(category string) {
	const list, whole, review = "/v1/sellers/{seller_id}/products", "/v1/sellers/{seller_id}/products/{product_id}", "/v1/product_reviews/{product_id}"
	const content = `{"category_id":"CATEGORY","tax_category":"TAX","values":{}}`
	owner, ops := c.token(8, auth.RoleShopper), c.issue(auth.Identity{Subject: 9, Role: auth.RoleShopper, Session: 9})
	writer := c.databases.All(0)[0].Writer()
	for _, statement := range []string{
		"UPDATE sellers SET state = 'open' WHERE applicant = 8",
		"INSERT INTO seller_members (seller_id, user_id, role, since) SELECT seller_id, 8, 'owner', NOW(3) FROM sellers WHERE applicant = 8",
	} {
		if _, err := writer.ExecContext(c.t.Context(), statement); err != nil {
			c.t.Fatal(err)
		}
	}
	var seller ids.Seller
	if err := writer.QueryRowContext(c.t.Context(), "SELECT seller_id FROM sellers WHERE applicant = 8").Scan(&seller); err != nil {
		c.t.Fatal(err)
	}
	of := func(tax string) string { return strings.NewReplacer("CATEGORY", category, "TAX", tax).Replace(content) }
	path := strings.NewReplacer("{seller_id}", seller.String(), "{locale}", "en")
	made := c.call(request{"POST", path.Replace(list), of("standard"), owner, http.StatusCreated, 12, 1, list}) // one takes a block of ids
	id, err := ids.Read[ids.Product](made["product_id"])
	if err != nil {
		c.t.Fatal(err)
	}
	sku, _ := ids.SKU(id, 0)
	path = strings.NewReplacer("{seller_id}", seller.String(), "{product_id}", id.String(), "{locale}", "en", "{sku_id}", strconv.FormatInt(sku, 10))
	version := 1
	do := func(method, operation, body, token string, status int, statements int64) {
		c.t.Helper()
		c.callAll(
			map[string]string{"Idempotency-Key": fmt.Sprint("goods", version), "If-Match": fmt.Sprintf(`"%d"`, version)},
			request{method, path.Replace(operation), body, token, status, statements, 1, operation},
		)
	}
	edit := func(method, rest, body string, statements int64) {
		c.t.Helper()
		status := http.StatusOK
		if method == "POST" && rest == "/skus" {
			status = http.StatusCreated
		}
		do(method, whole+rest, body, owner, status, statements)
		version++
	}
	const parcel = `"grams":GRAMS,"size_mm":{"length":1,"width":1,"height":1}}`
	edit("PUT", "", of("reduced"), 12)
	edit("PUT", "/texts/{locale}", `{"title":"Shoe"}`, 12)
	edit("DELETE", "/texts/{locale}", "", 12)
	edit("POST", "/restorations", `{"version":3}`, 13) // one reads what was changed since
	edit("POST", "/skus", strings.Replace(`{"options":{},`+parcel, "GRAMS", "200", 1), 12)
	edit("PUT", "/skus/{sku_id}", strings.Replace(`{"state":"active","options":{},`+parcel, "GRAMS", "201", 1), 12)
	c.callsOfMedia(path, owner, ops)
	edit("PUT", "/stage", `{"stage":"in_review"}`, 12) // one looks which brand it has
	c.call(request{"GET", path.Replace(list), "", owner, http.StatusOK, 2, 0, list})
	c.call(request{"GET", path.Replace(whole), "", owner, http.StatusOK, 6, 1, whole}) // one tells the transaction its isolation, here and below
	c.call(request{"GET", path.Replace(whole) + "/versions", "", owner, http.StatusOK, 2, 0, whole + "/versions"})
	c.call(request{"GET", "/v1/product_reviews", "", ops, http.StatusOK, 2, 0, ""})
	c.call(request{"GET", path.Replace(review), "", ops, http.StatusOK, 6, 1, review})
	do("POST", review+"/claim", "", ops, http.StatusOK, 13) // two look whose the product is, and that the reviewer is nobody there
	do("POST", review+"/decision", `{"approve":true,"reason":"x"}`, ops, http.StatusOK, 17)
	version++
	edit("PUT", "/stage", `{"stage":"listed"}`, 12)
	c.call(request{"GET", path.Replace("/v1/products/{product_id}"), "", "", http.StatusOK, 5, 1, "/v1/products/{product_id}"})
	c.callsOfOffers(seller.String(), strconv.FormatInt(sku, 10))
	c.callsOfPrices(owner, c.token(7, auth.RoleAdmin), path)
	c.callsOfCarts(sku)
	c.callsOfStock(owner, seller, id, sku)
	do("PUT", "/v1/products/{product_id}/stage", `{"stage":"delisted","reason":"x"}`, ops, http.StatusOK, 16)
	c.call(request{"GET", "/v1/product_snapshot", "", c.token(7, auth.RoleAdmin), http.StatusOK, 4, 1, ""}) // there is no brand
}

// callsOfMedia counts what a picture costs. What is done in tasks is not counted: nobody waits for it.
func (c *callCounter) callsOfMedia(path *strings.Replacer, owner, ops string) {
	c.t.Helper()
	const list, check, decide = "/v1/sellers/{seller_id}/products/{product_id}/media", "/v1/sellers/{seller_id}/products/{product_id}/media/{media_id}/check", "/v1/products/{product_id}/media/{media_id}/decision"
	body := `{"type":"image/png","bytes":1,"sha256":"` + strings.Repeat("0", 64) + `"}`
	c.call(request{"POST", path.Replace(list), body, owner, http.StatusCreated, 10, 1, list})
	writer := c.databases.All(0)[0].Writer()
	var id ids.Media
	if err := writer.QueryRowContext(c.t.Context(), "SELECT media_id FROM product_media").Scan(&id); err != nil {
		c.t.Fatal(err)
	}
	of := func(operation string) string {
		return strings.ReplaceAll(path.Replace(operation), "{media_id}", id.String())
	}
	c.call(request{"POST", of(check), "", owner, http.StatusAccepted, 8, 1, check})
	if _, err := writer.ExecContext(c.t.Context(), "UPDATE product_media SET state = 'pending'"); err != nil {
		c.t.Fatal(err)
	}
	c.call(request{"GET", "/v1/media_reviews", "", ops, http.StatusOK, 2, 0, ""})
	c.call(request{"POST", of(decide), `{"approve":true,"reason":"x"}`, ops, http.StatusOK, 15, 1, decide})
}
