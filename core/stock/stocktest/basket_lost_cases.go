package stocktest

import "sluice/core/stock"

// basketLostCases are about baskets that may have been held before Redis lost something, and how their records tell.
var basketLostCases = group{
	"a lost record is decided anew from its lines": func(h *harness) {
		cells := h.neighbours(2)
		b := h.basketOf(cells)
		v := h.gather(b, 0)
		h.want(h.confirm(v.Outcomes[0].Reservation, 0), stock.VerdictOK)
		h.LoseBasket(h.test, b.ID())
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictReplayed, stock.VerdictReplayed)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketHeld, stock.VerdictOK, 0)
		h.want(h.release(v.Outcomes[1].Reservation, 0), stock.VerdictOK)
		h.LoseBasket(h.test, b.ID())
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictReplayed, stock.VerdictWrongState)
		h.wantRecord(v.Outcomes[1], stock.VerdictWrongState, stock.StateReleased)
		h.wantOldBasket(v.Outcomes[0].Basket, b) // it may have been held
		h.wantOldBasket(h.gather(b, 0).Outcomes[0].Basket, b)
		h.want(h.decide(b, stock.VerdictWrongState, 1), stock.VerdictOK)
		h.wantAll(h.void(b, 0), stock.VerdictReplayed, stock.VerdictReplayed)
		h.wantUnits(cells[0], 4, 0, 1) // sold units stay sold
	},
	"a line that has ended takes none of the others": func(h *harness) {
		cells := h.neighbours(2)
		b := h.basketOf(cells)
		r := h.gather(b, 0).Outcomes[0].Reservation
		h.want(h.release(r, 0), stock.VerdictOK)
		h.LoseBasket(h.test, b.ID())
		other := h.basket(1, "a", item(cells[0], 1), item(cells[1], 2)) // it has the key, and not the lines
		h.wantAll(h.gather(other, 0), stock.VerdictMismatch, stock.VerdictMismatch)
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictWrongState, stock.VerdictReplayed)
		h.wantOldBasket(v.Outcomes[0].Basket, b)
		h.want(h.decide(b, stock.VerdictOK, 0), stock.VerdictOK)
		h.wantUnits(cells[0], 5, 0, 0)
		h.wantUnits(cells[1], 4, 1, 0)
	},
	"a line that has ended refuses a basket that nobody has decided": func(h *harness) {
		cells := h.apart(2)
		b := h.basketOf(cells)
		r := h.gather(b, 0).Outcomes[0].Reservation
		h.want(h.release(r, 0), stock.VerdictOK)
		v := h.gather(b, 0)
		h.wantAll(v, stock.VerdictWrongState)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketRefusing, stock.VerdictWrongState, 0)
	},
	"a basket that was begun before a vetting may have been held": func(h *harness) {
		for _, why := range []stock.Verdict{stock.VerdictOK, stock.VerdictSoldOut} {
			cells := h.apart(2)
			b := h.basketOf(cells)
			r := h.gather(b, 0).Outcomes[0].Reservation
			h.AgeBasket(h.test, b.ID())
			h.wantOldBasket(h.gather(b, 0).Outcomes[0].Basket, b)
			h.want(h.release(r, 0), stock.VerdictOK)
			v := h.gather(b, 0)
			h.wantAll(v, stock.VerdictWrongState)
			h.wantOldBasket(v.Outcomes[0].Basket, b)
			before := decision(b, why, 1)
			before.Part.Intact = true // whoever gathered the lines before the vetting decides nothing
			o := h.one(stock.OpDecide, before)
			h.want(o, stock.VerdictWrongState)
			h.wantOldBasket(o.Basket, b)
			h.want(h.decide(b, why, 1), stock.VerdictOK)
			h.want(h.one(stock.OpDecide, before), stock.VerdictReplayed)
		}
	},
	"an intact basket is decided as such": func(h *harness) {
		for i, why := range []stock.Verdict{stock.VerdictOK, stock.VerdictSoldOut} {
			cells := h.apart(2)
			h.loadCell(cells[0], 5, stock.Settings{})
			b := h.basket(1, "a", item(cells[0], 1), item(cells[1], 1))
			if b.Lines[0].Cell != cells[0] {
				h.loadCell(cells[1], 5, stock.Settings{})
			}
			h.gather(b, 0)
			request := decision(b, why, 1)
			request.Part.Intact = true
			o := h.one(stock.OpDecide, request)
			h.want(o, stock.VerdictOK)
			h.wantBasket(o.Basket, b, []stock.BasketState{stock.BasketHeld, stock.BasketRefusing}[i], why, uint8(i))
		}
	},
	"lines that were there before their record tell that it was lost": func(h *harness) {
		cells := h.neighbours(2)
		cells = append(cells, h.apart(1)...)
		for _, c := range cells[:2] {
			h.loadCell(c, 5, stock.Settings{})
		}
		var b *stock.Basket
		for b == nil || len(b.Parts()) < 2 || len(b.Parts()[0]) < 2 { // the smallest cell is first
			cells[2] = newCell()
			b = h.basket(1, "a", item(cells[0], 1), item(cells[1], 1), item(cells[2], 1))
		}
		v := h.gather(b, 0)
		h.wantBasket(v.Outcomes[0].Basket, b, stock.BasketBegun, stock.VerdictOK, 0)
		h.LoseBasket(h.test, b.ID())
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictReplayed, stock.VerdictReplayed)
		h.wantOldBasket(v.Outcomes[0].Basket, b)
		h.wantOldBasket(h.gather(b, 0).Outcomes[0].Basket, b)

		few := h.basket(1, "b", item(cells[0], 1), item(cells[2], 1))
		b = h.basket(1, "b", item(cells[0], 1), item(cells[1], 1), item(cells[2], 1))
		few.Fingerprint = b.Fingerprint // so it leaves a line of b
		h.wantAll(h.gather(few, 0), stock.VerdictOK)
		h.LoseBasket(h.test, few.ID())
		v = h.gather(b, 0)
		h.wantAll(v, stock.VerdictReplayed, stock.VerdictOK)
		if told := v.Outcomes[0].Basket; told.State != stock.BasketBegun || told.Intact {
			h.Fatalf("with a line from before it is %+v", told)
		}
	},
}
