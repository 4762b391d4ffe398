package redisstock_test

import (
	"strings"
	"testing"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestBasketBegunBeforeAVetting has a server lose its scripts, as a restart does, and opens it again. A basket that was begun before
// may have been held, and Redis may have lost that; a later one is intact. What was gathered before the vetting decides nothing.
func TestBasketBegunBeforeAVetting(t *testing.T) {
	t.Parallel()
	s := newShop(t, connect(t, servicetest.Redis(t).Addr), redisstock.Config{})
	s.open()
	home, away := s.load(2, stock.Settings{}), s.load(2, stock.Settings{})
	for partition(away) == partition(home) {
		away = s.load(2, stock.Settings{})
	}
	gather := func(key string) (*stock.Basket, stock.BasketRecord) {
		b, err := stock.NewBasket(7, key, []stock.Line{{Cell: home, Quantity: 1}, {Cell: away, Quantity: 1}}, stock.PartitionsDefault)
		if err != nil {
			t.Fatal(err)
		}
		l := b.Lines[0]
		return &b, s.one(stock.OpGather, stock.Request{
			ID: l.ID, Cell: l.Cell, User: b.User, Quantity: l.Quantity, Fingerprint: b.Fingerprint, Part: &stock.Part{Home: &b},
		}).Basket
	}
	if _, record := gather("before"); record.State != stock.BasketBegun || !record.Intact {
		t.Fatalf("before the vetting %+v", record)
	}
	s.must("SCRIPT", "", "FLUSH")
	s.open()
	b, record := gather("before")
	if stored, err := s.Baskets(t.Context(), []stock.ReservationID{b.ID()}); err != nil || stored[0] != record || record.State != stock.BasketBegun || record.Intact {
		t.Errorf("after the vetting %+v, stored as %+v, error %v", record, stored, err)
	}
	decide := stock.Request{ID: b.ID(), Part: &stock.Part{Home: b, To: stock.BasketHeld, Intact: true}}
	if o := s.one(stock.OpDecide, decide); o.Verdict != stock.VerdictWrongState || o.Basket != record {
		t.Errorf("decided by what was gathered before: %+v", o)
	}
	if _, record := gather("after"); record.State != stock.BasketBegun || !record.Intact {
		t.Errorf("begun after the vetting %+v", record)
	}
}

// TestUndecidedEntryThatCannotBeRead plants an entry in front of a basket: the basket is found, and the error names the
// entry and its key.
func TestUndecidedEntryThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	home := s.load(1, stock.Settings{})
	away := s.load(1, stock.Settings{})
	for partition(away) == partition(home) {
		away = s.load(1, stock.Settings{})
	}
	b, err := stock.NewBasket(7, "key", []stock.Line{{Cell: home, Quantity: 1}, {Cell: away, Quantity: 1}}, stock.PartitionsDefault)
	if err != nil {
		t.Fatal(err)
	}
	l, p := b.Lines[0], b.ID().Partition()
	s.one(stock.OpGather, stock.Request{
		ID: l.ID, Cell: l.Cell, User: b.User, Quantity: l.Quantity, Fingerprint: b.Fingerprint, Part: &stock.Part{Home: &b},
	})
	s.must("ZADD", redisstock.UndecidedKey(p), "1", "garbage")
	found, err := s.Undecided(t.Context(), p, 0, 0, 10)
	if err != nil || len(found) != 2 || found[1].Err != nil || found[1].ID() != b.ID() {
		t.Fatalf("found %+v, error %v", found, err)
	}
	if err := found[0].Err; err == nil || !strings.Contains(err.Error(), "garbage") || !strings.Contains(err.Error(), redisstock.UndecidedKey(p)) {
		t.Errorf("the entry has the error %v", err)
	}
}
