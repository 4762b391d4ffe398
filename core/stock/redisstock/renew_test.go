package redisstock_test

import (
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// TestOpenRenewsWhatIsShut opens servers that were open once, each shut in its own way: all partitions get another
// nonce, the one that MySQL then has, and sell.
func TestOpenRenewsWhatIsShut(t *testing.T) {
	t.Parallel()
	for name, shut := range map[string]func(s *shop, cfg *redisstock.OpenConfig){
		"scripts lost":              func(s *shop, _ *redisstock.OpenConfig) { s.must("SCRIPT", "", "FLUSH") },
		"vetted with another MySQL": func(_ *shop, cfg *redisstock.OpenConfig) { cfg.Nonces = &redistest.Nonces{} },
		"all lost but scripts":      func(s *shop, cfg *redisstock.OpenConfig) { s.must("FLUSHALL", ""); cfg.Nonces = &redistest.Nonces{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg, first := opened(t)
			s.load(1, stock.Settings{})
			shut(s, &cfg)
			again, err := redisstock.Open(t.Context(), s.client, cfg)
			if err != nil || again.Renewed != stock.PartitionsDefault {
				t.Fatalf("%d partitions renewed (%v), want all", again.Renewed, err)
			}
			nonces, err := cfg.Nonces.Read(t.Context(), stock.PartitionsDefault)
			if err != nil {
				t.Fatal(err)
			}
			for p, m := range again.Marks {
				if m.Nonce == first[p].Nonce || m.Nonce != nonces[p].Nonce || m.Effects != 0 {
					t.Fatalf("partition %d has %+v, before %+v, and MySQL has %+v", p, m, first[p], nonces[p])
				}
			}
			s.Trust(again.Marks)
			s.load(1, stock.Settings{})
		})
	}
}

// TestOpenLeavesOpenPartitionsAlone renews one partition while another one sells: what happens to that between
// the reading of its mark and the writing of the other's is counted still.
func TestOpenLeavesOpenPartitionsAlone(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	cell := s.load(9, stock.Settings{})
	shut := (partition(cell) + 1) % stock.PartitionsDefault
	s.must("DEL", redisstock.MarkKey(shut))
	cfg.Evidence = evidenceFunc(func() error {
		s.reserve(cell, 1, 1)
		return nil
	})
	if report, err := redisstock.Open(t.Context(), s.client, cfg); err != nil || report.Renewed != 1 {
		t.Fatalf("%d partitions renewed (%v), want the one without a mark", report.Renewed, err)
	}
	s.reserve(cell, 2, 1)
}

// TestOpenThatCannotWrite cannot write the marks: then the scripts are not loaded either, on which those would sell
// who trust the marks of before.
func TestOpenThatCannotWrite(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	cell := s.load(9, stock.Settings{})
	s.must("SCRIPT", "", "FLUSH")
	s.must("CONFIG", "", "SET", "min-replicas-to-write", "1")
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err == nil {
		t.Fatal("it was opened")
	}
	s.must("CONFIG", "", "SET", "min-replicas-to-write", "0")
	if v := s.do(stock.OpReserve, take(stock.OpReserve, cell, 1, 1)); v.Err == nil {
		t.Errorf("it sells: %v", v.Outcomes)
	}
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Fatal(err)
	}
}

// TestSeenEffectsAreVettedAnew tells Open how many effects its caller has seen, of data with the right nonce.
func TestSeenEffectsAreVettedAnew(t *testing.T) {
	t.Parallel()
	s, cfg, marks := opened(t)
	cfg.Seen = append([]stock.Mark(nil), marks...)
	if again, err := redisstock.Open(t.Context(), s.client, cfg); err != nil || again.Renewed != 0 {
		t.Errorf("%d partitions renewed (%v), want none", again.Renewed, err)
	}
	cfg.Seen[7].Effects = 1
	again, err := redisstock.Open(t.Context(), s.client, cfg)
	if err != nil || again.Renewed != 1 || again.Marks[7].Nonce == marks[7].Nonce || again.Marks[8] != marks[8] {
		t.Errorf("%d partitions renewed (%v), want partition 7", again.Renewed, err)
	}
}
