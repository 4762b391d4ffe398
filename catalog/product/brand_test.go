package product_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/product"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// TestListOfBrandsIsNeverOld has a replica that is behind, and that others may read from.
func TestListOfBrandsIsNeverOld(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	primary, replicas := servicetest.ReplicatedMariaDB(t, 1)
	if err := primary.CreateDatabase(ctx, "shop"); err != nil {
		t.Fatal(err)
	}
	m := shard.One(shard.Database{Name: "shop", DSN: config.Secret(primary.DSN("shop")), Readers: []config.Secret{config.Secret(replicas[0].DSN("shop"))}})
	d, err := place.Open(place.Options{Map: m, MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(ctx, place.Owners{place.Beats, audit.Schema(), product.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, databases: d}
	s.clock.Store(1)
	s.Products = s.process()
	brand := func(name string) {
		t.Helper()
		if _, err := s.MakeBrand(ctx, s.by(), product.Brand{Names: product.Names{"en": name}}); err != nil {
			t.Fatal(err)
		}
	}
	brand("First")
	running, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() { d.Run(running); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	p := d.At(shard.Shard{Kind: shard.Products})
	end := time.Now().Add(time.Minute)
	for reads, brands := uint64(0), 0; reads == 0 || brands == 0; reads, _, _ = p.Reads() { // until the replica answers, and has the first brand
		time.Sleep(20 * time.Millisecond)
		var err error
		brands, err = place.Read(ctx, p, 0, func(in place.Conn) (n int, err error) {
			err = in.QueryRowContext(ctx, "SELECT COUNT(*) FROM brands__").Scan(&n)
			return n, err
		})
		if err != nil || time.Now().After(end) {
			t.Fatal("the replica does not catch up: ", err)
		}
	}
	if err := replicas[0].Lag(ctx, true); err != nil {
		t.Fatal(err)
	}
	brand("Second")
	page, _, err := s.Brands(ctx, 0, 10)
	if err != nil || len(page) != 2 {
		t.Errorf("%d brands, want 2: %v", len(page), err)
	}
}
