package product

import (
	"context"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
)

// SnapshotProducts implements api.StrictServerInterface.
func (s server) SnapshotProducts(ctx context.Context, r api.SnapshotProductsRequestObject) (api.SnapshotProductsResponseObject, error) {
	after, err := ParseSnapshotCursor(r.Params.Cursor)
	if err != nil {
		return nil, web.Malformed("", "%v", err)
	}
	page, next, err := s.Snapshot(ctx, after, r.Params.Limit.Or(listLimit))
	if err != nil {
		return nil, err
	}
	list := api.SnapshotProducts200JSONResponse{Data: []api.ProductStanding{}}
	for _, of := range page {
		list.Data = append(list.Data, api.ProductStanding{AggregateID: of.Aggregate, Version: int(of.Version), Type: of.Type, Data: of.Data})
	}
	if next != (outbox.Cursor{}) {
		text := next.String()
		list.NextCursor = &text
	}
	return list, nil
}
