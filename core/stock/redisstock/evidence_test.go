package redisstock_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// TestOpenShutsWhatHasLostEffects vets servers that sell: partitions that are behind of the evidence stop, and
// no others.
func TestOpenShutsWhatHasLostEffects(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	behind, fine := s.load(5, stock.Settings{}), s.load(5, stock.Settings{})
	for partition(fine) == partition(behind) {
		fine = s.load(5, stock.Settings{})
	}
	cfg.Evidence = known{behind: {Epoch: 1, Seq: 2}, fine: {Epoch: 1, Seq: 1}}
	others := cfg
	others.Nonces = &redistest.Nonces{}
	if _, err := redisstock.Open(t.Context(), s.client, others); !errors.Is(err, redisstock.ErrVetting) {
		t.Fatalf("error is %v, want a refusal", err)
	}
	s.reserve(behind, 9, 1) // another MySQL proves nothing about these data, and stops nobody
	cfg.Evidence = known{behind: {Epoch: 1, Seq: 3}, fine: {Epoch: 1, Seq: 1}}
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	if !errors.Is(err, redisstock.ErrVetting) {
		t.Fatalf("error is %v, want a refusal", err)
	}
	fresh := newShop(t, s.client, redisstock.Config{}) // a new process trusts what sells
	fresh.Trust(report.Marks)
	for _, s := range []*shop{s, fresh} {
		if err := s.do(stock.OpReserve, take(stock.OpReserve, behind, 1, 1)).Err; !errors.Is(err, stock.ErrShut) {
			t.Errorf("a partition that has lost effects: %v, want shut", err)
		}
		if shut, err := s.Shut(t.Context()); err != nil || !slices.Equal(shut, []int{partition(behind)}) {
			t.Errorf("partitions %v are shut (%v), want %d alone", shut, err, partition(behind))
		}
		s.one(stock.OpReserve, take(stock.OpReserve, fine, 1, 1))
	}
}

// TestOpenRefusesForks vets cells that have come as far as is known. One of them has lost an event on the way: it
// stays shut, and stops where it sells, until somebody has dealt with the fork.
func TestOpenRefusesForks(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	split, fine := s.load(5, stock.Settings{}), s.load(5, stock.Settings{})
	for partition(fine) == partition(split) {
		fine = s.load(5, stock.Settings{})
	}
	s.reserve(split, 1, 1)
	evidence := &forked{known: known{split: {Epoch: 1, Seq: 2}, fine: {Epoch: 1, Seq: 1}}, forks: known{split: {Epoch: 1, Seq: 2}}}
	cfg.Evidence = evidence
	var report redisstock.OpenReport
	for _, when := range []string{"while it sells", "while it is shut", "after a restart"} {
		renewed := 0
		if when == "after a restart" { // the others are opened
			renewed = stock.PartitionsDefault - 1
			s.must("SCRIPT", "", "FLUSH")
		}
		var err error
		report, err = redisstock.Open(t.Context(), s.client, cfg)
		if !errors.Is(err, redisstock.ErrVetting) || report.Forked != 1 || report.Behind != 0 || report.Renewed != renewed ||
			!strings.Contains(err.Error(), split.String()+" has two events at epoch 1 seq 2") || !strings.Contains(err.Error(), "deadletter resolve") {
			t.Fatalf("%s: %+v, %v", when, report, err)
		}
		s.Trust(report.Marks)
		if shut, err := s.Shut(t.Context()); err != nil || !slices.Equal(shut, []int{partition(split)}) {
			t.Errorf("%s: partitions %v are shut (%v), want %d alone", when, shut, err, partition(split))
		}
	}
	s.reserve(fine, 1, 1)
	if _, causes, err := redisstock.Inspect(t.Context(), s.client, cfg); err != nil || len(causes) != 1 || !strings.Contains(causes[0], "two events") {
		t.Errorf("causes are %q (%v), want the fork", causes, err)
	}
	evidence.forks = nil
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	if err != nil || report.Renewed != 1 {
		t.Fatalf("dealt with: %+v, %v", report, err)
	}
	s.Trust(report.Marks)
	s.reserve(split, 2, 1)
}

// TestEmptyServerOfAKnownDeployment refuses to take lost data for a new deployment, though MySQL and Kafka know
// of no cell.
func TestEmptyServerOfAKnownDeployment(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	s.must("FLUSHALL", "")
	wantShut(t, s, cfg, "was opened before: its data are lost")
}
