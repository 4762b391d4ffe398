package product_test

import (
	"testing"

	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/core/ids"
	"sluice/core/shard"
)

// TestBuyable: in each place shoppers buy the active SKUs of listed products, unless the seller is suspended.
func TestBuyable(t *testing.T) {
	t.Parallel()
	s, category := stocked(t)
	ctx := t.Context()
	const (
		listed = iota
		draft
		suspended
		kinds
	)
	places := s.databases.All(shard.Products)
	made := map[string][]ids.Product{}
	for whole := 0; whole < len(places); {
		of := s.whole(category)
		second := sized(-1, "m")
		of = s.done(s.SetSKU(ctx, s.as(11), mine, of.ID, web.Version(of.Version), second))
		second.N, second.State = 1, product.StateArchived
		s.done(s.SetSKU(ctx, s.as(11), mine, of.ID, web.Version(of.Version), second))
		at := s.databases.At(shard.OfProduct(of.ID)).Name
		if made[at] = append(made[at], of.ID); len(made[at]) == kinds {
			whole++
		}
	}
	var skus []int64
	want := map[int64]ids.Product{}
	for _, at := range places {
		for n, id := range made[at.Name] {
			first, _ := ids.SKU(id, 0)
			set, seller := "stage = 'listed'", mine
			switch n % kinds {
			case listed:
				want[first] = id
			case draft:
				set = "stage = 'draft'"
			case suspended:
				seller = 99
			}
			if _, err := at.In(at.Writer()).ExecContext(ctx, "UPDATE products__ SET "+set+", seller_id = ? WHERE product_id = ?", seller, id); err != nil {
				t.Fatal(err)
			}
			for n := range 3 { // the second one is archived, and there is no third one
				sku, _ := ids.SKU(id, n)
				skus = append(skus, sku)
			}
		}
	}
	got, err := s.Buyable(ctx, append(skus, 0, 1<<62+1))
	if err != nil || len(got) != len(want) {
		t.Errorf("%d of %d SKUs can be bought, want %d: %v", len(got), len(skus), len(want), err)
	}
	for sku, id := range want {
		if of := got[sku]; of.Product != id || of.Seller != mine || of.Titles["en"] != "Shirt" || of.Options["size"] != "s" {
			t.Errorf("SKU %d of %s is %+v", sku, id, of)
		}
	}
	if none, err := s.Buyable(ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("of no SKUs can be bought %v, %v", none, err)
	}
}
