package redisstock_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// two loads a cell with a reservation, and a cell of another partition.
func (s *shop) two() (held stock.Reservation, other stock.Cell) {
	s.Helper()
	held = s.reserve(s.load(9, stock.Settings{Limit: 9}), 1, 1)
	for other = s.load(90, stock.Settings{}); partition(other) == partition(held.Cell); {
		other = s.load(90, stock.Settings{})
	}
	return held, other
}

// wantLost holds that a partition serves nobody and is left as it is, and that a cell of another one sells.
func wantLost(t *testing.T, held stock.Reservation, other stock.Cell, shops map[string]*shop) {
	t.Helper()
	for who, s := range shops {
		before := s.dump(partition(held.Cell))
		for what, call := range s.calls(held) {
			if err := call(); !errors.Is(err, stock.ErrShut) {
				t.Errorf("%s, %s: error is %v, want shut", who, what, err)
			}
		}
		if diff := cmp.Diff(before, s.dump(partition(held.Cell))); diff != "" {
			t.Errorf("%s: something was changed (-before +after):\n%s", who, diff)
		}
		s.reserve(other, newCell().SKU, 1) // any user
	}
}

// TestLostPartitionServesNobody takes effects from a partition. It refuses every process: one that trusted it, one that
// resumes or adopts marks, and one that has vetted it. The other partitions sell, while Redis is open and after a
// restart.
func TestLostPartitionServesNobody(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted %v", restart), func(t *testing.T) {
			t.Parallel()
			s, cfg, _ := opened(t)
			held, other := s.two()
			resumed := restarted(s, redisstock.Config{CallTimeout: 20e9})
			cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 3}, other: {Epoch: 1, Seq: 1}}
			if restart {
				s.must("SCRIPT", "", "FLUSH")
			}
			for range 2 { // the second time it is known
				report, err := redisstock.Open(t.Context(), s.client, cfg)
				if lost := []int{partition(held.Cell)}; !errors.Is(err, redisstock.ErrVetting) || !slices.Equal(report.Lost, lost) {
					t.Fatalf("error is %v, and lost are %v, want %v", err, report.Lost, lost)
				}
				vetter := newShop(t, s.client, redisstock.Config{})
				vetter.Trust(report.Marks)
				if restart {
					s.Resume(report.Marks) // the others have another nonce
					resumed.Resume(report.Marks)
				}
				wantLost(t, held, other, map[string]*shop{
					"who trusted it": s, "who resumes": resumed, "who adopts": adopter(t, s, cfg.Nonces), "who has vetted it": vetter,
				})
			}
		})
	}
}

// TestDataOfAnEarlierVettingAreShut puts a partition back to what it was before an earlier vetting, with the nonce of that
// time. A process that still has this nonce sells from it until it has vetted the data, and no longer; the others sell on.
func TestDataOfAnEarlierVettingAreShut(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	held, other := s.two()
	stale, p := restarted(s, redisstock.Config{CallTimeout: 20e9}), partition(held.Cell)
	copied := s.dump(p)
	s.must("SCRIPT", "", "FLUSH")
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Fatal(err)
	}
	s.trust()
	s.reserve(held.Cell, 2, 1)
	for key := range s.dump(p) {
		s.must("DEL", key)
	}
	for key, value := range copied {
		s.must("RESTORE", key, "0", value, "REPLACE")
	}
	stale.reserve(held.Cell, 3, 1)
	cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 9}}
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), fmt.Sprintf("partition %d: it has data that were vetted", p)) {
		t.Fatalf("error is %v, want a refusal", err)
	}
	stale.Distrust(report.Lost)
	stale.Trust(report.Marks)
	wantLost(t, held, other, map[string]*shop{"who had the nonce": stale, "who has the newer one": s, "who adopts": adopter(t, s, cfg.Nonces)})
}

// TestPartitionWithoutAnyKeyIsShut empties one partition, as the loss of a server of a cluster does. It is not taken for a
// new one, and the others sell, also after a restart.
func TestPartitionWithoutAnyKeyIsShut(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	held, other := s.two()
	p := partition(held.Cell)
	for key := range s.dump(p) {
		s.must("DEL", key)
	}
	s.must("SCRIPT", "", "FLUSH")
	report, err := redisstock.Open(t.Context(), s.client, cfg)
	if !errors.Is(err, redisstock.ErrVetting) || !strings.Contains(err.Error(), fmt.Sprintf("in part: partition %d: it holds nothing", p)) ||
		report.New || report.Renewed != stock.PartitionsDefault-1 {
		t.Fatalf("%+v, %v", report, err)
	}
	vetter := newShop(t, s.client, redisstock.Config{})
	vetter.Trust(report.Marks)
	wantLost(t, held, other, map[string]*shop{"who has vetted it": vetter, "who adopts": adopter(t, s, cfg.Nonces)})
	if left := s.dump(p); len(left) != 0 {
		t.Errorf("it has got keys: %v", left)
	}
}
