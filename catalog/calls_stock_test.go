package catalog

import (
	"net/http"
	"strconv"
	"strings"

	"sluice/core/ids"
)

// callsOfStock counts what the stock of a listed product costs, by an owner of its seller. Each call looks whether the caller is one of its people.
// A write looks its key up, claims it and keeps the answer: three statements. A document needs none of that, because it has a name of its own:
// it claims the name with a task, and enters its lines, all at once, in a transaction for each place.
func (c *callCounter) callsOfStock(owner string, seller ids.Seller, of ids.Product, sku int64) {
	const warehouses, document, stocks = "/v1/sellers/{seller_id}/warehouses", "/v1/sellers/{seller_id}/stock_documents/{source}/{document_id}", "/v1/sellers/{seller_id}/stock"
	path := strings.NewReplacer("{seller_id}", seller.String(), "{source}", "erp-1", "{document_id}", "DN-1", "{sku_id}", strconv.FormatInt(sku, 10), "{product_id}", of.String())
	porto := `{"name":"Porto","country":"PT","source":"erp-1"}`
	made := c.call(request{"POST", path.Replace(warehouses), porto, owner, http.StatusCreated, 6, 1, warehouses})
	one := path.Replace(warehouses) + "/" + made["warehouse_id"]
	c.call(request{"GET", path.Replace(warehouses), "", owner, http.StatusOK, 2, 0, warehouses})
	c.call(request{"GET", one, "", owner, http.StatusOK, 2, 0, warehouses + "/{warehouse_id}"})
	c.call(request{"PUT", one, `{"state":"open","name":"Porto","country":"PT"}`, owner, http.StatusOK, 6, 1, warehouses + "/{warehouse_id}"})
	said := `{"warehouse_id":"` + made["warehouse_id"] + `","position":1,"lines":[{"sku_id":"` + strconv.FormatInt(sku, 10) + `","kind":"received","quantity":5}]}`
	c.call(request{"PUT", path.Replace(document), said, owner, http.StatusOK, 15, 3, document})
	c.call(request{"GET", path.Replace(document), "", owner, http.StatusOK, 3, 0, document})
	c.call(request{"GET", path.Replace(stocks), "", owner, http.StatusOK, 2, 0, stocks})
	c.call(request{"GET", path.Replace(stocks + "/{sku_id}"), "", owner, http.StatusOK, 4, 0, stocks + "/{sku_id}"})
	c.call(request{"PUT", path.Replace(stocks + "/{sku_id}"), `{"safe_stock":2}`, owner, http.StatusOK, 10, 1, stocks + "/{sku_id}"})
	const hints = "/v1/products/{product_id}/stock"
	c.call(request{"GET", path.Replace(hints), "", "", http.StatusOK, 6, 1, hints})
}
