package redisstock_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestOpenMissesKeys deletes one key of a partition and leaves the others: its cells are as others know them, and it
// is not opened, nor goes on selling once it was looked at.
func TestOpenMissesKeys(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]func(int) string{
		"reservations (res)": redisstock.ResKey, "deadlines (due or gone)": redisstock.DueKey, "outbox": redisstock.OutboxKey,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
			if _, err := redisstock.Open(t.Context(), client, cfg); err != nil {
				t.Fatal(err)
			}
			s := newShop(t, client, redisstock.Config{})
			torn := s.load(5, stock.Settings{})
			s.reserve(torn, 1, 1)
			p := partition(torn)
			cfg.Evidence = known{torn: {Epoch: 1, Seq: 2}}
			if _, err := redisstock.Open(t.Context(), client, cfg); err != nil {
				t.Fatalf("whole: %v", err)
			}
			s.must("DEL", key(p))
			s.must("SCRIPT", "", "FLUSH")
			report, err := redisstock.Open(t.Context(), client, cfg)
			if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "it has lost its "+name) {
				t.Fatalf("%v, want a refusal", err)
			}
			s.Trust(report.Marks)
			if shut, err := s.Shut(t.Context()); err != nil || !slices.Equal(shut, []int{p}) {
				t.Errorf("partitions %v are shut (%v), want %d alone", shut, err, p)
			}
		})
	}
}
