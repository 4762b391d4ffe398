package redisstock_test

import (
	"context"
	"errors"
	"strings"
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

// rivalNonces get the name of another deployment just before they are to get one.
type rivalNonces struct {
	redistest.Nonces

	deployment string
	partitions int
}

func (n *rivalNonces) Name(ctx context.Context, deployment string, partitions int) error {
	return errors.Join(n.Nonces.Name(ctx, n.deployment, n.partitions), n.Nonces.Name(ctx, deployment, partitions))
}

// Two deployments vet at the same time with a MySQL that has no name yet. The second one does not open.
func TestOpenBesideAnotherNewDeployment(t *testing.T) {
	t.Parallel()
	for _, rival := range []*rivalNonces{
		{deployment: "other", partitions: stock.PartitionsDefault}, {deployment: "test", partitions: stock.PartitionsDefault + 1},
	} {
		s, _, _ := opened(t)
		cfg := redisstock.OpenConfig{
			Partitions: stock.PartitionsDefault, Deployment: "test", Evidence: redistest.NoEvidence{}, Nonces: rival, AllowNoPersistence: true,
		}
		s.must("FLUSHALL", "SYNC")
		if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), "the MySQL database is of") {
			t.Errorf("%q with %d partitions was first: %v", rival.deployment, rival.partitions, err)
		}
		cfg.Deployment = rival.deployment
		if rival.deployment == "other" {
			s.must("FLUSHALL", "SYNC")
			if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
				t.Errorf("the first one: %v", err)
			}
		}
	}
}
