package redisstock_test

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/redis/rueidis"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/lua"
)

// otherVersion is the scripts of a program whose scripts differ from this one's by a comment. The sign is the same.
func otherVersion(t *testing.T, comment string) []lua.Script {
	t.Helper()
	scripts, err := lua.All()
	if err != nil {
		t.Fatal(err)
	}
	for i := range scripts {
		if s := &scripts[i]; s.Name != "open" {
			s.Source += "-- " + comment + "\n"
			sum := sha1.Sum([]byte(s.Source))
			s.SHA1 = hex.EncodeToString(sum[:])
		}
	}
	return scripts
}

// older is a shop whose store calls the scripts of another version, on a Redis that such a program has opened.
func older(t *testing.T, client rueidis.Client, cfg redisstock.OpenConfig) *shop {
	t.Helper()
	scripts := otherVersion(t, "older")
	cfg.SetVersion(scripts)
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	var with redisstock.Config
	with.SetVersion(scripts)
	s := newShop(t, client, with)
	s.Trust(report.Marks)
	return s
}

// fresh is a shop that trusts nothing yet.
func fresh(t *testing.T, client rueidis.Client, cfg redisstock.Config) *shop {
	t.Helper()
	cfg.Partitions, cfg.CallTimeout = stock.PartitionsDefault, 20e9
	store, err := redisstock.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &shop{TB: t, client: client, Store: store}
}

// trySell reserves one unit, and fails the test unless the answer is as wanted: sold, or refused as shut.
func (s *shop) trySell(what string, cell stock.Cell, user int64, sold bool) {
	s.Helper()
	v := s.do(stock.OpReserve, take(stock.OpReserve, cell, user, 1))
	if sold && (v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK) || !sold && !errors.Is(v.Err, stock.ErrShut) {
		s.Errorf("%s: %v %v, want sold to be %v", what, v.Outcomes, v.Err, sold)
	}
}

// TestSignNeverChanges: a version with another sign would take the servers of all others for restarted.
func TestSignNeverChanges(t *testing.T) {
	t.Parallel()
	sign, err := lua.Load("open")
	if err != nil || sign.SHA1 != "2e429fd64963f5db6d2aa20a76ac20ff5717f8b2" {
		t.Errorf("the sign is %s (%v)", sign.SHA1, err)
	}
}

// TestOpenBesideAnotherVersion vets a Redis on which another version sells, with everything that is sold meanwhile:
// nothing is shut, nobody is refused, and both versions sell in the end. A third one adopts what they have opened.
func TestOpenBesideAnotherVersion(t *testing.T) {
	t.Parallel()
	for name, connected := range map[string]func(*testing.T) rueidis.Client{
		"server":  func(t *testing.T) rueidis.Client { t.Helper(); return connect(t, servicetest.Redis(t).Addr) },
		"cluster": func(t *testing.T) rueidis.Client { t.Helper(); return connect(t, servicetest.RedisCluster(t).Addrs...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, cfg := connected(t), openConfig()
			old := older(t, client, cfg)
			var cells []stock.Cell
			for range 2 * stock.PartitionsDefault {
				cells = append(cells, old.load(100, stock.Settings{}))
			}
			user := int64(0)
			sell := func(s *shop, what string) {
				user++
				for _, cell := range cells {
					s.trySell(what, cell, user, true)
				}
			}
			third := redisstock.Config{}
			third.SetVersion(otherVersion(t, "third"))
			adopter := fresh(t, client, third)
			sell(old, "before")
			if err := adopter.Adopt(t.Context(), cfg.Nonces); err != nil {
				t.Fatal(err)
			}
			sell(adopter, "adopted")

			s := fresh(t, client, redisstock.Config{})
			s.Resume(old.Marks())
			if shut, err := s.Shut(t.Context()); err != nil || len(shut) != stock.PartitionsDefault {
				t.Fatalf("partitions %v are shut (%v), want all, as nobody has loaded these scripts", shut, err)
			}
			cfg.Evidence = evidenceFunc(func() error { sell(old, "meanwhile"); return nil })
			report, err := redisstock.Open(t.Context(), client, cfg)
			if err != nil || report.Renewed != 0 {
				t.Fatalf("%d partitions renewed (%v), want that the scripts are loaded only", report.Renewed, err)
			}
			s.Trust(report.Marks)
			sell(s, "opened")
			s.load(1, stock.Settings{})
			sell(old, "afterwards")
		})
	}
}

