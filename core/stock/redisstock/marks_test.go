package redisstock_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

// calls are all ways to call a partition, by what they do.
func (s *shop) calls(held stock.Reservation) map[string]func() error {
	cell := held.Cell
	return map[string]func() error{
		"reserve": func() error { return s.do(stock.OpReserve, take(stock.OpReserve, cell, 2, 1)).Err },
		"deduct":  func() error { return s.do(stock.OpDeduct, take(stock.OpDeduct, cell, 2, 1)).Err },
		"confirm": func() error { return s.do(stock.OpConfirm, stock.Request{ID: held.ID}).Err },
		"release": func() error { return s.do(stock.OpRelease, stock.Request{ID: held.ID, Cell: cell}).Err },
		"adjust": func() error {
			return s.do(stock.OpAdjust, adjustment(cell, "more", stock.Adjustment{Delta: 1})).Err
		},
		"create": func() error { return s.do(stock.OpAdjust, creation(cell, 10, stock.Settings{})).Err },
		"cells":  func() error { _, _, err := s.Cells(s.Context(), []stock.Cell{cell}); return err },
		"reservations": func() error {
			_, _, err := s.Reservations(s.Context(), []stock.ReservationID{held.ID})
			return err
		},
		"shut cells": func() error { _, _, err := s.ShutCells(s.Context(), partition(cell), 0); return err },
		"due":        func() error { _, err := s.Expire(s.Context(), partition(cell), 1); return err },
		"expire":     func() error { _, err := s.ExpireMembers(s.Context(), partition(cell), member(held)); return err },
		"forget":     func() error { _, err := s.Forget(s.Context(), partition(cell), 1); return err },
	}
}

// mark is the mark that Redis has of a partition.
func (s *shop) mark(partition int) string {
	s.Helper()
	mark, err := s.run("GET", redisstock.MarkKey(partition)).ToString()
	if err != nil {
		s.Fatal(err)
	}
	return mark
}

// member is a member of due with one reservation.
func member(r stock.Reservation) string { return "\x00\x00\x00\x00" + string(r.ID[:]) }

// TestLostDataAreShut loses, exchanges and damages the data of an open server without a restart: nothing is
// executed on what is there then, by whoever trusted the data of before.
func TestLostDataAreShut(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *shop, partition int){
		"flushdb":  func(s *shop, _ int) { s.must("FLUSHDB", "") },
		"flushall": func(s *shop, _ int) { s.must("FLUSHALL", "") },
		"swapdb":   func(s *shop, _ int) { s.must("SWAPDB", "", "0", "1") },
		"mark deleted": func(s *shop, p int) {
			s.must("DEL", redisstock.MarkKey(p))
		},
		"mark damaged":   func(s *shop, p int) { s.must("SET", redisstock.MarkKey(p), "none") },
		"mark too long":  func(s *shop, p int) { s.must("APPEND", redisstock.MarkKey(p), "\x00") },
		"mark too short": func(s *shop, p int) { s.must("SET", redisstock.MarkKey(p), s.mark(p)[:13]) },
		"another nonce": func(s *shop, p int) {
			const nonceEnd = 8
			mark := []byte(s.mark(p))
			mark[nonceEnd-1] ^= 1
			s.must("SET", redisstock.MarkKey(p), string(mark))
		},
		"mark of a nonce 0": func(s *shop, p int) { s.must("SET", redisstock.MarkKey(p), strings.Repeat("\x00", 14)) },
		"another server's data": func(s *shop, p int) {
			other := servicetest.Redis(t)
			from := newShop(t, connect(t, other.Addr), redisstock.Config{})
			from.open()
			host, port, err := net.SplitHostPort(other.Addr)
			if err != nil {
				t.Fatal(err)
			}
			want, _ := from.run("GET", redisstock.MarkKey(p)).ToString()
			s.must("REPLICAOF", "", host, port)
			for got := ""; got != want; {
				got, _ = s.run("GET", redisstock.MarkKey(p)).ToString()
			}
			s.must("REPLICAOF", "", "NO", "ONE")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, onServer(t), redisstock.Config{})
			held := s.reserve(s.load(5, stock.Settings{Limit: 5}), 1, 1)
			p := partition(held.Cell)
			lose(s, p)
			before := s.dump(p)
			if shut, err := s.Shut(t.Context()); err != nil || len(shut) == 0 {
				t.Errorf("shut is %v (%v), want true", shut, err)
			}
			for what, call := range s.calls(held) {
				if err := call(); !errors.Is(err, stock.ErrShut) {
					t.Errorf("%s: error is %v, want shut", what, err)
				}
			}
			if diff := cmp.Diff(before, s.dump(p)); diff != "" {
				t.Errorf("something was changed (-before +after):\n%s", diff)
			}
		})
	}
}

