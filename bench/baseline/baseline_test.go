package baseline_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/bench/baseline"
	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// street has a shop of each way, in one place, because that starts a dozen processes.
type street struct {
	t     *testing.T
	place *baseline.Place
	shops map[string]baseline.Shop
}

func newStreet(t *testing.T) *street {
	t.Helper()
	servicetest.Program(t, func() (string, error) { return local.FindRedis(t.Context()) })
	servicetest.Program(t, local.FindMariaDB)
	s := &street{t, baseline.NewPlace(t.TempDir(), stack.Build(t, "sluice")), map[string]baseline.Shop{}}
	t.Cleanup(func() {
		var err error
		for _, shop := range s.shops {
			err = errors.Join(err, shop.Close())
		}
		if err := errors.Join(err, s.place.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	return s
}

// open is the shop of a way.
func (s *street) open(t *testing.T, name string) baseline.Shop {
	t.Helper()
	ways := baseline.Ways()
	if s.shops[name] == nil {
		i := slices.IndexFunc(ways, func(w baseline.Way) bool { return w.Name == name })
		shop, err := ways[i].Open(s.t.Context(), s.place)
		if err != nil {
			t.Fatal(err)
		}
		s.shops[name] = shop
	}
	return s.shops[name]
}

func TestWays(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	for _, way := range baseline.Ways() {
		if way.Name != baseline.Empty {
			t.Run(way.Name+" neither oversells nor loses", func(t *testing.T) { s.neitherOversellsNorLoses(t, way.Name) })
		}
	}
	for _, name := range []string{"watch", "lock"} {
		t.Run(name+" ends with its time", func(t *testing.T) { s.endsWithItsTime(t, name) })
	}
	t.Run("empty answers like an edge", s.emptyAnswersLikeAnEdge)
}

// A way sells each unit of a small stock once while many buy at the same time, and its stores say so. Where there is
// more stock than they want, none is lost.
func (s *street) neitherOversellsNorLoses(t *testing.T, name string) {
	t.Helper()
	shop := s.open(t, name)
	const units, buyers = 200, 32
	sell(t, shop, 2001, units, buyers, units) // each buyer would take all
	sell(t, shop, 2002, units, buyers, 3)
}

// sell has buyers buy at most so many units each, and compares what they were sold with what the stores have.
func sell(t *testing.T, shop baseline.Shop, sku, units int64, buyers, each int) {
	t.Helper()
	ctx := t.Context()
	if err := shop.Stock(ctx, sku, units); err != nil {
		t.Fatal(err)
	}
	var sold, number atomic.Int64
	var wg sync.WaitGroup
	for user := range buyers {
		wg.Go(func() {
			b, err := shop.Buyer()
			if err != nil {
				t.Error(err)
				return
			}
			defer b.Close()
			for range each {
				got, err := b.Buy(ctx, baseline.Order{SKU: sku, User: int64(1 + user), Number: sku*1_000_000 + number.Add(1)})
				if err != nil {
					t.Error(err)
				}
				if err != nil || !got {
					return
				}
				sold.Add(1)
			}
		})
	}
	wg.Wait()
	if err := shop.Settle(ctx); err != nil {
		t.Fatal(err)
	}
	want := min(units, int64(buyers*each))
	if sold.Load() != want {
		t.Errorf("SKU %d: %d of %d units were sold, want %d", sku, sold.Load(), units, want)
	}
	counts, err := shop.Count(ctx, sku)
	if err != nil || len(counts) == 0 {
		t.Fatalf("counts %v, %v", counts, err)
	}
	for _, c := range counts {
		if c.Left != units-want || c.Orders != want {
			t.Errorf("SKU %d: %s has %d units left and %d orders, want %d and %d", sku, c.Store, c.Left, c.Orders, units-want, want)
		}
	}
	if err := shop.Clear(ctx, sku); err != nil {
		t.Error(err)
	}
}

// A buyer who waits for a lock or tries again leaves when the time is over, without a unit.
func (s *street) endsWithItsTime(t *testing.T, name string) {
	t.Helper()
	shop := s.open(t, name)
	const sku = 3001
	if err := shop.Stock(t.Context(), sku, 1); err != nil {
		t.Fatal(err)
	}
	if name == "lock" {
		if err := baseline.Lock(t.Context(), shop, sku); err != nil {
			t.Fatal(err)
		}
	}
	b, err := shop.Buyer()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if sold, err := b.Buy(over, baseline.Order{SKU: sku, User: 1, Number: 1}); sold || !errors.Is(err, baseline.ErrEnded) {
		t.Errorf("sold %v, %v", sold, err)
	}
}

// The empty handler answers with as many bytes, and the same headers, as an edge.
func (s *street) emptyAnswersLikeAnEdge(t *testing.T) {
	t.Helper()
	var answers []load.Response
	for _, name := range []string{baseline.Empty, "http"} {
		shop := s.open(t, name)
		if err := shop.Stock(t.Context(), 1001, 1); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, baseline.Answer(t, shop, baseline.Order{SKU: 1001, User: 1, Number: 1}))
	}
	empty, edge := answers[0], answers[1]
	if empty.Status != edge.Status || len(empty.Body) != len(edge.Body) || len(empty.Header) != len(edge.Header) {
		t.Errorf("the empty handler answers %d\n%s\n%s\nan edge %d\n%s\n%s", empty.Status, empty.Header, empty.Body, edge.Status, edge.Header, edge.Body)
	}
}
