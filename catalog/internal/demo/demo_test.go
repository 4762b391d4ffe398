package demo_test

import (
	"fmt"
	"testing"

	"sluice/catalog/internal/demo"
	"sluice/core/ids"
)

func shop() (s demo.Shop) {
	for _, top := range demo.Categories() {
		for range top.Below {
			s.Leaves = append(s.Leaves, ids.Category(len(s.Leaves)+1))
		}
	}
	for i := range demo.Brands() {
		s.Brands = append(s.Brands, ids.Brand(i+1))
	}
	s.Sellers = []ids.Seller{1, 2, 3}
	return s
}

// TestTheSameSeedHasTheSameGoods: others have others, and a shop of some size has something in each category, of each brand and seller.
func TestTheSameSeedHasTheSameGoods(t *testing.T) {
	t.Parallel()
	s, again := shop(), shop()
	categories, brands, sellers, titles, changed := map[ids.Category]bool{}, map[ids.Brand]bool{}, map[ids.Seller]bool{}, map[string]bool{}, 0
	const n = 500
	for i := range n {
		g := s.Good(1, i)
		if text := fmt.Sprintf("%+v", g); text != fmt.Sprintf("%+v", again.Good(1, i)) {
			t.Errorf("product %d is another one: %s", i, text)
		} else if text != fmt.Sprintf("%+v", s.Good(2, i)) {
			changed++
		}
		categories[g.Category], brands[g.Brand], sellers[g.Seller], titles[g.Texts[demo.Chinese].Title] = true, true, true, true
	}
	if len(categories) != len(s.Leaves) || len(brands) != len(s.Brands) || len(sellers) != len(s.Sellers) || len(titles) < n*9/10 || changed < n*9/10 {
		t.Errorf("%d categories, %d brands, %d sellers and %d titles; another seed changes %d", len(categories), len(brands), len(sellers), len(titles), changed)
	}
}