// TestRestartWithTwoVersions restarts a server that two versions sell from: no script is loaded before one of them has
// vetted it, and the other one goes on by adopting that.
func TestRestartWithTwoVersions(t *testing.T) {
	t.Parallel()
	server, cfg := servicetest.Redis(t), openConfig()
	client := connect(t, server.Addr)
	old := older(t, client, cfg)
	cell := old.load(100, stock.Settings{})
	s := fresh(t, client, redisstock.Config{})
	if err := s.Adopt(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	s.trySell("before", cell, 1, true)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	untilConnected(t, old)
	for _, shop := range []*shop{old, s} {
		if err := shop.Adopt(t.Context(), cfg.Nonces); err != nil {
			t.Fatal(err)
		}
		shop.trySell("restarted", cell, 2, false)
	}
	cfg.Evidence = evidenceFunc(func() error { old.trySell("meanwhile", cell, 2, false); return nil })
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || report.Renewed != stock.PartitionsDefault {
		t.Fatalf("%d partitions renewed (%v), want all", report.Renewed, err)
	}
	s.Trust(report.Marks)
	s.trySell("vetted", cell, 3, true)
	if err := old.Adopt(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	old.trySell("adopted", cell, 4, true)
}

// TestDataSetBackBesideAnotherVersion sets a partition back while another version sells and this one vets it: neither
// sells from it, and the next vetting names what is lost.
func TestDataSetBackBesideAnotherVersion(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	old := older(t, client, cfg)
	cell := old.load(100, stock.Settings{})
	other := old.load(100, stock.Settings{})
	for partition(other) == partition(cell) {
		other = old.load(100, stock.Settings{})
	}
	p := partition(cell)
	before := old.dump(p)
	old.trySell("before", cell, 1, true)
	cfg.Evidence = evidenceFunc(func() error {
		old.setBack(p, before)
		return nil
	})
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := fresh(t, client, redisstock.Config{})
	s.Trust(report.Marks)
	s.trySell("set back", cell, 2, false)
	old.trySell("set back", cell, 2, false)
	s.trySell("not set back", other, 2, true)

	cfg.Evidence = known{cell: {Epoch: 1, Seq: 2}}
	if _, err := redisstock.Open(t.Context(), client, cfg); !errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("vetted again: %v, want a refusal", err)
	}
	s.trySell("vetted again", cell, 2, false)
}

// TestOpenBesideThoseWhoKnowNoSign vets a server from which a program sells that loads no sign, as after a restart. It
// is refused until the data are vetted, and not for ever: its sales would keep the vetting from its end.
func TestOpenBesideThoseWhoKnowNoSign(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	old := older(t, client, cfg)
	cell := old.load(100, stock.Settings{})
	old.must("SCRIPT", "", "FLUSH")
	for _, script := range otherVersion(t, "older") {
		if script.Name != "open" {
			old.must("SCRIPT", "", "LOAD", script.Source)
		}
	}
	var refused []bool
	cfg.Evidence = evidenceFunc(func() error {
		v := old.do(stock.OpReserve, take(stock.OpReserve, cell, int64(1+len(refused)), 1))
		refused = append(refused, errors.Is(v.Err, stock.ErrShut))
		return nil
	})
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || report.Renewed != stock.PartitionsDefault {
		t.Fatalf("%d partitions renewed (%v), want all", report.Renewed, err)
	}
	if want := []bool{false, true}; !slices.Equal(refused, want) {
		t.Errorf("it was refused: %v, want %v", refused, want)
	}
	s := fresh(t, client, redisstock.Config{})
	s.Trust(report.Marks)
	s.trySell("vetted", cell, 100, true)
	if err := old.Adopt(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	old.trySell("adopted", cell, 101, true)
}
