package stocktest

import (
	"context"
	"time"

	"sluice/core/stock"
)

var basketCases = group{
	"all lines of a partition are held in one call": func(h *harness) {
		cells := h.neighbours(3)
		for _, c := range cells {
			h.loadCell(c, 5, stock.Settings{Limit: 4})
		}
		b := h.basket(1, "a", item(cells[2], 3), item(cells[0], 1), item(cells[1], 2))
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK, stock.VerdictOK)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketHeld, stock.VerdictOK, 0)
		for i, c := range cells {
			h.wantUnits(c, 4-int64(i), 1+int64(i), 0)
			h.wantRecord(v.Outcomes[i], stock.VerdictOK, stock.StateHeld)
			if !v.Outcomes[i].Reservation.Counted {
				h.Fatalf("line %d does not count", i)
			}
		}
		again := h.gather(b, 0)
		h.wantAll(again, stock.VerdictReplayed, stock.VerdictReplayed, stock.VerdictReplayed)
		h.wantBasket(again.Outcomes[0].Basket, b, stock.BasketHeld, stock.VerdictOK, 0)
		h.want(h.confirm(v.Outcomes[0].Reservation, 0), stock.VerdictOK)
		h.want(h.release(v.Outcomes[1].Reservation, 1), stock.VerdictOK)
		later := h.gather(b, 0)
		h.wantRecord(later.Outcomes[0], stock.VerdictReplayed, stock.StateConfirmed)
		h.wantRecord(later.Outcomes[1], stock.VerdictReplayed, stock.StateReleased)
		h.wantUnits(cells[0], 4, 0, 1)
		h.wantUnits(cells[1], 5, 0, 0)
	},
	"or none, and its ids are spent": func(h *harness) {
		cells := h.neighbours(3)
		for i, c := range cells {
			h.loadCell(c, int64(i+1), stock.Settings{Limit: 3})
		}
		b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 3), item(cells[2], 4))
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictSoldOut, stock.VerdictLimitReached)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefusing, stock.VerdictSoldOut, 1)
		h.wantAll(h.gather(b, 0), stock.VerdictRefused, stock.VerdictRefused, stock.VerdictRefused)
		v = h.void(b, 0)
		h.wantAll(v, stock.VerdictUnknownReservation, stock.VerdictUnknownReservation, stock.VerdictUnknownReservation)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefused, stock.VerdictSoldOut, 1)
		h.want(h.adjust(cells[1], "more", stock.Adjustment{Delta: 9}), stock.VerdictOK)
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictRefused, stock.VerdictRefused)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefused, stock.VerdictSoldOut, 1)
		h.wantAll(h.void(b, 0), stock.VerdictRefused, stock.VerdictRefused, stock.VerdictRefused)
		for i, l := range b.Lines {
			if r := h.record(l.ID); r.State != stock.StateReleased || r.Seq != 0 || r.Quantity != l.Quantity || r.User != 1 {
				h.Fatalf("spent record %+v", r)
			}
			if s := h.state(cells[i]); s.Held != 0 || s.Avail != s.Total {
				h.Fatalf("cell %+v", s)
			}
		}
		h.want(h.reserve(cells[2], 1, "a", 3), stock.VerdictOK) // nothing counts, and the key of another scope is free
	},
	"each refusal of a line, by the rules of a reserve": func(h *harness) {
		for verdict, s := range map[stock.Verdict]stock.Settings{
			stock.VerdictLimitReached: {Limit: 1},
			stock.VerdictNotOpen:      {OpensAtMS: h.now() + hold.Milliseconds()},
			stock.VerdictClosed:       {ClosesAtMS: 1},
			stock.VerdictFrozen:       {Frozen: true},

			stock.VerdictNotRegistered: {RegisteredOnly: true},
		} {
			cells := h.neighbours(2)
			h.loadCell(cells[0], 5, stock.Settings{})
			h.loadCell(cells[1], 5, s)
			h.vouch(cells[1], 0)
			b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 2))
			v := h.gather(b, 0)
			h.wantAll(v, stock.VerdictRefused, verdict)
			h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefusing, verdict, 1)
			h.wantUnits(cells[0], 5, 0, 0)
		}
		cells := h.neighbours(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 2))
		h.wantAll(h.gather(b, 0), stock.VerdictRefused, stock.VerdictNotLoaded)
	},
	"a basket is not begun while the outbox is full": func(h *harness) {
		cell := h.neighbours(1)[0]
		h.loadCell(cell, 5, stock.Settings{})
		full := h.with(Options{OutboxEntriesMax: 1})
		b := h.basket(1, "a", item(cell, 1))
		v := full.gather(b, 0)
		full.wantAll(v, stock.VerdictBackpressure)
		full.wantBasket(v.Outcomes[0].Basket, b, stock.BasketNone, 0, 0)
		h.wantAll(h.gather(b, 0), stock.VerdictOK)
	},
	"a line that is ahead of its cell fences it": func(h *harness) {
		cells := h.neighbours(2)
		b := h.basketOf(cells)
		requests := partOf(b, 0, false)
		requests[1].Fence = stock.Position{Epoch: 1, Seq: 99}
		v := h.do(stock.OpGather, requests...)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictFenced)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefusing, stock.VerdictFenced, 1)
		if !h.state(cells[1]).Fenced || h.state(cells[0]).Fenced {
			h.Fatal("the wrong cell is fenced")
		}
	},
	"a basket of the level replica without one is not begun": func(h *harness) {
		cells := h.neighbours(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		h.loadCell(cells[1], 5, stock.Settings{Ack: stock.AckReplica})
		b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictReplicaMissing)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketNone, 0, 0)
		h.set(cells[1], "level", stock.FieldAck, stock.Settings{Ack: stock.AckRedis})
		h.wantAll(h.gather(b, 0), stock.VerdictOK, stock.VerdictOK)
	},
	"a basket of a user who may have been lost is not begun": func(h *harness) {
		cells := h.neighbours(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		h.loadCell(cells[1], 5, stock.Settings{RegisteredOnly: true})
		b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictUsersMissing)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketNone, 0, 0)
		h.register(cells[1], 1)
		h.wantAll(h.gather(b, 0), stock.VerdictOK, stock.VerdictOK)
	},
	"over partitions it is begun, then held": func(h *harness) {
		cells := h.apart(3)
		var items []stock.Line
		for _, c := range cells {
			h.loadCell(c, 5, stock.Settings{})
			items = append(items, item(c, 2))
		}
		b := h.basket(1, "a", items...)
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictOK)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketBegun, stock.VerdictOK, 0)
		since := h.undecided(b).SinceMS
		h.wantAll(h.gather(b, 1), stock.VerdictOK)
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictReplayed)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketBegun, stock.VerdictOK, 0)
		if h.undecided(b).SinceMS != since || v.TimeMS < since {
			h.Fatal("it was begun again")
		}
		h.wantAll(h.gather(b, 2), stock.VerdictOK)
		o := h.decide(b, stock.VerdictOK, 0)
		h.want(o, stock.VerdictOK)
		h.wantBasket(o.Basket, b, stock.BasketHeld, stock.VerdictOK, 0)
		o = h.decide(b, stock.VerdictOK, 0)
		h.want(o, stock.VerdictReplayed)
		o = h.decide(b, stock.VerdictSoldOut, 1)
		h.want(o, stock.VerdictWrongState)
		h.wantBasket(o.Basket, b, stock.BasketHeld, stock.VerdictOK, 0)
		h.wantAll(h.void(b, 0), stock.VerdictWrongState)
		for _, c := range cells {
			h.wantUnits(c, 3, 2, 0)
		}
	},
	"over partitions it is refused whole": func(h *harness) {
		cells := h.apart(3)
		for i, c := range cells {
			h.loadCell(c, int64(2-i/2), stock.Settings{Limit: 2})
		}
		b := h.basket(1, "a", item(cells[0], 2), item(cells[1], 2), item(cells[2], 2))
		h.wantAll(h.gather(b, 0), stock.VerdictOK)
		refused := 0
		for n := 1; n < 3; n++ {
			v := h.gather(b, n)
			if v.Outcomes[0].Verdict == stock.VerdictSoldOut {
				refused = n
			}
		}
		o := h.decide(b, stock.VerdictSoldOut, uint8(refused))
		h.want(o, stock.VerdictOK)
		h.wantBasket(o.Basket, b, stock.BasketRefusing, stock.VerdictSoldOut, uint8(refused))
		o = h.decide(b, stock.VerdictOK, 0)
		h.want(o, stock.VerdictWrongState)
		h.want(h.decide(b, stock.VerdictLimitReached, 0), stock.VerdictReplayed)
		h.wantAll(h.void(b, 3-refused), stock.VerdictOK)
		h.wantAll(h.void(b, refused), stock.VerdictUnknownReservation)
		h.wantRecord(h.gather(b, refused).Outcomes[0], stock.VerdictWrongState, stock.StateReleased) // it cannot come later
		v := h.void(b, 0)
		h.wantAll(v, stock.VerdictOK)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefused, stock.VerdictSoldOut, uint8(refused))
		h.wantRecord(h.void(b, 3-refused).Outcomes[0], stock.VerdictReplayed, stock.StateReleased)
		for _, c := range cells {
			if s := h.state(c); s.Held != 0 || s.Avail != s.Total {
				h.Fatalf("cell %+v", s)
			}
		}
		h.want(h.reserve(cells[0], 1, "b", 2), stock.VerdictOK) // nothing counts
	},
	"a key that is used with other lines": func(h *harness) {
		cells := h.neighbours(3)
		for _, c := range cells {
			h.loadCell(c, 5, stock.Settings{})
		}
		h.wantAll(h.gather(h.basket(1, "a", item(cells[0], 1), item(cells[2], 1)), 0), stock.VerdictOK, stock.VerdictOK)
		other := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		v := h.gather(other, 0)
		h.wantAll(v, stock.VerdictMismatch, stock.VerdictMismatch)
		if v.Outcomes[0].Basket != (stock.BasketRecord{}) {
			h.Fatalf("told of another basket: %+v", v.Outcomes[0].Basket)
		}
		h.wantAll(h.void(other, 0), stock.VerdictMismatch, stock.VerdictMismatch)
		h.want(h.decide(other, stock.VerdictOK, 0), stock.VerdictMismatch)
		elsewhere := h.basket(1, "a", item(cells[1], 1), item(cells[2], 1)) // begins elsewhere, and shares a line
		v = h.gather(elsewhere, 0)
		h.wantAll(v, stock.VerdictRefused, stock.VerdictMismatch)
		h.wantBasket(v.Outcomes[0].Basket, elsewhere, stock.BasketNone, 0, 0)
		h.wantUnits(cells[1], 5, 0, 0)
		h.wantUnits(cells[2], 4, 1, 0)
		h.wantAll(h.gather(h.basket(2, "a", item(cells[0], 1), item(cells[1], 1)), 0), stock.VerdictOK, stock.VerdictOK) // another user's
	},
	"one that was decided by another's fingerprint does not stay undecided": func(h *harness) {
		cells := h.apart(3)
		for _, c := range cells {
			h.loadCell(c, 5, stock.Settings{})
		}
		for i, why := range []stock.Verdict{stock.VerdictOK, stock.VerdictSoldOut} {
			key := string(rune('a' + i))
			first := h.basket(1, key, item(cells[0], 1), item(cells[1], 1))
			other := h.basket(1, key, item(cells[0], 1), item(cells[2], 1))
			other.Fingerprint = first.Fingerprint // one in 4 billion has it
			h.wantAll(h.gather(first, 0), stock.VerdictOK)
			h.wantAll(h.gather(other, 0), stock.VerdictReplayed)
			h.want(h.decide(other, why, 0), stock.VerdictOK)
			state := stock.BasketHeld
			if why != stock.VerdictOK {
				h.wantAll(h.void(other, 0), stock.VerdictOK)
				state = stock.BasketRefused
			}
			v := h.gather(first, 0) // as a sweeper asks first
			h.wantBasket(v.Outcomes[0].Basket, first, state, why, 0)
		}
	},
	"a refused basket gives no line of another one back": func(h *harness) {
		cells := h.apart(3)
		for _, c := range cells {
			h.loadCell(c, 5, stock.Settings{})
		}
		held := h.basket(1, "a", item(cells[0], 1), item(cells[2], 1))
		h.gather(held, 0)
		h.gather(held, 1)
		h.want(h.decide(held, stock.VerdictOK, 0), stock.VerdictOK)
		other := h.basket(1, "a", item(cells[1], 1), item(cells[2], 1))
		h.wantAll(h.gather(other, 0), stock.VerdictOK)
		h.wantAll(h.gather(other, 1), stock.VerdictMismatch)
		h.want(h.decide(other, stock.VerdictMismatch, 1), stock.VerdictOK)
		h.wantAll(h.void(other, 1), stock.VerdictMismatch)
		h.wantAll(h.void(other, 0), stock.VerdictOK)
		for i, units := range []int64{1, 0, 1} {
			h.wantUnits(cells[i], 5-units, units, 0)
		}
	},
	"a held basket takes nothing again": func(h *harness) {
		cells := h.apart(2)
		b := h.basketOf(cells)
		h.wantAll(h.do(stock.OpGather, partOf(b, 1, true)...), stock.VerdictUnknownReservation)
		h.gather(b, 0)
		r := h.gather(b, 1).Outcomes[0].Reservation
		h.want(h.release(r, 0), stock.VerdictOK)
		h.wantRecord(h.do(stock.OpGather, partOf(b, 1, true)...).Outcomes[0], stock.VerdictReplayed, stock.StateReleased)
		h.wantRecord(h.gather(b, 1).Outcomes[0], stock.VerdictWrongState, stock.StateReleased)
	},
	"from its deadline on a line is lost to its basket": func(h *harness) {
		cells := h.apart(2)
		h.loadCell(cells[0], 5, stock.Settings{Hold: moments})
		h.loadCell(cells[1], 5, stock.Settings{})
		b := h.basket(1, "a", item(cells[0], 2), item(cells[1], 1))
		home := 0
		if b.Lines[0].Cell != cells[0] {
			home = 1
		}
		h.gather(b, 0)
		r := h.gather(b, home).Outcomes[0].Reservation
		h.waitUntil(r.DeadlineMS)
		h.wantRecord(h.gather(b, home).Outcomes[0], stock.VerdictWrongState, stock.StateHeld)
		h.decide(b, stock.VerdictWrongState, uint8(home))
		h.wantRecord(h.void(b, home).Outcomes[0], stock.VerdictReplayed, stock.StateHeld) // the sweep has it
		h.expire(cells[0])
		h.wantUnits(cells[0], 5, 0, 0)
	},
	"a line in a shut cell keeps its basket from being refused": func(h *harness) {
		cells := h.neighbours(2)
		cells = append(cells, h.apart(1)...)
		for _, c := range cells[:2] {
			h.want(h.adjust(c, "load", stock.Adjustment{Create: true, Delta: 5, Settings: stock.Settings{Hold: hold}}), stock.VerdictOK)
		}
		var b *stock.Basket
		for i := 0; b == nil || len(b.Parts()) < 2 || len(b.Parts()[0]) < 2; i++ { // the smallest cell is first
			cells[2] = newCell()
			b = h.basket(1, "a", item(cells[0], 1), item(cells[1], 1), item(cells[2], 1))
		}
		h.wantAll(h.gather(b, 0), stock.VerdictOK, stock.VerdictOK)
		h.want(h.decide(b, stock.VerdictNotLoaded, 2), stock.VerdictOK)
		h.Corrupt(h.test, cells[0], 1, 0)
		v := h.void(b, 0)
		h.wantAll(v, stock.VerdictBreached, stock.VerdictOK)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefusing, stock.VerdictNotLoaded, 2)
	},
	"baskets of one vector see each other": func(h *harness) {
		cells := h.neighbours(2)
		h.loadCell(cells[0], 5, stock.Settings{Limit: 3})
		h.loadCell(cells[1], 2, stock.Settings{})
		first := h.basket(1, "a", item(cells[0], 2), item(cells[1], 1))
		again := *first
		poor, unlucky := h.basket(1, "b", item(cells[0], 2)), h.basket(2, "c", item(cells[0], 1), item(cells[1], 2))
		other := h.basket(2, "d", item(cells[0], 3), item(cells[1], 1))
		var requests []stock.Request
		for _, b := range []*stock.Basket{first, &again, poor, unlucky, other} {
			requests = append(requests, partOf(b, 0, false)...)
		}
		v := h.do(stock.OpGather, requests...)
		h.wantAll(v, stock.VerdictOK, stock.VerdictOK, stock.VerdictReplayed, stock.VerdictReplayed, stock.VerdictLimitReached,
			stock.VerdictRefused, stock.VerdictSoldOut, stock.VerdictOK, stock.VerdictOK)
		h.wantBasket(v.Outcomes[0].Basket, first, stock.BasketHeld, stock.VerdictOK, 0)
		h.wantBasket(v.Outcomes[2].Basket, first, stock.BasketHeld, stock.VerdictOK, 0)
		h.wantBasket(v.Outcomes[4].Basket, poor, stock.BasketRefusing, stock.VerdictLimitReached, 0)
		h.wantBasket(v.Outcomes[5].Basket, unlucky, stock.BasketRefusing, stock.VerdictSoldOut, 1)
		h.wantUnits(cells[0], 0, 5, 0)
		h.wantUnits(cells[1], 0, 2, 0)
		v = h.do(stock.OpVoid, append(partOf(poor, 0, false), append(partOf(unlucky, 0, false), partOf(poor, 0, false)...)...)...)
		h.wantAll(v, stock.VerdictUnknownReservation, stock.VerdictUnknownReservation, stock.VerdictUnknownReservation, stock.VerdictRefused)
		h.wantBasket(v.Outcomes[1].Basket, unlucky, stock.BasketRefused, stock.VerdictSoldOut, 1)
		moves := h.do(stock.OpDecide, decision(first, stock.VerdictOK, 0), decision(unlucky, stock.VerdictOK, 0),
			decision(h.basket(3, "e", item(cells[0], 1)), stock.VerdictOK, 0))
		h.wantAll(moves, stock.VerdictReplayed, stock.VerdictWrongState, stock.VerdictUnknownReservation)
		h.wantBasket(moves.Outcomes[1].Basket, unlucky, stock.BasketRefused, stock.VerdictSoldOut, 1)
	},
	"a basket is forgotten with its smallest line": func(h *harness) {
		h = h.with(Options{Retention: moments})
		cells := h.neighbours(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		h.loadCell(cells[1], 1, stock.Settings{})
		held := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		refused := h.basket(1, "b", item(cells[0], 1), item(cells[1], 1))
		v := h.gather(held, 0)
		h.gather(refused, 0)
		h.void(refused, 0)
		h.waitUntil(h.now() + moments.Milliseconds() + 1)
		h.forget(cells[0])
		h.wantBasket(stock.BasketRecord{}, refused, stock.BasketNone, 0, 0)
		if r := h.record(refused.Lines[1].ID); r.State != stock.StateNone {
			h.Fatalf("record %+v", r)
		}
		h.wantBasket(v.Outcomes[0].Basket, held, stock.BasketHeld, stock.VerdictOK, 0)
		h.want(h.release(v.Outcomes[0].Reservation, 0), stock.VerdictOK)
		h.waitUntil(h.now() + moments.Milliseconds() + 1)
		h.forget(cells[0])
		h.wantBasket(stock.BasketRecord{}, held, stock.BasketNone, 0, 0)
	},
	"an undecided basket is not forgotten": func(h *harness) {
		h = h.with(Options{Retention: moments})
		cells := h.apart(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		v := h.gather(b, 0)
		h.want(h.release(v.Outcomes[0].Reservation, 0), stock.VerdictOK)
		h.waitUntil(h.now() + moments.Milliseconds() + 1)
		h.forget(cells[0])
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketBegun, stock.VerdictOK, 0)
		h.decide(b, stock.VerdictNotLoaded, 1)
		h.wantAll(h.void(b, 0), stock.VerdictUnknownReservation)
		h.waitUntil(h.now() + moments.Milliseconds() + 1)
		h.forget(cells[0])
		h.wantBasket(stock.BasketRecord{}, b, stock.BasketNone, 0, 0)
	},
	"undecided baskets, oldest first": func(h *harness) {
		cells := h.apart(2)
		h.loadCell(cells[0], 5, stock.Settings{})
		h.loadCell(cells[1], 5, stock.Settings{})
		first := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
		h.gather(first, 0)
		h.waitUntil(h.now() + 2)
		second := h.basket(1, "b", item(cells[0], 1), item(cells[1], 1))
		since := h.gather(second, 0).TimeMS
		h.waitUntil(since + moments.Milliseconds())
		all, err := h.store.Undecided(context.Background(), first.ID().Partition(), moments, 0, 1000)
		if err != nil {
			h.Fatal(err)
		}
		var found []stock.ReservationID
		for _, u := range all {
			if id := u.ID(); id == first.ID() || id == second.ID() {
				found = append(found, id)
			}
		}
		if len(found) != 2 || found[0] != first.ID() {
			h.Fatalf("found %v, want %v and %v", found, first.ID(), second.ID())
		}
		if all, err := h.store.Undecided(context.Background(), first.ID().Partition(), 0, 0, 1); err != nil || len(all) != 1 {
			h.Fatalf("%d with limit 1, %v", len(all), err)
		}
		if rest, err := h.store.Undecided(context.Background(), first.ID().Partition(), 0, 1_000_000, 1); err != nil || len(rest) != 0 {
			h.Fatalf("%d after all others, %v", len(rest), err)
		}
		if all, err := h.store.Undecided(context.Background(), first.ID().Partition(), time.Hour, 0, 1000); err != nil || len(all) != 0 {
			h.Fatalf("%d are an hour old, %v", len(all), err)
		}
	},
}
