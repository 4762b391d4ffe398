package product

import (
	"context"
	"strconv"

	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/shard"
)

// pageLimit is how many products, changes or reviews a page has if nobody says.
const pageLimit = 50

// versionMax is the highest version that somebody may ask for.
const versionMax = 999_999_999

// reader is who reads something of a seller.
func reader(ctx context.Context) seller.Reader {
	return seller.Reader{User: ids.User(web.Who(ctx).Subject), Key: ids.Seller(web.Tenant(ctx))}
}

// wroteProduct tells the client where its write is, and what became of the product.
func (s server) wroteProduct(ctx context.Context, of *Product) api.ProductOfSeller {
	web.Wrote(ctx, s.databases.At(shard.OfProduct(of.ID)).Position(ctx))
	return shownProduct(of)
}

// ListProducts implements api.StrictServerInterface.
func (s server) ListProducts(ctx context.Context, r api.ListProductsRequestObject) (api.ListProductsResponseObject, error) {
	page, more, err := s.List(ctx, reader(ctx), r.SellerID, r.Params.Cursor, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListProducts200JSONResponse{Data: []api.ProductOfSeller{}}
	for i := range page {
		list.Data = append(list.Data, shownProduct(&page[i]))
	}
	if more {
		text := page[len(page)-1].ID.String()
		list.NextCursor = &text
	}
	return list, nil
}

// MakeProduct implements api.StrictServerInterface.
func (s server) MakeProduct(ctx context.Context, r api.MakeProductRequestObject) (api.MakeProductResponseObject, error) {
	of, err := s.Products.MakeProduct(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, sent(r.Body))
	if err != nil {
		return nil, err
	}
	return api.MakeProduct201JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.MakeProduct201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ShowProductOfSeller implements api.StrictServerInterface.
func (s server) ShowProductOfSeller(ctx context.Context, r api.ShowProductOfSellerRequestObject) (api.ShowProductOfSellerResponseObject, error) {
	w, err := s.OfSeller(ctx, reader(ctx), r.SellerID, r.ProductID)
	if err != nil {
		return nil, err
	}
	body, err := s.shownWhole(ctx, &w)
	if err != nil {
		return nil, err
	}
	return api.ShowProductOfSeller200JSONResponse{Body: body, Headers: api.ShowProductOfSeller200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// ChangeProduct implements api.StrictServerInterface.
func (s server) ChangeProduct(ctx context.Context, r api.ChangeProductRequestObject) (api.ChangeProductResponseObject, error) {
	of, err := s.Products.ChangeProduct(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, sent(r.Body))
	if err != nil {
		return nil, err
	}
	return api.ChangeProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.ChangeProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// MoveProduct implements api.StrictServerInterface.
func (s server) MoveProduct(ctx context.Context, r api.MoveProductRequestObject) (api.MoveProductResponseObject, error) {
	to := Stage(r.Body.Stage)
	switch to {
	case StageDraft, StageInReview, StageListed, StageDelisted, StageArchived:
	case StageApproved, StageRejected:
		return nil, malformed("/stage", "want draft, in_review, listed, delisted or archived")
	default:
		return nil, malformed("/stage", "want draft, in_review, listed, delisted or archived")
	}
	of, err := s.Products.MoveProduct(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	return api.MoveProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.MoveProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// SetText implements api.StrictServerInterface.
func (s server) SetText(ctx context.Context, r api.SetTextRequestObject) (api.SetTextResponseObject, error) {
	to := Text{Title: r.Body.Title}
	if r.Body.Description != nil {
		to.Description = *r.Body.Description
	}
	of, err := s.Products.SetText(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, r.Locale, to)
	if err != nil {
		return nil, err
	}
	return api.SetText200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.SetText200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// RemoveText implements api.StrictServerInterface.
func (s server) RemoveText(ctx context.Context, r api.RemoveTextRequestObject) (api.RemoveTextResponseObject, error) {
	if !localeForm.MatchString(r.Locale) {
		return nil, malformed("", "want a locale such as de or pt-BR")
	}
	of, err := s.Products.RemoveText(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, r.Locale)
	if err != nil {
		return nil, err
	}
	return api.RemoveText200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.RemoveText200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// AddSKU implements api.StrictServerInterface.
func (s server) AddSKU(ctx context.Context, r api.AddSKURequestObject) (api.AddSKUResponseObject, error) {
	to, err := sentSKU(r.Body.SellerCode, r.Body.Options, r.Body.Grams, r.Body.SizeMm)
	if err != nil {
		return nil, err
	}
	to.N, to.State = -1, StateActive
	of, err := s.SetSKU(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	return api.AddSKU201JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.AddSKU201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ChangeSKU implements api.StrictServerInterface.
func (s server) ChangeSKU(ctx context.Context, r api.ChangeSKURequestObject) (api.ChangeSKUResponseObject, error) {
	to, err := sentSKU(r.Body.SellerCode, r.Body.Options, r.Body.Grams, r.Body.SizeMm)
	if err != nil {
		return nil, err
	}
	id, ok := ids.Parse(r.SkuID)
	if !ok {
		return nil, malformed("", "the sku_id of the path: want an integer from 1 to 9223372036854775807")
	}
	product, n, ok := ids.ProductOf(id)
	if to.N, to.State = n, State(r.Body.State); !ok || product != r.ProductID {
		to.N = ids.SKUsMax // no product has such a SKU
	}
	of, err := s.SetSKU(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	return api.ChangeSKU200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.ChangeSKU200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// RestoreProduct implements api.StrictServerInterface.
func (s server) RestoreProduct(ctx context.Context, r api.RestoreProductRequestObject) (api.RestoreProductResponseObject, error) {
	if r.Body.Version < 1 || r.Body.Version > versionMax {
		return nil, malformed("/version", "want 1 to %d", versionMax)
	}
	of, err := s.Restore(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.Params.IfMatch, int64(r.Body.Version))
	if err != nil {
		return nil, err
	}
	return api.RestoreProduct200JSONResponse{Body: s.wroteProduct(ctx, &of), Headers: api.RestoreProduct200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ListVersions implements api.StrictServerInterface.
func (s server) ListVersions(ctx context.Context, r api.ListVersionsRequestObject) (api.ListVersionsResponseObject, error) {
	var before int64
	if r.Params.Cursor != "" {
		var err error
		if before, err = strconv.ParseInt(r.Params.Cursor, 10, 64); err != nil || before < 1 || strconv.FormatInt(before, 10) != r.Params.Cursor {
			return nil, malformed("", "the cursor is not one of this list")
		}
	}
	page, next, err := s.Versions(ctx, reader(ctx), r.SellerID, r.ProductID, before, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListVersions200JSONResponse{Data: []api.ProductVersion{}}
	for _, c := range page {
		line := api.ProductVersion{Version: int(c.Version), Part: string(c.Part), At: c.At.UTC(), Actor: c.Actor, Before: c.Before, After: c.After}
		if c.Reason != "" {
			line.Reason = &c.Reason
		}
		list.Data = append(list.Data, line)
	}
	if next != 0 {
		text := strconv.FormatInt(next, 10)
		list.NextCursor = &text
	}
	return list, nil
}

// ShowProduct implements api.StrictServerInterface.
func (s server) ShowProduct(ctx context.Context, r api.ShowProductRequestObject) (api.ShowProductResponseObject, error) {
	w, err := s.Shown(ctx, r.ProductID)
	if err != nil {
		return nil, err
	}
	of, err := s.shownWhole(ctx, &w)
	if err != nil {
		return nil, err
	}
	media, err := s.forShoppers(ctx, w.Media)
	if err != nil {
		return nil, err
	}
	body := api.WholeProduct{
		ProductID: of.ProductID, SellerID: of.SellerID, Version: of.Version, CategoryID: of.CategoryID, BrandID: of.BrandID, TaxCategory: of.TaxCategory,
		Options: of.Options, Values: of.Values, Texts: of.Texts, Skus: []api.ShownSKU{}, Media: media,
	}
	for _, sku := range of.Skus {
		if sku.State == api.ShownState(StateActive) {
			body.Skus = append(body.Skus, api.ShownSKU{SkuID: sku.SkuID, Options: sku.Options, Grams: sku.Grams, SizeMm: sku.SizeMm})
		}
	}
	return api.ShowProduct200JSONResponse{Body: body, Headers: api.ShowProduct200ResponseHeaders{ETag: web.Version(w.Version)}}, nil
}

// sent is content as it was sent.
func sent(c *api.ProductContent) Content {
	of := Content{Category: c.CategoryID, Tax: c.TaxCategory, Values: c.Values}
	if c.BrandID != nil {
		of.Brand = *c.BrandID
	}
	if c.Options != nil {
		of.Options = *c.Options
	}
	if c.MediaIds != nil {
		of.Media = *c.MediaIds
	}
	return of
}

// sentSKU is a SKU as it was sent, without its number.
func sentSKU(code *string, options api.OptionChoices, grams int, size api.ParcelSize) (SKU, error) {
	of := SKU{Options: options, Grams: int64(grams), Size: Size{int64(size.Length), int64(size.Width), int64(size.Height)}}
	if code != nil {
		if of.Code = *code; of.Code == "" {
			return SKU{}, malformed("/seller_code", "want 1 to 50 visible ASCII characters")
		}
	}
	return of, nil
}

// shownProduct is a product as the API shows it to its seller.
func shownProduct(p *Product) api.ProductOfSeller {
	of := api.ProductOfSeller{
		ProductID: p.ID, SellerID: p.Seller, Stage: api.Stage(p.Stage), Version: int(p.Version), MadeAt: p.MadeAt.UTC(),
		CategoryID: p.Category, TaxCategory: p.Tax, Options: append([]string{}, p.Options...), Values: api.AttributeValues{}, MediaIds: mediaIDs(p.Media),
	}
	if p.Values != nil {
		of.Values = p.Values
	}
	if p.Brand != 0 {
		of.BrandID = &p.Brand
	}
	return of
}

// shownWhole is a product with its texts, its SKUs and its pictures.
func (s server) shownWhole(ctx context.Context, w *Whole) (api.WholeProductOfSeller, error) {
	p := shownProduct(&w.Product)
	media, err := s.shownMedias(ctx, w.Media)
	if err != nil {
		return api.WholeProductOfSeller{}, err
	}
	of := api.WholeProductOfSeller{
		ProductID: p.ProductID, SellerID: p.SellerID, Stage: p.Stage, Version: p.Version, MadeAt: p.MadeAt, CategoryID: p.CategoryID, BrandID: p.BrandID,
		TaxCategory: p.TaxCategory, Options: p.Options, Values: p.Values, Texts: api.ProductTexts{}, Skus: []api.SKUOfSeller{},
		MediaIds: p.MediaIds, Media: media,
	}
	for locale, t := range w.Texts {
		text := api.ProductText{Title: t.Title}
		if t.Description != "" {
			text.Description = &t.Description
		}
		of.Texts[locale] = text
	}
	for _, has := range w.SKUs {
		id, _ := ids.SKU(w.ID, has.N) // the schema has no other numbers
		sku := api.SKUOfSeller{
			SkuID: strconv.FormatInt(id, 10), State: api.ShownState(has.State), Options: has.Options, Grams: int(has.Grams),
			SizeMm: api.ParcelSize{Length: int(has.Size.Length), Width: int(has.Size.Width), Height: int(has.Size.Height)},
		}
		if has.Code != "" {
			sku.SellerCode = &has.Code
		}
		of.Skus = append(of.Skus, sku)
	}
	return of, nil
}
