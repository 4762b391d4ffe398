package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/core/config"
	"sluice/core/ids"
	"sluice/core/place"
)

// Seed fills the shop with invented goods.
type Seed struct {
	ShopBooks `embed:""`
	Output    `embed:""`
	Consent   `embed:""`

	Secret   string `name:"account-secret-file" private:"" env:"SLUICE_ACCOUNT_SECRET_FILE" group:"Catalog" placeholder:"PATH"`
	Products int    `default:"500" placeholder:"N" help:"Add so many products. The default is ${default}."`
	Sellers  int    `default:"3" placeholder:"N" help:"Give them to so many sellers, 1 to 100. The default is ${default}."`
	Owner    int64  `default:"1" placeholder:"USER" help:"This user owns the sellers. The default is ${default}."`
	Seed     int64  `default:"1" placeholder:"N" help:"The same seed makes the same products. The default is ${default}."`
}

const (
	seedProductsMax = 100_000_000
	seedSellersMax  = 100
)

// Help is called by kong.
func (Seed) Help() string {
	return `Fills the databases of the shop with the goods of a demo shop: categories, brands, and open sellers of --owner, unless they are there,
and --products more products with texts in English and Chinese, which shoppers see at once. It is for demos and load tests: nobody
reviews what it makes, and nobody is told. The shop may run meanwhile. An end in the middle leaves whole products behind.

Examples:
  sluice seed --yes
  sluice seed --products 1000000 --seed 7 --yes`
}

// Validate joins all faults.
func (s *Seed) Validate() error {
	var f config.Faults
	f.Include(s.ShopBooks.Validate())
	config.Between(&f, "products", s.Products, 1, seedProductsMax)
	config.Between(&f, "sellers", s.Sellers, 1, seedSellersMax)
	config.Between(&f, "seed", s.Seed, 0, math.MaxInt64)
	config.Between(&f, "owner", s.Owner, 1, int64(math.MaxInt64)-2)
	return f.Err()
}

// seeded is what a seeding did.
type seeded struct {
	Sellers  []ids.Seller `json:"sellers"`
	Products int          `json:"products"`
	Rows     int          `json:"rows"`
	Seconds  float64      `json:"seconds"`
	DryRun   bool         `json:"dry_run"`
}

// Run is called by kong.
func (s *Seed) Run(ctx context.Context, c *Console) error {
	if err := s.check(c); err != nil {
		return err
	}
	if s.Secret == "" && s.devDir != "" {
		s.Secret = filepath.Join(s.devDir, DevAccountSecret)
	}
	if s.Secret == "" {
		return usage(errors.New("account-secret-file: missing: want the file of --account-secret-file (SLUICE_ACCOUNT_SECRET_FILE), which is that of the shop"))
	}
	secret, err := account.ReadSecret(s.Secret)
	if err != nil {
		return usage(fmt.Errorf("account-secret-file: %w", err))
	}
	return s.open(ctx, func(databases *place.Databases) error {
		if s.DryRun {
			c.Notef("would add %s products of %d sellers; nothing is written", number(int64(s.Products)), s.Sellers)
			return s.show(c, &seeded{Sellers: []ids.Seller{}, DryRun: true})
		}
		question := fmt.Sprintf("This adds %s invented products to the shop. Nothing takes them out again.", number(int64(s.Products)))
		if err := s.ask(ctx, c, question, "seed"); err != nil {
			return err
		}
		began, told := time.Now(), time.Now()
		done, err := catalog.Seed(ctx, catalog.Seeding{
			Databases: databases, Secret: secret, Owner: ids.User(s.Owner), Sellers: s.Sellers, Products: s.Products, Seed: uint64(s.Seed),
			Told: func(so catalog.Seeded) {
				if now := time.Now(); now.Sub(told) >= c.tellEvery() {
					told = now
					c.Notef("seeding: %s of %s products, %s rows/s", number(int64(so.Products)), number(int64(s.Products)), number(int64(float64(so.Rows)/now.Sub(began).Seconds())))
				}
			},
		})
		if err != nil {
			c.Notef("%s products are there", number(int64(done.Products)))
			return err
		}
		return s.show(c, &seeded{Sellers: done.Sellers, Products: done.Products, Rows: done.Rows, Seconds: time.Since(began).Seconds()})
	})
}

func (s *Seed) show(c *Console, done *seeded) error {
	if s.json() {
		return c.JSON(done)
	}
	if done.DryRun {
		return nil
	}
	c.Printf("added %s products of %d sellers: %s rows in %.1f s, %s rows/s\n", number(int64(done.Products)), len(done.Sellers), number(int64(done.Rows)), done.Seconds,
		number(int64(float64(done.Rows)/done.Seconds)))
	return nil
}
