package redisstock_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// TestDataLostDuringAVetting empties a restarted server after its cells were compared and before it is opened.
func TestDataLostDuringAVetting(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string][]string{"flushdb": {"FLUSHDB"}, "swapdb": {"SWAPDB", "0", "1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, onServer(t), redisstock.Config{})
			cell := s.load(5, stock.Settings{})
			s.must("SCRIPT", "", "FLUSH")
			cfg := openConfig()
			cfg.Nonces = &hookedNonces{before: func() { s.must(lose[0], "", lose[1:]...) }}
			cfg.Evidence = known{cell: {Epoch: 1, Seq: 1}}
			if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, redisstock.ErrVetting) {
				t.Errorf("error is %v, want that the next try finds the loss", err)
			}
			wantNothingSold(t, s)
		})
	}
}

// TestProcessesOpenAtOnce opens one server from many processes: one nonce is left, which all have.
func TestProcessesOpenAtOnce(t *testing.T) {
	t.Parallel()
	client := connect(t, servicetest.Redis(t).Addr)
	nonces := &redistest.Nonces{}
	const processes = 8
	reports := make(chan []stock.Mark, processes)
	for range processes {
		go func() {
			cfg := openConfig()
			cfg.Nonces = nonces
			report, err := redisstock.Open(t.Context(), client, cfg)
			if err != nil {
				t.Error(err)
			}
			reports <- report.Marks
		}()
	}
	first := <-reports
	for range processes - 1 {
		if diff := cmp.Diff(first, <-reports); diff != "" {
			t.Errorf("two processes trust different data:\n%s", diff)
		}
	}
}

// TestOpenThatFailsOpensNothing interrupts openings where MySQL ends them.
func TestOpenThatFailsOpensNothing(t *testing.T) {
	t.Parallel()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	cfg := openConfig()
	cfg.Nonces = &hookedNonces{after: func() error { return errors.New("commit: mysql is away") }}
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err == nil || errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("error is %v, want the one of the nonces", err)
	}
	if err := s.Adopt(t.Context(), &redistest.Nonces{}); err != nil {
		t.Fatal(err)
	}
	wantNothingSold(t, s)
	s.open()
	s.load(1, stock.Settings{})
}

// hookedNonces call before when a vetting is about to replace them, and after when it has: an error of after undoes
// the change.
type hookedNonces struct {
	redistest.Nonces

	before func()
	after  func() error
}

func (n *hookedNonces) Replace(ctx context.Context, changes []stock.NonceChange, during func(context.Context) error) error {
	if n.before != nil {
		n.before()
	}
	return n.Nonces.Replace(ctx, changes, func(ctx context.Context) error {
		if err := during(ctx); err != nil || n.after == nil {
			return err
		}
		return n.after()
	})
}
