package baseline

import (
	"context"
	"slices"
	"testing"

	"sluice/bench/load"
)

// Lock takes the lock of a SKU for somebody else.
func Lock(ctx context.Context, shop Shop, sku int64) error {
	c := shop.(*lockShop).client
	return c.Do(ctx, c.B().Set().Key(lockKey(sku)).Value("somebody").Build()).Error()
}

// Answer is the answer to an order over HTTP.
func Answer(t *testing.T, shop Shop, o Order) load.Response {
	t.Helper()
	b, err := shop.Buyer()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := b.(*httpBuyer).post(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Body, r.Header = slices.Clone(r.Body), slices.Clone(r.Header)
	return r
}
