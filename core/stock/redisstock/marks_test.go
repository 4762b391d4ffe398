package redisstock_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
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

// TestLostDataAreShut loses, exchanges and damages the data of an open server without a restart: the server executes no
// call of a process that trusted the earlier data.
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

// TestDataSetBackAreShut sets the data of an open server back to what they were a moment ago, as a restored copy does:
// the nonce is right. A caller that has seen a missing effect stops all callers, even those that have not.
func TestDataSetBackAreShut(t *testing.T) {
	t.Parallel()
	for _, finder := range []string{"reserve", "deduct", "confirm", "release", "adjust", "expire", "forget"} {
		t.Run(finder, func(t *testing.T) {
			t.Parallel()
			s, cfg, marks := opened(t)
			held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
			p := partition(held.Cell)
			copied := s.dump(p)
			newcomer := restarted(s, redisstock.Config{CallTimeout: 20e9}) // has seen what the copy has
			s.reserve(held.Cell, 3, 1)

			s.setBack(p, copied)
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
			if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, redisstock.ErrVetting) {
				t.Errorf("error is %v, want a refusal of what has lost a known effect", err)
			}
			cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 2}}
			again, err := redisstock.Open(t.Context(), s.client, cfg)
			if err != nil || again.Renewed != 1 || again.Marks[p].Nonce == marks[p].Nonce {
				t.Fatalf("%d partitions renewed (%v), want the one that was set back", again.Renewed, err)
			}
			if err := newcomer.Adopt(t.Context(), cfg.Nonces); err != nil {
				t.Fatal(err)
			}
			newcomer.reserve(held.Cell, 4, 1)
		})
	}
}

// TestEffectsAreCounted checks that a mark grows by the effects of each call, not by its requests, and that the caller
// knows the new mark after the answer.
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
