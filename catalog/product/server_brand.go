package product

import (
	"context"

	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
)

// ListBrands implements api.StrictServerInterface.
func (s server) ListBrands(ctx context.Context, r api.ListBrandsRequestObject) (api.ListBrandsResponseObject, error) {
	page, more, err := s.Brands(ctx, r.Params.Cursor, r.Params.Limit.Or(listLimit))
	if err != nil {
		return nil, err
	}
	list := api.ListBrands200JSONResponse{Data: []api.Brand{}}
	for i := range page {
		list.Data = append(list.Data, shownBrand(&page[i]))
	}
	if more {
		text := page[len(page)-1].ID.String()
		list.NextCursor = &text
	}
	return list, nil
}

// ShowBrand implements api.StrictServerInterface.
func (s server) ShowBrand(ctx context.Context, r api.ShowBrandRequestObject) (api.ShowBrandResponseObject, error) {
	of, err := s.Brand(ctx, r.BrandID, r.Params.ReadAfter)
	if err != nil {
		return nil, err
	}
	return api.ShowBrand200JSONResponse{Body: shownBrand(&of), Headers: api.ShowBrand200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// MakeBrand implements api.StrictServerInterface.
func (s server) MakeBrand(ctx context.Context, r api.MakeBrandRequestObject) (api.MakeBrandResponseObject, error) {
	of, err := s.Products.MakeBrand(ctx, caller(ctx, r.Params.IdempotencyKey), Brand{Names: Names(r.Body.Names)})
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.MakeBrand201JSONResponse{Body: shownBrand(&of), Headers: api.MakeBrand201ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// ChangeBrand implements api.StrictServerInterface.
func (s server) ChangeBrand(ctx context.Context, r api.ChangeBrandRequestObject) (api.ChangeBrandResponseObject, error) {
	to := Brand{ID: r.BrandID, State: State(r.Body.State), Names: Names(r.Body.Names)}
	of, err := s.Products.ChangeBrand(ctx, caller(ctx, r.Params.IdempotencyKey), r.Params.IfMatch, to)
	if err != nil {
		return nil, err
	}
	s.wrote(ctx)
	return api.ChangeBrand200JSONResponse{Body: shownBrand(&of), Headers: api.ChangeBrand200ResponseHeaders{ETag: web.Version(of.Version)}}, nil
}

// shownBrand is a brand as the API shows it.
func shownBrand(b *Brand) api.Brand {
	return api.Brand{BrandID: b.ID, State: api.ShownState(b.State), Version: int(b.Version), Names: api.Names(b.Names)}
}