// TestDataSetBackAreShut sets the data of an open server back to what they were a moment ago, as a restored
// copy does: the nonce is right. Whoever has seen an effect that is missing stops all, also those who have not.
func TestDataSetBackAreShut(t *testing.T) {
	t.Parallel()
	for _, finder := range []string{"reserve", "deduct", "confirm", "release", "adjust", "expire", "forget"} {
		t.Run(finder, func(t *testing.T) {
			t.Parallel()
			nonces := &redistest.Nonces{}
			cfg := openConfig()
			cfg.Nonces = nonces
			client := connect(t, servicetest.Redis(t).Addr)
			report, err := redisstock.Open(t.Context(), client, cfg)
			if err != nil {
				t.Fatal(err)
			}
			s := newShop(t, client, redisstock.Config{})
			held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
			p := partition(held.Cell)
			copied := s.dump(p)
			newcomer := restarted(s, redisstock.Config{CallTimeout: 20e9}) // has seen what the copy has
			s.reserve(held.Cell, 3, 1)

			for key := range s.dump(p) {
				s.must("DEL", key)
			}
			for key, value := range copied {
				s.must("RESTORE", key, "0", value, "REPLACE")
			}
			if err := newcomer.calls(held)["cells"](); err != nil {
				t.Errorf("a newcomer cannot know: %v", err)
			}
			if shut, err := s.Shut(t.Context()); err != nil || len(shut) == 0 {
				t.Errorf("shut is %v (%v), want true", shut, err)
			}
			if err := s.calls(held)[finder](); !errors.Is(err, stock.ErrShut) {
				t.Errorf("%s: error is %v, want shut", finder, err)
			}
			delete(copied, redisstock.MarkKey(p))
			if diff := cmp.Diff(copied, s.dump(p)); diff != "" {
				t.Errorf("more than the mark has changed (-before +after):\n%s", diff)
			}
			for what, call := range newcomer.calls(held) {
				if err := call(); !errors.Is(err, stock.ErrShut) {
					t.Errorf("newcomer, %s: error is %v, want shut", what, err)
				}
			}

			cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 3}}
			if _, err := redisstock.Open(t.Context(), client, cfg); !errors.Is(err, redisstock.ErrVetting) {
				t.Errorf("error is %v, want a refusal of what has lost a known effect", err)
			}
			cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 2}}
			again, err := redisstock.Open(t.Context(), client, cfg)
			if err != nil || again.Renewed != 1 || again.Marks[p].Nonce == report.Marks[p].Nonce {
				t.Fatalf("%d partitions renewed (%v), want the one that was set back", again.Renewed, err)
			}
			if err := newcomer.Adopt(t.Context(), nonces); err != nil {
				t.Fatal(err)
			}
			newcomer.reserve(held.Cell, 4, 1)
		})
	}
}

// TestEffectsAreCounted holds that a mark has grown by the effects of each call, not by its requests, and that
// the caller knows it after the answer.
func TestEffectsAreCounted(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(3, stock.Settings{})
	p, effects := partition(cell), uint64(1)
	want := func(what string, more uint64) {
		t.Helper()
		effects += more
		if trusted := s.Marks()[p]; trusted.Effects != effects || s.mark(p)[8:] != "\x00\x00\x00\x00\x00"+string(rune(effects)) {
			t.Errorf("after %s %d effects are known, and the mark is %x, want %d", what, trusted.Effects, s.mark(p), effects)
		}
	}
	want("create", 0)
	requests := []stock.Request{
		take(stock.OpReserve, cell, 1, 1), take(stock.OpReserve, cell, 2, 1), take(stock.OpReserve, cell, 3, 1),
		take(stock.OpReserve, cell, 3, 1), take(stock.OpReserve, cell, 4, 1),
	}
	s.do(stock.OpReserve, requests...)
	want("reserve", 3)
	s.do(stock.OpConfirm, requests[0], requests[0])
	want("confirm", 1)
	s.do(stock.OpRelease, requests[0], requests[1])
	want("release", 1)
	overdue(s, s.one(stock.OpReserve, requests[2]).Reservation)
	if _, err := s.Expire(t.Context(), p, 10); err != nil {
		t.Fatal(err)
	}
	want("expire", 1)
	s.do(stock.OpAdjust, adjustment(cell, "more", stock.Adjustment{Delta: 1}), adjustment(cell, "less", stock.Adjustment{Delta: -9}))
	want("adjust", 1)
	if _, err := s.Forget(t.Context(), p, 10); err != nil {
		t.Fatal(err)
	}
	want("forget", 0)
}

