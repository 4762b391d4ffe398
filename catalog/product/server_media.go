package product

import (
	"context"
	"encoding/hex"

	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/queue"
	"sluice/catalog/internal/web"
	"sluice/catalog/product/internal/api"
	"sluice/core/ids"
	"sluice/core/shard"
)

// AskUpload implements api.StrictServerInterface.
func (s server) AskUpload(ctx context.Context, r api.AskUploadRequestObject) (api.AskUploadResponseObject, error) {
	form := objects.Form{Type: string(r.Body.Type), Bytes: int64(r.Body.Bytes)}
	sum, err := hex.DecodeString(r.Body.Sha256)
	if err != nil || len(sum) != len(form.SHA256) || hex.EncodeToString(sum) != r.Body.Sha256 {
		return nil, malformed("/sha256", "want 64 hexadecimal digits in lower case")
	}
	copy(form.SHA256[:], sum)
	m, upload, err := s.Products.AskUpload(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, form)
	if err != nil {
		return nil, err
	}
	web.Wrote(ctx, s.databases.At(shard.OfProduct(m.Product)).Position(ctx))
	shown, err := s.shownMedia(ctx, &m)
	if err != nil {
		return nil, err
	}
	answer := api.AskUpload201JSONResponse{Media: shown}
	if upload.URL != "" {
		answer.Upload = &api.Upload{Method: upload.Method, URL: upload.URL, Headers: upload.Headers, EndsAt: upload.EndsAt.UTC()}
	}
	return answer, nil
}

// CheckMedia implements api.StrictServerInterface.
func (s server) CheckMedia(ctx context.Context, r api.CheckMediaRequestObject) (api.CheckMediaResponseObject, error) {
	m, err := s.Uploaded(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.ProductID, r.MediaID)
	if err != nil {
		return nil, err
	}
	shown, err := s.wroteMedia(ctx, &m)
	return api.CheckMedia202JSONResponse(shown), err
}

// ListMediaReviews implements api.StrictServerInterface.
func (s server) ListMediaReviews(ctx context.Context, r api.ListMediaReviewsRequestObject) (api.ListMediaReviewsResponseObject, error) {
	after, err := queue.ParseCursor(r.Params.Cursor)
	if err != nil {
		return nil, malformed("", "%v", err)
	}
	page, next, err := s.UnseenMedia(ctx, after, r.Params.Limit.Or(pageLimit))
	if err != nil {
		return nil, err
	}
	all, err := s.shownMedias(ctx, page)
	return api.ListMediaReviews200JSONResponse{Data: all, NextCursor: next.Next()}, err
}

// DecideMedia implements api.StrictServerInterface.
func (s server) DecideMedia(ctx context.Context, r api.DecideMediaRequestObject) (api.DecideMediaResponseObject, error) {
	d := Decision{r.Body.Approve, r.Body.Reason}
	m, err := s.Products.DecideMedia(ctx, caller(ctx, r.Params.IdempotencyKey), r.ProductID, r.MediaID, d)
	if err != nil {
		return nil, err
	}
	shown, err := s.wroteMedia(ctx, &m)
	return api.DecideMedia200JSONResponse(shown), err
}

// wroteMedia tells the client where its write is, and what became of the picture.
func (s server) wroteMedia(ctx context.Context, m *Media) (api.Media, error) {
	web.Wrote(ctx, s.databases.At(shard.OfProduct(m.Product)).Position(ctx))
	return s.shownMedia(ctx, m)
}

func (s server) shownMedias(ctx context.Context, all []Media) ([]api.Media, error) {
	shown := []api.Media{}
	for i := range all {
		one, err := s.shownMedia(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		shown = append(shown, one)
	}
	return shown, nil
}

// shownMedia is a picture as the API shows it to its seller and to staff.
func (s server) shownMedia(ctx context.Context, m *Media) (api.Media, error) {
	of := api.Media{
		MediaID: m.ID, ProductID: m.Product, State: api.MediaState(m.State), Type: m.Type, Bytes: int(m.Bytes), MadeAt: m.MadeAt.UTC(), MovedAt: m.MovedAt.UTC(),
	}
	if m.Fault != "" {
		fault := api.MediaFault(m.Fault)
		of.Fault = &fault
	}
	if m.Reason != "" {
		of.Reason = &m.Reason
	}
	if s.media == nil || !m.State.usable() {
		return of, nil
	}
	renditions, err := s.renditions(ctx, m)
	of.Large, of.Small = &renditions[0], &renditions[1]
	return of, err
}

// renditions are those of a picture: where everybody finds them if shoppers may see it, and else by addresses that end.
func (s server) renditions(ctx context.Context, m *Media) (of [2]api.Rendition, err error) {
	keys := checkedKeys(m.ID)
	if m.State == MediaShown {
		keys = shownKeys(m.ID)
	}
	for i, size := range []MediaSize{m.Large, m.Small} {
		of[i] = api.Rendition{Width: size.Width, Height: size.Height, URL: s.media.Public(keys[i])}
		if m.State != MediaShown {
			if of[i].URL, err = s.media.Link(ctx, keys[i], linkLife); err != nil {
				return of, err
			}
		}
	}
	return of, nil
}

// forShoppers are the pictures of a product as shoppers see them.
func (s server) forShoppers(ctx context.Context, all []Media) ([]api.ShownMedia, error) {
	shown := []api.ShownMedia{}
	for i := range all {
		if s.media == nil {
			break
		}
		of, err := s.renditions(ctx, &all[i])
		if err != nil {
			return nil, err
		}
		shown = append(shown, api.ShownMedia{MediaID: all[i].ID, Large: of[0], Small: of[1]})
	}
	return shown, nil
}

// mediaIDs are the pictures that a product uses, as the API shows them.
func mediaIDs(of []ids.Media) api.MediaIDs { return append(api.MediaIDs{}, of...) }
