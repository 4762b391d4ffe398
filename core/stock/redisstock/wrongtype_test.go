package redisstock_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestForeignKeyStopsScriptsBeforeTheyWrite plants a key of another type in each place that a script
// writes to. Redis does not roll back, so the script must fail before its first write.
func TestForeignKeyStopsScriptsBeforeTheyWrite(t *testing.T) {
	t.Parallel()
	client := onServer(t)

	keys := map[string]func(partition int) string{
		"cells": redisstock.CellsKey, "res": redisstock.ResKey, "due": redisstock.DueKey,
		"gone": redisstock.GoneKey, "outbox": redisstock.OutboxKey,
		"buyers": func(p int) string { return redisstock.BuyersKey(p, 0) }, "baskets": redisstock.BasketsKey, "undecided": redisstock.UndecidedKey,
	}
	calls := map[string]struct {
		keys []string
		call func(s *shop, held stock.Reservation) error
	}{
		"reserve": {[]string{"cells", "res", "due", "outbox", "buyers"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpReserve, take(stock.OpReserve, held.Cell, 7, 1)).Err
		}},
		"deduct": {[]string{"cells", "res", "gone", "outbox", "buyers"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpDeduct, take(stock.OpDeduct, held.Cell, 7, 1)).Err
		}},
		"confirm": {[]string{"cells", "res", "gone", "outbox"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpConfirm, stock.Request{ID: held.ID}).Err
		}},
		"release": {[]string{"cells", "res", "gone", "outbox", "buyers"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpRelease, stock.Request{ID: held.ID, Cell: held.Cell}).Err
		}},
		"extend": {[]string{"cells", "res", "due", "outbox"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpExtend, stock.Request{ID: held.ID, DeadlineMS: held.DeadlineMS + 1}).Err
		}},
		"return": {[]string{"cells", "res", "gone", "outbox", "buyers"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpReturn, comesBack(held.Cell, 1, 1)).Err
		}},
		"adjust": {[]string{"cells", "res", "gone", "outbox"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpAdjust, adjustment(held.Cell, "more", stock.Adjustment{Delta: 1})).Err
		}},
		"expire": {[]string{"cells", "res", "gone", "outbox", "buyers"}, func(s *shop, held stock.Reservation) error {
			_, err := s.Expire(s.Context(), partition(held.Cell), 10)
			return err
		}},
		"expire members": {[]string{"due"}, func(s *shop, held stock.Reservation) error {
			_, err := s.ExpireMembers(s.Context(), partition(held.Cell), member(held))
			return err
		}},
		"gather": {[]string{"cells", "res", "due", "outbox", "buyers", "baskets", "undecided"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpGather, basketOf(held.Cell, 7, 1)).Err
		}},
		"void": {[]string{"cells", "res", "gone", "outbox", "buyers", "baskets", "undecided"}, func(s *shop, held stock.Reservation) error {
			return s.do(stock.OpVoid, s.refusing).Err
		}},
		"decide": {[]string{"baskets", "undecided"}, func(s *shop, _ stock.Reservation) error {
			return s.do(stock.OpDecide, s.refusing).Err
		}},
		"forget": {[]string{"res", "baskets"}, func(s *shop, held stock.Reservation) error {
			_, err := s.Forget(s.Context(), partition(held.Cell), 10)
			return err
		}},
	}
	for name, c := range calls {
		for _, planted := range c.keys {
			t.Run(name+" "+planted, func(t *testing.T) {
				s := newShop(t, client, redisstock.Config{Retention: 1e6})
				cell := s.load(10, stock.Settings{Limit: 5, ExtendMax: time.Hour})
				s.one(stock.OpDeduct, take(stock.OpDeduct, cell, 1, 1))
				held := s.reserve(cell, 1, 2)
				s.refuse(cell)
				if strings.HasPrefix(name, "expire") { // as if its deadline had passed
					overdue(s, held)
				}
				key := keys[planted](partition(cell))
				s.must("SET", key, "of another type")
				defer s.must("DEL", key)

				before := s.dump(partition(cell))
				err := c.call(s, held)
				if !errors.Is(err, stock.ErrProtocol) {
					t.Errorf("error is %v, want a protocol error", err)
				}
				if diff := cmp.Diff(before, s.dump(partition(cell))); diff != "" {
					t.Errorf("it wrote before it failed (-before +after):\n%s", diff)
				}
			})
		}
	}
}

// overdue moves the deadline of a reservation into the past.
func overdue(s *shop, r stock.Reservation) {
	s.Helper()
	key, field := redisstock.ResKey(partition(r.Cell)), string(r.ID[:])
	record, err := s.run("HGET", key, field).ToString()
	if err != nil {
		s.Fatal(err)
	}
	const deadlineAt, deadlineEnd = 8, 14
	s.must("HSET", key, field, record[:deadlineAt]+string(make([]byte, deadlineEnd-deadlineAt-1))+"\x01"+record[deadlineEnd:])
	due := redisstock.DueKey(partition(r.Cell))
	members, err := s.run("ZRANGE", due, "0", "-1").AsStrSlice()
	if err != nil {
		s.Fatal(err)
	}
	for _, member := range members {
		s.must("ZADD", due, "1", member)
	}
}

// refuse begins a basket that is being refused, and holds a unit.
func (s *shop) refuse(cell stock.Cell) {
	s.Helper()
	s.refusing = basketOf(cell, 1, 1)
	away := *s.refusing.Part.Home
	away.Lines = append(away.Lines[:1:1], stock.Line{ID: away.Lines[0].ID, Cell: newCell(), Quantity: 1})
	s.refusing.Part = &stock.Part{Home: &away, To: stock.BasketRefusing, Refusal: stock.VerdictSoldOut}
	if got := s.one(stock.OpGather, s.refusing); got.Verdict != stock.VerdictOK || got.Basket.State != stock.BasketBegun {
		s.Fatalf("basket %+v", got)
	}
	s.one(stock.OpDecide, s.refusing)
}