// TestSeenEffectsAreVettedAnew lets Open know what its caller has seen, of data with the right nonce.
func TestSeenEffectsAreVettedAnew(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	client := connect(t, servicetest.Redis(t).Addr)
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Seen = append([]redisstock.PartitionMark(nil), report.Marks...)
	if again, err := redisstock.Open(t.Context(), client, cfg); err != nil || again.Renewed != 0 {
		t.Errorf("%d partitions renewed (%v), want none", again.Renewed, err)
	}
	cfg.Seen[7].Effects = 1
	again, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || again.Renewed != 1 || again.Marks[7].Nonce == report.Marks[7].Nonce || again.Marks[8] != report.Marks[8] {
		t.Errorf("%d partitions renewed (%v), want partition 7", again.Renewed, err)
	}
}

// TestEmptyServerOfAKnownDeployment refuses to take lost data for a new deployment, though MySQL and Kafka know
// of no cell.
func TestEmptyServerOfAKnownDeployment(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	if _, err := redisstock.Open(t.Context(), s.client, cfg); err != nil {
		t.Fatal(err)
	}
	s.must("FLUSHALL", "")
	wantShut(t, s, cfg, "was opened before: its data are lost")
}

// TestOpenShutsWhatHasLostEffects vets servers that sell: partitions that are behind of the evidence stop, and
// no others.
func TestOpenShutsWhatHasLostEffects(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	if _, err := redisstock.Open(t.Context(), client, cfg); err != nil {
		t.Fatal(err)
	}
	s := newShop(t, client, redisstock.Config{})
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
	fresh := newShop(t, client, redisstock.Config{}) // a new process trusts what sells
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

// TestOpenRefusesForks vets cells that have come as far as is known, and of which one has lost an event on the way: it
// stays shut, and stops where it sells, until somebody has dealt with the fork.
func TestOpenRefusesForks(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	if _, err := redisstock.Open(t.Context(), client, cfg); err != nil {
		t.Fatal(err)
	}
	s := newShop(t, client, redisstock.Config{})
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
		report, err = redisstock.Open(t.Context(), client, cfg)
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
	if _, causes, err := redisstock.Inspect(t.Context(), client, cfg); err != nil || len(causes) != 1 || !strings.Contains(causes[0], "two events") {
		t.Errorf("causes are %q (%v), want the fork", causes, err)
	}
	evidence.forks = nil
	report, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || report.Renewed != 1 {
		t.Fatalf("dealt with: %+v, %v", report, err)
	}
	s.Trust(report.Marks)
	s.reserve(split, 2, 1)
}

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
			cfg.Nonces = losing{func() { s.must(lose[0], "", lose[1:]...) }}
			cfg.Evidence = known{cell: {Epoch: 1, Seq: 1}}
			if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, redisstock.ErrVetting) {
				t.Errorf("error is %v, want that the next try finds the loss", err)
			}
			wantNothingSold(t, s)
		})
	}
}

// losing are nonces in whose replacement something happens to Redis.
type losing struct{ lose func() }

func (losing) Read(_ context.Context, partitions int) ([]stock.Vetting, error) {
	return make([]stock.Vetting, partitions), nil
}

func (losing) Identity(context.Context) (string, error) { return "", nil }

func (losing) Saw(context.Context, []stock.Vetting) error { return nil }

func (l losing) Replace(ctx context.Context, _ []stock.NonceChange, during func(context.Context) error) error {
	l.lose()
	return during(ctx)
}

// TestLooksRemember: who only looks notices that data were set back behind what it saw.
func TestLooksRemember(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(5, stock.Settings{})
	p := partition(cell)
	idle := restarted(s, redisstock.Config{CallTimeout: 20e9})
	before, err := s.run("GET", redisstock.MarkKey(p)).ToString()
	if err != nil {
		t.Fatal(err)
	}
	s.reserve(cell, 1, 1)
	if shut, err := idle.Shut(t.Context()); err != nil || len(shut) > 0 {
		t.Fatalf("partitions %v are shut (%v), want none", shut, err)
	}
	s.must("SET", redisstock.MarkKey(p), before)
	if err := idle.do(stock.OpReserve, take(stock.OpReserve, cell, 2, 1)).Err; !errors.Is(err, stock.ErrShut) {
		t.Errorf("behind what was seen by looking: %v, want shut", err)
	}
}

// TestOnlyAVettingCreatesCells: data that were set back before a process began may lack a cell. Only who has
// compared them knows.
func TestOnlyAVettingCreatesCells(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.load(5, stock.Settings{})
	next := restarted(s, redisstock.Config{CallTimeout: 20e9})
	if err := next.do(stock.OpAdjust, creation(newCell(), 1, stock.Settings{})).Err; !errors.Is(err, stock.ErrShut) {
		t.Errorf("creating a cell without a vetting: %v, want shut", err)
	}
	if got := next.one(stock.OpAdjust, adjustment(cell, "more", stock.Adjustment{Delta: 1})).Verdict; got != stock.VerdictOK {
		t.Errorf("changing one: %v, want ok", got)
	}
	next.Trust(s.Marks())
	next.load(1, stock.Settings{})
}

