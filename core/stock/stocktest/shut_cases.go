package stocktest

import (
	"time"

	"sluice/core/stock"
)

var shutCases = group{
	"a fence at or below the cell's position passes": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		h.held(cell, 1, "a", 1)
		for i, fence := range []stock.Position{{}, {Epoch: 1, Seq: 1}, {Epoch: 1, Seq: 4}} {
			h.want(h.fenced(cell, string(rune('b'+i)), fence), stock.VerdictOK)
		}
		if s := h.state(cell); s.Seq != 5 {
			h.Fatalf("cell %+v: the last fence was not its position", s)
		}
	},
	"a fence above the cell's position shuts it": func(h *harness) {
		for _, fence := range []stock.Position{{Epoch: 1, Seq: 3}, {Epoch: 2, Seq: 1}} {
			cell := h.load(9, stock.Settings{})
			r := h.held(cell, 1, "a", 1)
			h.want(h.fenced(cell, "b", fence), stock.VerdictFenced)
			if s := h.state(cell); !s.Fenced || s.Breached {
				h.Fatalf("cell %+v", s)
			}
			for _, take := range h.takes() {
				h.want(take(cell, 1, "c", 1), stock.VerdictFenced)
			}
			for _, settle := range h.settles() {
				h.want(settle(r, 1), stock.VerdictFenced)
			}
			h.want(h.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictFenced)
			h.wantUnits(cell, 8, 1, 0)
		}
	},
	"a fence on a cell that is not there": func(h *harness) {
		cell := newCell()
		h.want(h.fenced(cell, "a", stock.Position{Epoch: 1, Seq: 1}), stock.VerdictFenced)
		if s := h.state(cell); s != (stock.CellState{Cell: cell}) {
			h.Fatalf("cell %+v", s)
		}
	},
	"a fenced cell still replays": func(h *harness) {
		cell := h.load(9, stock.Settings{})
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.want(h.confirm(a, 0), stock.VerdictOK)
		h.want(h.fenced(cell, "c", stock.Position{Epoch: 9}), stock.VerdictFenced)
		h.want(h.reserve(cell, 1, "a", 1), stock.VerdictReplayed)
		h.want(h.reserve(cell, 1, "a", 2), stock.VerdictMismatch)
		h.want(h.confirm(a, 0), stock.VerdictReplayed)
		h.want(h.release(a, 0), stock.VerdictWrongState)
		h.want(h.confirm(b, 2), stock.VerdictWrongUser)
	},
	"the rest of the vector is fenced too": func(h *harness) {
		cells := h.neighbours(2)
		h.loadCell(cells[0], 9, stock.Settings{})
		h.loadCell(cells[1], 9, stock.Settings{})
		ahead := h.take(stock.OpReserve, cells[0], 1, "a", 1)
		ahead.Fence = stock.Position{Epoch: 1, Seq: 9}
		v := h.do(stock.OpReserve,
			ahead,
			h.take(stock.OpReserve, cells[0], 1, "b", 1),
			h.take(stock.OpReserve, cells[1], 1, "c", 1))
		h.wantAll(v, stock.VerdictFenced, stock.VerdictFenced, stock.VerdictOK)
	},
	"what one caller has seen counts for those before it too": func(h *harness) {
		for _, op := range []stock.Op{stock.OpReserve, stock.OpDeduct} {
			cell := h.load(9, stock.Settings{})
			first, ahead, last := h.take(op, cell, 1, "a", 1), h.take(op, cell, 2, "a", 1), h.take(op, cell, 3, "a", 1)
			ahead.Fence = stock.Position{Epoch: 1, Seq: 2} // as the cell would be after the first one
			last.Fence = stock.Position{Epoch: 1, Seq: 1}
			h.wantAll(h.do(op, first, ahead, last), stock.VerdictFenced, stock.VerdictFenced, stock.VerdictFenced)
			h.wantUnits(cell, 9, 0, 0)
		}
	},
	"counters that do not add up shut the cell": func(h *harness) {
		for _, units := range []int64{1, -1} {
			cell := h.loadUnaudited(hold)
			r := h.held(cell, 1, "a", 1)
			h.Corrupt(h.test, cell, units, 0)
			h.want(h.reserve(cell, 1, "b", 1), stock.VerdictBreached)
			if s := h.state(cell); !s.Breached || s.Fenced || s.Frozen {
				h.Fatalf("cell %+v", s)
			}
			h.want(h.deduct(cell, 1, "c", 1), stock.VerdictBreached)
			for _, settle := range h.settles() {
				h.want(settle(r, 1), stock.VerdictBreached)
			}
			h.want(h.adjust(cell, "more", stock.Adjustment{Delta: 1}), stock.VerdictBreached)
			h.want(h.reserve(cell, 1, "a", 1), stock.VerdictReplayed)
			if s := h.state(cell); s.Avail != 8+units || s.Held != 1 || s.Total != 9 || s.Seq != 2 {
				h.Fatalf("cell %+v", s)
			}
		}
	},
	"settling finds a breach": func(h *harness) {
		for _, settle := range h.settles() {
			for _, breach := range h.breaches() {
				cell := h.loadUnaudited(hold)
				r := h.held(cell, 1, "a", 1)
				breach(cell)
				h.want(settle(r, 1), stock.VerdictBreached)
				if s := h.state(cell); !s.Breached || s.Seq != 2 {
					h.Fatalf("cell %+v", s)
				}
				if got := h.record(r.ID); got != r {
					h.Fatalf("record %+v, before %+v", got, r)
				}
				h.want(h.reserve(cell, 1, "b", 1), stock.VerdictBreached)
			}
		}
	},
	"fewer units held than reserved are a breach also where selling was stopped": func(h *harness) {
		for _, settle := range h.settles() {
			cell := h.loadUnaudited(hold)
			r := h.held(cell, 1, "a", 2)
			h.set(cell, "stop", stock.FieldFrozen, stock.Settings{Frozen: true})
			h.Corrupt(h.test, cell, 1, -1)
			h.want(h.reserve(cell, 1, "b", 1), stock.VerdictFrozen)
			if s := h.state(cell); s.Breached {
				h.Fatalf("cell %+v: its counters add up", s)
			}
			h.want(settle(r, 1), stock.VerdictBreached)
			if s := h.state(cell); !s.Breached || !s.Frozen || s.Held != 1 {
				h.Fatalf("cell %+v", s)
			}
		}
	},
	"what is held is settled as long as it is covered": func(h *harness) {
		cell := h.loadUnaudited(hold)
		a, b, c := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 2), h.held(cell, 1, "c", 1)
		h.Corrupt(h.test, cell, 1, -1)
		h.wantAll(h.do(stock.OpConfirm, stock.Request{ID: a.ID}, stock.Request{ID: b.ID}, stock.Request{ID: c.ID}),
			stock.VerdictOK, stock.VerdictOK, stock.VerdictBreached)
		if s := h.state(cell); !s.Breached || s.Held != 0 || s.Sold != 3 {
			h.Fatalf("cell %+v", s)
		}
	},
	"the sweep finds a breach": func(h *harness) {
		for _, breach := range h.breaches() {
			cell := h.loadUnaudited(moments)
			r := h.held(cell, 1, "a", 1)
			breach(cell)
			h.stillHeld(r)
			h.waitUntil(r.DeadlineMS)
			h.expire(cell)
			if s := h.state(cell); !s.Breached || s.Seq != 2 {
				h.Fatalf("cell %+v", s)
			}
			if got := h.record(r.ID); got != r {
				h.Fatalf("record %+v, before %+v", got, r)
			}
		}
	},
	"a cell that is lost under its reservations": func(h *harness) {
		cell := h.loadUnaudited(moments)
		a, b := h.held(cell, 1, "a", 1), h.held(cell, 1, "b", 1)
		h.Lose(h.test, cell)
		h.stillHeld(a)
		settled := []stock.Outcome{h.confirm(a, 1), h.release(b, 1)}
		if h.now() < a.DeadlineMS {
			for _, o := range settled {
				h.want(o, stock.VerdictFenced)
			}
		}
		h.waitUntil(b.DeadlineMS)
		h.expire(cell)
		if s := h.state(cell); s != (stock.CellState{Cell: cell}) {
			h.Fatalf("cell %+v", s)
		}
		if got := h.record(b.ID); got != b {
			h.Fatalf("record %+v, before %+v", got, b)
		}
	},
	"what is held in a shut cell does not expire, nor hold others up": func(h *harness) {
		cells := h.neighbours(2)
		for _, cell := range cells {
			h.loadCell(cell, 9, stock.Settings{Hold: moments})
		}
		stuck := h.held(cells[0], 1, "a", 1)
		h.want(h.fenced(cells[0], "b", stock.Position{Epoch: 2}), stock.VerdictFenced)
		h.stillHeld(stuck)
		free := h.held(cells[1], 1, "a", 1)
		h.waitUntil(free.DeadlineMS)
		h.expire(cells[1])
		if a, b := h.record(stuck.ID), h.record(free.ID); a.State != stock.StateHeld || b.State != stock.StateExpired {
			h.Fatalf("in the fenced cell %+v, beside it %+v", a, b)
		}
		h.wantUnits(cells[0], 8, 1, 0)
		h.wantUnits(cells[1], 9, 0, 0)
	},
}

