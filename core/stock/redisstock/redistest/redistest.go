// Package redistest opens Redis for tests that have no MySQL.
package redistest

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Nonces are stock.Nonces in memory. The zero value has none.
type Nonces struct {
	ID string // of the database that they stand for

	mu    sync.Mutex
	named stock.LedgerIdentity
	list  map[int]stock.Mark
}

// Identity implements stock.Nonces.
func (n *Nonces) Identity(context.Context) (stock.LedgerIdentity, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.named
	id.ID = n.ID
	return id, nil
}

// Name implements stock.Nonces.
func (n *Nonces) Name(_ context.Context, deployment string, partitions int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.named.Deployment == "" {
		n.named = stock.LedgerIdentity{Deployment: deployment, Partitions: partitions}
	}
	return nil
}

// Read implements stock.Nonces.
func (n *Nonces) Read(_ context.Context, partitions int) ([]stock.Mark, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	vettings := make([]stock.Mark, partitions)
	for p := range vettings {
		vettings[p] = n.list[p]
	}
	return vettings, nil
}

// Saw implements stock.Nonces.
func (n *Nonces) Saw(_ context.Context, seen []stock.Mark) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p, v := range seen {
		if known := n.list[p]; known.Nonce == v.Nonce && known.Effects < v.Effects {
			n.list[p] = v
		}
	}
	return nil
}

// Replace implements stock.Nonces.
func (n *Nonces) Replace(ctx context.Context, changes []stock.NonceChange, during func(context.Context) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range changes {
		if n.list[c.Partition].Nonce != c.Old {
			return stock.ErrReplaced
		}
	}
	if err := during(ctx); err != nil {
		return err
	}
	if n.list == nil {
		n.list = map[int]stock.Mark{}
	}
	for _, c := range changes {
		n.list[c.Partition] = stock.Mark{Nonce: c.New}
	}
	return nil
}

// NoEvidence knows nothing of any cell.
type NoEvidence struct{}

// Highest implements redisstock.Evidence.
func (NoEvidence) Highest(context.Context, func(stock.Cell, stock.Position) error) error { return nil }

// Forks implements redisstock.Evidence.
func (NoEvidence) Forks(context.Context, func(stock.Cell, stock.Position) error) error { return nil }

// Open opens a new Redis for a deployment "test" with so many partitions, and returns the marks for its stores to
// trust.
func Open(t testing.TB, client rueidis.Client, partitions int, stores ...*redisstock.Store) []stock.Mark {
	t.Helper()
	report, err := redisstock.Open(t.Context(), client, redisstock.OpenConfig{
		Partitions: partitions, Deployment: "test", Evidence: NoEvidence{}, Nonces: &Nonces{},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range stores {
		store.Trust(report.Marks)
	}
	return report.Marks
}
