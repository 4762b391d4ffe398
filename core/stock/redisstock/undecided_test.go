package redisstock_test

import (
	"strings"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

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