// TestAdopt trusts what MySQL knows to be vetted and nothing else, and creates no cell.
func TestAdopt(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	if _, err := redisstock.Open(t.Context(), client, cfg); err != nil {
		t.Fatal(err)
	}
	s := newShop(t, client, redisstock.Config{})
	held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
	store, err := redisstock.New(client, redisstock.Config{Partitions: stock.PartitionsDefault, CallTimeout: 20e9})
	if err != nil {
		t.Fatal(err)
	}
	newcomer := &shop{TB: t, client: client, Store: store}
	if err := newcomer.Adopt(t.Context(), &redistest.Nonces{}); err != nil || newcomer.Trusts() {
		t.Errorf("trusts what another MySQL knows nothing of (%v)", err)
	}
	if err := newcomer.Adopt(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	newcomer.reserve(held.Cell, 2, 1)
	if err := newcomer.calls(held)["create"](); !errors.Is(err, stock.ErrShut) {
		t.Errorf("creating a cell: %v, want shut", err)
	}
}

// TestAdoptKnowsWhatOthersHaveSeen has a process that has never seen the data adopt them after they were set back,
// with the nonce that MySQL has. What one that is gone has told of their effects speaks against them, and a vetting,
// which has not seen them either, opens them anew only if they lack nothing.
func TestAdoptKnowsWhatOthersHaveSeen(t *testing.T) {
	t.Parallel()
	client, cfg := connect(t, servicetest.Redis(t).Addr), openConfig()
	first, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := newShop(t, client, redisstock.Config{})
	held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
	p := partition(held.Cell)
	copied := s.dump(p)
	s.reserve(held.Cell, 2, 1)
	if err := s.KeepMarks(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	adopt := func() *shop {
		t.Helper()
		newcomer := restarted(s, redisstock.Config{CallTimeout: 20e9})
		newcomer.Store, err = redisstock.New(client, redisstock.Config{Partitions: stock.PartitionsDefault, CallTimeout: 20e9})
		if err == nil {
			err = newcomer.Adopt(t.Context(), cfg.Nonces)
		}
		if err != nil {
			t.Fatal(err)
		}
		return newcomer
	}
	adopt().reserve(held.Cell, 3, 1)
	for key := range s.dump(p) {
		s.must("DEL", key)
	}
	for key, value := range copied {
		s.must("RESTORE", key, "0", value, "REPLACE")
	}
	newcomer := adopt()
	for what, call := range newcomer.calls(held) {
		if err := call(); !errors.Is(err, stock.ErrShut) {
			t.Errorf("%s: error is %v, want shut", what, err)
		}
	}
	if shut, err := newcomer.Shut(t.Context()); err != nil || len(shut) != 1 || shut[0] != p {
		t.Errorf("shut is %v (%v), want partition %d", shut, err, p)
	}
	cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 4}}
	if _, err := redisstock.Open(t.Context(), client, cfg); !errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("error is %v, want a refusal of what has lost a known effect", err)
	}
	cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 2}}
	again, err := redisstock.Open(t.Context(), client, cfg)
	if err != nil || again.Renewed != 1 || again.Marks[p].Nonce == first.Marks[p].Nonce {
		t.Fatalf("%d partitions renewed (%v), want the one that was set back", again.Renewed, err)
	}
	adopt().reserve(held.Cell, 4, 1)
}

// TestProcessesOpenAtOnce opens one server from many processes: one nonce is left, which all have.
func TestProcessesOpenAtOnce(t *testing.T) {
	t.Parallel()
	client := connect(t, servicetest.Redis(t).Addr)
	nonces := &redistest.Nonces{}
	const processes = 8
	reports := make(chan []redisstock.PartitionMark, processes)
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
	cfg.Nonces = brokenNonces{}
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

// brokenNonces lose every change at its end.
type brokenNonces struct{}

func (brokenNonces) Read(_ context.Context, partitions int) ([]stock.Vetting, error) {
	return make([]stock.Vetting, partitions), nil
}

func (brokenNonces) Identity(context.Context) (string, error) { return "", nil }

func (brokenNonces) Saw(context.Context, []stock.Vetting) error { return nil }

func (brokenNonces) Replace(ctx context.Context, _ []stock.NonceChange, during func(context.Context) error) error {
	if err := during(ctx); err != nil {
		return err
	}
	return fmt.Errorf("commit: mysql is away")
}
