package cart

import (
	"context"
	"strconv"

	"sluice/catalog/cart/internal/api"
	"sluice/catalog/internal/web"
	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/money"
)

var shoppers = web.RolesOf(auth.RoleShopper)

// Permissions says who may call which operation.
var Permissions = web.Permissions{
	"ShowCart":   {Roles: shoppers, On: "its own cart"},
	"EmptyCart":  {Roles: shoppers, On: "its own cart"},
	"PutLine":    {Roles: shoppers, On: "its own cart"},
	"RemoveLine": {Roles: shoppers, On: "its own cart"},
	"MergeCart":  {Roles: shoppers, On: "its own cart, and that of a guest whose token it has"},
	"ListShares": {Roles: shoppers, On: "its own shares"},
	"ShareCart":  {Roles: shoppers, On: "its own cart"},
	"EndShare":   {Roles: shoppers, On: "its own shares"},

	"MakeGuestCart":   {Roles: web.Anybody, On: "a new cart"},
	"ShowGuestCart":   {Roles: web.Anybody, On: "the cart whose token it has"},
	"EmptyGuestCart":  {Roles: web.Anybody, On: "the cart whose token it has"},
	"PutGuestLine":    {Roles: web.Anybody, On: "the cart whose token it has"},
	"RemoveGuestLine": {Roles: web.Anybody, On: "the cart whose token it has"},
	"ShowSharedCart":  {Roles: web.Anybody, On: "what is shared by a link that it has"},
}

// Routes are the operations of carts.
func (c *Carts) Routes() []web.Route { return api.Routes(server{c}) }

// server answers requests.
type server struct{ *Carts }

var _ api.StrictServerInterface = server{}

// me is the user who asks.
func me(ctx context.Context) ids.User { return ids.User(web.Who(ctx).Subject) }

// lineOf reads what a client wants a line to be.
func lineOf(sku api.SKUID, of *api.NewCartLine) (Line, error) {
	id, err := skuOf(sku)
	return Line{SKU: id, Quantity: of.Quantity, Later: of.SavedForLater}, err
}

func skuOf(text api.SKUID) (int64, error) {
	id, ok := ids.Parse(text)
	if !ok {
		return 0, malformed("", "the sku_id of the path: want 1 to 9223372036854775807, in digits")
	}
	return id, nil
}

// shown is a cart as it is kept.
func shown(c Cart) api.Cart { return api.Cart{Lines: shownLines(c)} }

func shownLines(c Cart) []api.CartLine {
	lines := make([]api.CartLine, 0, len(c.Lines))
	for _, l := range c.Lines {
		lines = append(lines, api.CartLine{SkuID: text(l.SKU), Quantity: l.Quantity, SavedForLater: l.Later, AddedAt: l.At})
	}
	return lines
}

// whole is a cart with what others know of it.
func (s server) whole(ctx context.Context, user ids.User, c Cart) (api.ShownCart, error) {
	all, err := s.Show(ctx, user, c.Lines)
	if err != nil {
		return api.ShownCart{}, err
	}
	body := api.ShownCart{Lines: make([]api.ShownCartLine, 0, len(all))}
	for _, l := range all {
		one := api.ShownCartLine{
			SkuID: text(l.SKU), Quantity: l.Quantity, SavedForLater: l.Later, AddedAt: l.At, Available: l.Sold != nil, Price: amount(l.Price), PriceThen: amount(l.Was),
			Stock: api.ShownCartLineStock(l.Hint), Changes: []api.ShownCartLineChanges{},
		}
		if l.Sold != nil {
			one.ProductID, one.SellerID, one.Titles, one.Options = &l.Sold.Product, &l.Sold.Seller, l.Sold.Titles, options(l.Sold.Options)
		}
		for _, change := range l.Changes() {
			one.Changes = append(one.Changes, api.ShownCartLineChanges(change))
		}
		body.Lines = append(body.Lines, one)
	}
	return body, nil
}

func text(sku int64) api.SKUID { return strconv.FormatInt(sku, 10) }

func amount(of *money.Amount) *api.CartAmount {
	if of == nil {
		return nil
	}
	return &api.CartAmount{Amount: int(of.Minor), Currency: of.Currency.String()}
}

func options(of map[string]string) *api.OptionChoices {
	choices := make(api.OptionChoices, len(of))
	for code, choice := range of {
		choices[code] = choice
	}
	return &choices
}
