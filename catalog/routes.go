package catalog

import (
	"maps"
	"slices"
	"strings"

	"sluice/catalog/account"
	"sluice/catalog/assess"
	"sluice/catalog/cart"
	"sluice/catalog/internal/web"
	"sluice/catalog/offer"
	"sluice/catalog/price"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/catalog/stock"
)

// routes are the operations of all packages.
func routes(accounts *account.Accounts, assessments *assess.Assessments, sellers *seller.Sellers, products *product.Products, offers *offer.Offers, pricing *price.Pricing, carts *cart.Carts, stocks *stock.Stock) []web.Route {
	return slices.Concat(accounts.Routes(), assessments.Routes(), sellers.Routes(), products.Routes(), offers.Routes(), pricing.Routes(), carts.Routes(), stocks.Routes())
}

// permissions are those of all packages.
func permissions() web.Permissions {
	all := web.Permissions{}
	maps.Copy(all, account.Permissions)
	maps.Copy(all, assess.Permissions)
	maps.Copy(all, seller.Permissions)
	maps.Copy(all, product.Permissions)
	maps.Copy(all, price.Permissions)
	maps.Copy(all, offer.Permissions)
	maps.Copy(all, cart.Permissions)
	maps.Copy(all, stock.Permissions)
	return all
}

// Allowed says of an operation who may call it.
type Allowed struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Operation string `json:"operation"`
	Roles     string `json:"roles"`
	Scope     string `json:"scope,omitempty"`
	KeyScope  string `json:"key_scope,omitempty"` // that an API key of a seller needs
	On        string `json:"on"`
	StepUp    bool   `json:"step_up,omitzero"` // the session must have been proved lately
	Live      bool   `json:"live,omitzero"`    // a read for which the session must live as of now
}

// Table lists all operations by path, and who may call them.
func Table() []Allowed {
	may := permissions()
	var table []Allowed
	for _, r := range routes(nil, nil, nil, nil, nil, nil, nil, nil) { // nobody calls them
		p := may[r.Operation]
		table = append(table, Allowed{r.Method, r.Path, r.Operation, p.Roles.String(), p.Scope.String(), p.KeyScope, p.On, p.StepUp, p.Live})
	}
	slices.SortFunc(table, func(a, b Allowed) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return table
}
