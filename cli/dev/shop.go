package dev

import (
	"context"
	"fmt"
	"io"
	"strings"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/cli/command"
	"sluice/core/ids"
	"sluice/core/place"
)

// The demo shop. Who has the token of the demo owns its sellers.
const (
	demoProducts = 500
	demoSellers  = 3
	demoUnits    = 100 // of each SKU
)

// seedShop gives the shop goods and their stock, unless it has some or nobody wants the sample.
func (s *stack) seedShop(ctx context.Context) error {
	if !s.command.Sample {
		return nil
	}
	return s.withShop(func(shop catalog.Config, databases *place.Databases) error {
		has, err := catalog.HasProducts(ctx, databases)
		if err != nil || has {
			return err
		}
		secret, err := account.ReadSecret(shop.AccountSecretFile)
		if err != nil {
			return err
		}
		var goods strings.Builder
		goods.WriteString("sku_id,quantity,limit,hold_seconds\n")
		_, err = catalog.Seed(ctx, catalog.Seeding{
			Databases: databases, Secret: secret, Owner: demoShopper, Sellers: demoSellers, Products: demoProducts, Seed: 1,
			Told: func(so catalog.Seeded) {
				for i, id := range so.IDs {
					for n := range so.SKUs[i] {
						if sku, ok := ids.SKU(id, n); ok {
							_, _ = fmt.Fprintf(&goods, "%d,%d,,\n", sku, demoUnits)
						}
					}
				}
			},
		})
		if err != nil {
			return fmt.Errorf("seed demo shop: %w", err)
		}
		nobody := &command.Console{In: strings.NewReader(goods.String()), Out: io.Discard, Err: io.Discard}
		load := command.StockLoad{Writer: s.writer(), Consent: command.Consent{Yes: true}, File: "-"}
		if err := load.Run(ctx, nobody); err != nil && !s.restores(err) {
			return fmt.Errorf("load stock of the demo shop: %w", err)
		}
		return nil
	})
}