// loadUnaudited makes a new cell of 9 units that is not audited. A case plants a fault in it, which an audit would
// find.
func (h *harness) loadUnaudited(hold time.Duration) stock.Cell {
	h.Helper()
	cell := newCell()
	h.want(h.adjust(cell, "load", stock.Adjustment{
		Create: true, Delta: 9, Settings: stock.Settings{Hold: hold},
	}), stock.VerdictOK)
	return cell
}

// breaches returns ways to spoil counters that the end of a reservation finds.
func (h *harness) breaches() []func(cell stock.Cell) {
	return []func(stock.Cell){
		func(cell stock.Cell) { h.Corrupt(h.test, cell, 1, 0) },
		func(cell stock.Cell) { h.Corrupt(h.test, cell, -1, 0) },
		func(cell stock.Cell) { h.Corrupt(h.test, cell, 1, -1) }, // they add up
	}
}

// stillHeld skips a case that was so slow that another one has swept its reservation.
func (h *harness) stillHeld(r stock.Reservation) {
	h.Helper()
	if h.record(r.ID).State != stock.StateHeld {
		h.Skip("too slow: the hold ended too early")
	}
}

// fenced reserves one unit with a fence.
func (h *harness) fenced(cell stock.Cell, key string, fence stock.Position) stock.Outcome {
	h.Helper()
	r := h.take(stock.OpReserve, cell, 1, key, 1)
	r.Fence = fence
	return h.one(stock.OpReserve, r)
}
