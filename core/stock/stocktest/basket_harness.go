package stocktest

import (
	"context"
	"slices"

	"sluice/core/stock"
)

// basket is a basket of items, which need no ids.
func (h *harness) basket(user int64, key string, items ...stock.Line) *stock.Basket {
	h.Helper()
	b, err := stock.NewBasket(user, key, items, h.store.Partitions())
	if err != nil {
		h.Fatal(err)
	}
	return &b
}

func item(cell stock.Cell, quantity int64) stock.Line {
	return stock.Line{Cell: cell, Quantity: quantity}
}

// partOf are the requests about the lines of a basket in its n-th partition, its home first.
func partOf(b *stock.Basket, n int, held bool) []stock.Request {
	part := &stock.Part{Held: held}
	if n == 0 {
		part.Home = b
	}
	var requests []stock.Request
	for _, l := range b.Parts()[n] {
		requests = append(requests, stock.Request{
			ID: l.ID, Cell: l.Cell, User: b.User, Quantity: l.Quantity, Fingerprint: b.Fingerprint, Part: part,
		})
	}
	return requests
}

// basketOf loads five units into each of the first two cells, and returns a basket of one of each.
func (h *harness) basketOf(cells []stock.Cell) *stock.Basket {
	h.Helper()
	lines := make([]stock.Line, 2)
	for i := range lines {
		h.loadCell(cells[i], 5, stock.Settings{})
		lines[i] = item(cells[i], 1)
	}
	return h.basket(1, "a", lines...)
}

func (h *harness) gather(b *stock.Basket, n int) *stock.Vector {
	h.Helper()
	return h.do(stock.OpGather, partOf(b, n, false)...)
}

func (h *harness) void(b *stock.Basket, n int) *stock.Vector {
	h.Helper()
	return h.do(stock.OpVoid, partOf(b, n, false)...)
}

// decision is the request that decides a basket, whether it is intact or not. OK stands for held.
func decision(b *stock.Basket, why stock.Verdict, line uint8) stock.Request {
	part := &stock.Part{Home: b, To: stock.BasketHeld}
	if why != stock.VerdictOK {
		part.To, part.Refusal, part.Line = stock.BasketRefusing, why, line
	}
	return stock.Request{ID: b.ID(), Part: part}
}

func (h *harness) decide(b *stock.Basket, why stock.Verdict, line uint8) stock.Outcome {
	h.Helper()
	return h.one(stock.OpDecide, decision(b, why, line))
}

// wantBasket checks the record of a basket, as it is told and as it is stored, and whether somebody still has to decide it. If it is
// begun, nobody has decided it.
func (h *harness) wantBasket(told stock.BasketRecord, b *stock.Basket, state stock.BasketState, why stock.Verdict, line uint8) {
	h.Helper()
	h.wantBasketRecord(told, b, stock.BasketRecord{
		State: state, Refusal: why, Line: line, Fingerprint: b.Fingerprint, Intact: state == stock.BasketBegun,
	})
}

// wantOldBasket checks the record of a begun basket that may have been held before.
func (h *harness) wantOldBasket(told stock.BasketRecord, b *stock.Basket) {
	h.Helper()
	h.wantBasketRecord(told, b, stock.BasketRecord{State: stock.BasketBegun, Fingerprint: b.Fingerprint})
}

func (h *harness) wantBasketRecord(told stock.BasketRecord, b *stock.Basket, want stock.BasketRecord) {
	h.Helper()
	state := want.State
	if state == stock.BasketNone {
		want = stock.BasketRecord{}
	}
	stored, err := h.store.Baskets(context.Background(), []stock.ReservationID{b.ID()})
	if err != nil {
		h.Fatal(err)
	}
	if told != want || stored[0] != want {
		h.Fatalf("the basket is told to be %+v, and stored as %+v; want %+v", told, stored[0], want)
	}
	open := state == stock.BasketBegun || state == stock.BasketRefusing
	if found := h.undecided(b); (found != nil) != open {
		h.Fatalf("%v basket, undecided: %+v", state, found)
	} else if open && (found.User != b.User || found.Fingerprint != b.Fingerprint || !slices.Equal(found.Lines, b.Lines)) {
		h.Fatalf("undecided basket %+v, want %+v", found, b)
	}
}

// undecided is a basket as one has it who is to decide it.
func (h *harness) undecided(b *stock.Basket) *stock.Undecided {
	h.Helper()
	all, err := h.store.Undecided(context.Background(), b.ID().Partition(), 0, 0, 1_000_000)
	if err != nil {
		h.Fatal(err)
	}
	for i := range all {
		if all[i].ID() == b.ID() {
			return &all[i]
		}
	}
	return nil
}

// apart are n cells of different partitions, in their order.
func (h *harness) apart(n int) []stock.Cell {
	var cells []stock.Cell
	seen := map[int]bool{}
	for len(cells) < n {
		c := newCell()
		if p := c.Partition(h.store.Partitions()); !seen[p] {
			seen[p] = true
			cells = append(cells, c)
		}
	}
	return cells
}
