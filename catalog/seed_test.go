package catalog_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/core/auth"
	"sluice/core/shard"
)

// TestSeededShop fills a running shop twice. Shoppers see the products, and sellers, categories and brands are there once.
func TestSeededShop(t *testing.T) {
	t.Parallel()
	for _, in := range layouts {
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			s := newShopIn(t, in).start()
			secret, err := account.ReadSecret(s.cfg.AccountSecretFile)
			if err != nil {
				t.Fatal(err)
			}
			// One category is there with one of its attributes, as an end in the middle leaves it.
			products := product.New(product.Config{Databases: s.databases(), Now: time.Now})
			by := product.Caller{Author: audit.Author{Actor: "operator"}, User: 1, Key: "first"}
			left, err := products.MakeCategory(t.Context(), by, product.Category{Names: product.Names{"en": "Clothes"}})
			if err == nil {
				_, err = products.SetAttribute(t.Context(), by, left.ID, web.Version(left.Version), product.Attribute{
					Code: "material", Kind: product.KindText, Names: product.Names{"en": "Material"},
				})
			}
			if err != nil {
				t.Fatal(err)
			}
			var first catalog.Seeded
			told := 0
			for run := range 2 {
				done, err := catalog.Seed(t.Context(), catalog.Seeding{
					Databases: s.databases(), Secret: secret, Owner: 1, Sellers: 3, Products: 1201, Seed: uint64(run), Told: func(catalog.Seeded) { told++ },
				})
				if err != nil || done.Products != 1201 || len(done.Sellers) != 3 || done.Rows < 10*done.Products || len(done.IDs) != len(done.SKUs) {
					t.Fatalf("%d products of %v with %d rows, %v", done.Products, done.Sellers, done.Rows, err)
				}
				if run == 0 {
					first = done
				} else if fmt.Sprint(done.Sellers) != fmt.Sprint(first.Sellers) {
					t.Errorf("sellers %v, before %v", done.Sellers, first.Sellers)
				}
			}
			if told != 6 {
				t.Errorf("told %d times, want once for each batch", told)
			}
			for path, want := range map[string]string{
				"/v1/products/" + first.IDs[0].String():    `"zh-CN"`,
				"/v1/sellers/" + first.Sellers[2].String(): `"state":"open"`,
				"/v1/categories?deep=true":                 `"Headphones"`,
				"/v1/brands":                               `"Kestrel"`,
			} {
				if status, _, body := s.ask(http.MethodGet, path, "", "", ""); status != http.StatusOK || !strings.Contains(body, want) {
					t.Errorf("%s: %d\n%s", path, status, body)
				}
			}
			rows := map[string]int{}
			for _, p := range s.databases().All(shard.Products) {
				for _, table := range []string{"products__", "brands__", "categories__ WHERE parent_id IS NULL", "products__ WHERE stage = 'listed'"} {
					var n int
					if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
						t.Fatal(err)
					}
					rows[table] += n
				}
			}
			if got := fmt.Sprint(rows); got != "map[brands__:12 categories__ WHERE parent_id IS NULL:4 products__:2402 products__ WHERE stage = 'listed':2402]" {
				t.Error(got)
			}
			// Its owner works with them as with others.
			path := fmt.Sprintf("/v1/sellers/%s/products", first.Sellers[0])
			if status, _, body := s.ask(http.MethodGet, path+"?limit=100", s.token(1, auth.RoleShopper), "", ""); status != http.StatusOK || strings.Count(body, `"product_id"`) != 100 {
				t.Errorf("%d\n%.1000s", status, body)
			}
		})
	}
}
