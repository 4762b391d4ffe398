package redisstock_test

import (
	"errors"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

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

// newcomer is a shop of a process that trusts nothing yet.
func newcomer(other *shop) *shop {
	other.Helper()
	store, err := redisstock.New(other.client, redisstock.Config{Partitions: stock.PartitionsDefault, CallTimeout: 20e9})
	if err != nil {
		other.Fatal(err)
	}
	return &shop{TB: other.TB, client: other.client, Store: store}
}

// TestAdopt trusts what MySQL knows to be vetted and nothing else, and creates no cell.
func TestAdopt(t *testing.T) {
	t.Parallel()
	s, cfg, _ := opened(t)
	held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
	newcomer := newcomer(s)
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

// TestAdoptKnowsWhatOthersHaveSeen sets data back that keep the nonce of MySQL. Then a process adopts them that has
// never seen them. An earlier process has told MySQL how many effects there were, so the new one refuses them. A
// vetting by a process that has not seen them either opens them only if they lack nothing.
func TestAdoptKnowsWhatOthersHaveSeen(t *testing.T) {
	t.Parallel()
	s, cfg, first := opened(t)
	held := s.reserve(s.load(5, stock.Settings{}), 1, 1)
	p := partition(held.Cell)
	copied := s.dump(p)
	s.reserve(held.Cell, 2, 1)
	if err := s.KeepMarks(t.Context(), cfg.Nonces); err != nil {
		t.Fatal(err)
	}
	adopt := func() *shop {
		t.Helper()
		newcomer := newcomer(s)
		if err := newcomer.Adopt(t.Context(), cfg.Nonces); err != nil {
			t.Fatal(err)
		}
		return newcomer
	}
	adopt().reserve(held.Cell, 3, 1)
	s.setBack(p, copied)
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
	if _, err := redisstock.Open(t.Context(), s.client, cfg); !errors.Is(err, redisstock.ErrVetting) {
		t.Errorf("error is %v, want a refusal of what has lost a known effect", err)
	}
	cfg.Evidence = known{held.Cell: {Epoch: 1, Seq: 2}}
	again, err := redisstock.Open(t.Context(), s.client, cfg)
	if err != nil || again.Renewed != 1 || again.Marks[p].Nonce == first[p].Nonce {
		t.Fatalf("%d partitions renewed (%v), want the one that was set back", again.Renewed, err)
	}
	adopt().reserve(held.Cell, 4, 1)
}
