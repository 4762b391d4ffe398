package stocktest

import (
	"context"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/core/stock"
)

// gatherSome gathers baskets of few cells, users and keys, so that they repeat, share lines, and are refused. Half of
// them have a line in another partition that is never gathered.
func (s *simulation) gatherSome(rt *rapid.T) {
	var requests []stock.Request
	for range rapid.IntRange(1, 3).Draw(rt, "baskets") {
		var b *stock.Basket
		if len(s.baskets) > 0 && rapid.IntRange(0, 2).Draw(rt, "again") == 2 {
			again := *rapid.SampledFrom(s.baskets).Draw(rt, "basket")
			b = &again
		} else {
			b = s.drawBasket(rt)
		}
		part := partOf(b, 0, false)
		for i := range part {
			part[i].Fence = s.fence(rt, part[i].Cell)
		}
		requests = append(requests, part...)
		s.baskets = append(s.baskets, b)
	}
	for _, o := range s.run(stock.OpGather, requests...) {
		if o.Verdict == stock.VerdictOK {
			s.granted = append(s.granted, o.Reservation)
		}
	}
	s.asked = append(s.asked, requests...)
}

func (s *simulation) drawBasket(rt *rapid.T) *stock.Basket {
	user := rapid.Int64Range(1, 3).Draw(rt, "user")
	key := rapid.StringMatching("[a-e]").Draw(rt, "key")
	var items []stock.Line
	for range rapid.IntRange(1, 4).Draw(rt, "lines") {
		cell := rapid.SampledFrom(s.cells).Draw(rt, "cell")
		items = append(items, item(cell, rapid.Int64Range(1, 2).Draw(rt, "quantity")))
	}
	if rapid.Bool().Draw(rt, "over partitions") {
		items = append(items, item(s.away, 1))
	}
	return s.basket(user, key, items...)
}

// decideSome decides baskets, whether they are begun or not.
func (s *simulation) decideSome(rt *rapid.T) {
	if len(s.baskets) == 0 {
		rt.Skip("nothing to decide")
	}
	var requests []stock.Request
	for range rapid.IntRange(1, 3).Draw(rt, "baskets") {
		b := rapid.SampledFrom(s.baskets).Draw(rt, "basket")
		why := rapid.SampledFrom([]stock.Verdict{stock.VerdictOK, stock.VerdictSoldOut, stock.VerdictLimitReached}).Draw(rt, "why")
		r := decision(b, why, rapid.Uint8Range(0, 3).Draw(rt, "line"))
		r.Part.Intact = rapid.Bool().Draw(rt, "intact")
		requests = append(requests, r)
	}
	s.run(stock.OpDecide, requests...)
}

// voidSome gives the lines of baskets back, whether they are being refused or not.
func (s *simulation) voidSome(rt *rapid.T) {
	if len(s.baskets) == 0 {
		rt.Skip("nothing to give back")
	}
	var requests []stock.Request
	for range rapid.IntRange(1, 3).Draw(rt, "baskets") {
		requests = append(requests, partOf(rapid.SampledFrom(s.baskets).Draw(rt, "basket"), 0, false)...)
	}
	s.run(stock.OpVoid, requests...)
}

// ageBasket has a begun basket be older than the last vetting.
func (s *simulation) ageBasket(rt *rapid.T) {
	if len(s.baskets) == 0 {
		rt.Skip("no baskets")
	}
	id := rapid.SampledFrom(s.baskets).Draw(rt, "basket").ID()
	records, err := s.model.Baskets(context.Background(), []stock.ReservationID{id})
	if err != nil || records[0].State != stock.BasketBegun {
		rt.Skip("not begun")
	}
	s.AgeBasket(s.test, id)
	s.model.AgeBasket(id)
}

// compareBaskets compares the records of all baskets, and which of them are undecided.
func (s *simulation) compareBaskets() {
	if len(s.baskets) == 0 {
		return
	}
	var ids []stock.ReservationID
	for _, b := range s.baskets {
		ids = append(ids, b.ID())
	}
	var records [2][]stock.BasketRecord
	var undecided [2]map[stock.ReservationID]stock.Undecided
	for i, store := range []stock.Store{s.model, s.store} {
		var err error
		if records[i], err = store.Baskets(context.Background(), ids); err != nil {
			s.Fatal(err)
		}
		all, err := store.Undecided(context.Background(), ids[0].Partition(), 0, 0, 1_000_000)
		if err != nil {
			s.Fatal(err)
		}
		undecided[i] = map[stock.ReservationID]stock.Undecided{}
		for _, u := range all {
			for _, id := range ids {
				if u.ID() == id {
					undecided[i][id] = u
				}
			}
		}
	}
	if d := diff(records[0], records[1]); d != "" {
		s.Fatalf("baskets differ (-model +store):\n%s", d)
	}
	if d := cmp.Diff(undecided[0], undecided[1]); d != "" {
		s.Fatalf("undecided baskets differ (-model +store):\n%s", d)
	}
}
