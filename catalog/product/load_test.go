package product_test

import (
	"strings"
	"testing"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/shard"
)

// TestLoadedProductsAreLikeOthers: a product that is loaded is one that was made step by step, with versions and an event.
func TestLoadedProductsAreLikeOthers(t *testing.T) {
	t.Parallel()
	s, shirts := stocked(t)
	ctx := t.Context()
	good := func() product.Good {
		return product.Good{
			Seller: mine, Content: shirt(shirts), SKUs: []product.SKU{sized(0, "s"), sized(0, "m")},
			Texts: map[string]product.Text{"en": {Title: "Shirt"}, "zh-CN": {Title: "衬衫", Description: "一件\n很好的衬衫"}},
		}
	}
	by := audit.Author{Actor: "operator", Origin: "seed"}
	for _, number := range []uint16{0, 300, 1023} {
		made, rows, err := s.Load(ctx, by, number, []product.Good{good(), good()})
		if err != nil || len(made) != 2 || made[0] == made[1] || shard.OfProduct(made[0]).Number != number {
			t.Fatalf("%v, %v", made, err)
		}
		if each := 1 + 2 + 2 + 6 + 2; rows != 2*each { // itself, texts, SKUs, the parts of the first version, and the event with its version
			t.Errorf("%d rows, want %d", rows, 2*each)
		}
		shown, err := s.Shown(ctx, made[1])
		if err != nil || shown.Version != 1 || len(shown.SKUs) != 2 || shown.SKUs[1].N != 1 || shown.Texts["zh-CN"].Title != "衬衫" {
			t.Errorf("%+v, %v", shown, err)
		}
		versions, _, err := s.Versions(ctx, seller.Reader{User: 11}, mine, made[1], 0, 100)
		if err != nil || len(versions) != 6 {
			t.Errorf("%+v, %v", versions, err)
		}
		changed := s.done(s.SetText(ctx, s.as(11), mine, made[1], web.Version(shown.Version), "en", product.Text{Title: "Another one"}))
		if restored := s.done(s.Restore(ctx, s.as(11), mine, made[1], web.Version(changed.Version), shown.Version)); restored.Version != 3 {
			t.Errorf("%+v", restored)
		}
		at := s.databases.At(shard.OfProduct(made[1]))
		if n := s.count(at, "product_outbox__ WHERE aggregate_id = '"+made[1].String()+"' AND version IN (1, 2, 3)"); n != 3 {
			t.Errorf("%d events, want the first and those of two changes", n)
		}
	}
	// What could not be listed is not there afterwards.
	for what, spoil := range map[string]func(*product.Good){
		"no text": func(g *product.Good) { g.Texts = nil }, "no SKU": func(g *product.Good) { g.SKUs = nil }, "a value is missing": func(g *product.Good) { g.Values = nil },
		"another category": func(g *product.Good) { g.Category = 99 }, "two SKUs with the same options": func(g *product.Good) { g.SKUs[1] = g.SKUs[0] },
		"a long title": func(g *product.Good) { g.Texts["en"] = product.Text{Title: strings.Repeat("x", 201)} },
	} {
		bad := good()
		spoil(&bad)
		if made, _, err := s.Load(ctx, by, 5, []product.Good{good(), bad}); err == nil || codeOf(err) == "" {
			t.Errorf("%s: %v, %v", what, made, err)
		}
	}
	if n := s.count(s.databases.At(shard.Shard{Kind: shard.Products, Number: 5}), "products__"); n != 2 {
		t.Errorf("%d products, want those of shard 0, which are in the same place", n)
	}
	many := make([]product.Good, product.LoadMax+1)
	if _, _, err := s.Load(ctx, by, 5, many); err == nil {
		t.Error("too many at once")
	}
}
