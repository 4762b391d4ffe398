// Package stocktest holds every stock.Store to the same behaviour: Run goes through the contract case
// by case, Simulate compares a store with the model step by step, and Audit judges a cell by its
// events alone. Cases use SKUs of their own, so that one server can serve all of them at once.
package stocktest

import (
	"context"
	"maps"
	"testing"
	"time"

	"sluice/core/stock"
)

// Store is a store whose outbox can be read, and that users can be registered in.
type Store interface {
	stock.Store
	OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	Register(ctx context.Context, partition int, sale uint32, users []int64) (added int, err error)
}

// Options are settings of a store that cases choose. The zero value means the store's defaults.
type Options struct {
	Retention        time.Duration
	OutboxEntriesMax int64
	Ack              stock.Ack
}

// Fixture is a stock under test.
type Fixture struct {
	// Open makes a store over the stock. All stores of a fixture share it.
	Open func(t testing.TB, o Options) Store
	// Corrupt adds to avail and held of a cell, and to nothing else, behind the store's back.
	Corrupt func(t testing.TB, cell stock.Cell, avail, held int64)
	// Lose removes a cell, and nothing else, behind the store's back.
	Lose func(t testing.TB, cell stock.Cell)
	// LoseBasket removes the record of a basket, and nothing else, behind the store's back.
	LoseBasket func(t testing.TB, id stock.ReservationID)
	// AgeBasket makes the record of a basket older than the last vetting of its partition, behind the store's back.
	AgeBasket func(t testing.TB, id stock.ReservationID)
	// Vouch has the partition of a cell know all users of its sale, unless it has fewer than these. It returns how many it has.
	Vouch func(t testing.TB, cell stock.Cell, users int64) (there int64)
	// LoseUser removes a registration for the sale of a cell, and nothing else, behind the store's back.
	LoseUser func(t testing.TB, cell stock.Cell, user int64)
	// Advance moves the store's clock to a time. Without it the cases wait.
	Advance func(toMS int64)
}

// group is cases about one subject.
type group map[string]func(h *harness)

// and returns the cases of both groups.
func (g group) and(o group) group {
	all := maps.Clone(g)
	maps.Copy(all, o)
	return all
}

// Run runs the conformance suite. It makes a fixture per case; they may share a server.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	groups := map[string]group{
		"take":     takeCases,
		"settle":   settleCases,
		"extend":   extendCases,
		"return":   returnCases,
		"basket":   basketCases.and(basketLostCases),
		"adjust":   adjustCases,
		"register": registerCases,
		"shut":     shutCases,
		"vector":   vectorCases,
		"time":     timeCases,
		"forget":   forgetCases,
	}
	for subject, cases := range groups {
		t.Run(subject, func(t *testing.T) {
			t.Parallel()
			for name, run := range cases {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					run(newHarness(t, newFixture(t)))
				})
			}
		})
	}
}
