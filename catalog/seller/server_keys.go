package seller

import (
	"context"
	"time"

	"sluice/catalog/internal/apikey"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller/internal/api"
	"sluice/core/shard"
)

const day = 24 * time.Hour

// ListKeys implements api.StrictServerInterface.
func (s server) ListKeys(ctx context.Context, r api.ListKeysRequestObject) (api.ListKeysResponseObject, error) {
	all, err := s.Keys(ctx, me(ctx), r.SellerID)
	if err != nil {
		return nil, err
	}
	list := api.ListKeys200JSONResponse{Data: []api.APIKey{}}
	for i := range all {
		k := &all[i]
		list.Data = append(list.Data, api.APIKey{
			Prefix: k.Prefix, Name: k.Name, Scopes: scopesOf(k), MadeAt: shown(k.MadeAt), EndsAt: shown(k.EndsAt),
			LastUsedAt: unlessZero(k.LastUsedAt), RevokedAt: unlessZero(k.RevokedAt),
		})
	}
	return list, nil
}

// MakeKey implements api.StrictServerInterface.
func (s server) MakeKey(ctx context.Context, r api.MakeKeyRequestObject) (api.MakeKeyResponseObject, error) {
	wish := KeyWish{Name: r.Body.Name, Life: day * time.Duration(min(max(r.Body.Days, 0), 1000))} // more is refused, and does not overflow
	for _, scope := range r.Body.Scopes {
		wish.Scopes = append(wish.Scopes, string(scope))
	}
	secret, k, err := s.Sellers.MakeKey(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, wish)
	if err != nil {
		return nil, err
	}
	s.keyChanged(ctx, k.Prefix)
	return api.MakeKey201JSONResponse{
		Key: secret.Reveal(), Prefix: k.Prefix, Name: k.Name, Scopes: scopesOf(&k), MadeAt: shown(k.MadeAt), EndsAt: shown(k.EndsAt),
	}, nil
}

// RevokeKey implements api.StrictServerInterface.
func (s server) RevokeKey(ctx context.Context, r api.RevokeKeyRequestObject) (api.RevokeKeyResponseObject, error) {
	if !apikey.IsPrefix(r.Prefix) {
		return nil, web.Malformed("", "the prefix in the path: want that of an API key")
	}
	if err := s.Sellers.RevokeKey(ctx, caller(ctx, r.Params.IdempotencyKey), r.SellerID, r.Prefix); err != nil {
		return nil, err
	}
	s.keyChanged(ctx, r.Prefix)
	return api.RevokeKey204Response{}, nil
}

// keyChanged tells the client where a write about a key is.
func (s server) keyChanged(ctx context.Context, prefix string) {
	web.Wrote(ctx, s.databases.At(shard.OfValue(prefix)).Position(ctx))
}

func scopesOf(k *apikey.Key) []api.KeyScope {
	all := []api.KeyScope{}
	for _, scope := range k.Scopes {
		all = append(all, api.KeyScope(scope))
	}
	return all
}

// unlessZero is a time as the API shows it, or nothing.
func unlessZero(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = shown(at)
	return &at
}
