package reconcile_test

import (
	"slices"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/stock"
)

// injection is a difference that somebody makes by hand. It returns what must be found, or no type where it cannot be made.
type injection func(w *world, r *closeLook) (units int64, way reconcile.Direction, ok bool)

func (r *closeLook) record(ok func(stock.Reservation) bool) *stock.Reservation {
	for i := range r.Records {
		if ok(r.Records[i]) {
			return &r.Records[i]
		}
	}
	return nil
}

// held is a record that was held at the cut and still is.
func (r *closeLook) held() *stock.Reservation {
	return r.record(func(s stock.Reservation) bool { return s.State == stock.StateHeld && s.Seq <= r.Redis.Seq })
}

// without takes the event at a place out of all stores.
func (w *world) without(r *closeLook, at int) {
	var left []reconcile.Event
	for _, e := range r.Events {
		if e.Seq != uint64(at)+1 {
			left = append(left, e)
		}
	}
	r.Events = left
	delete(r.persisted, at)
}

var injections = map[reconcile.Type]map[string]injection{
	reconcile.CounterEdit: {
		"avail is raised": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Redis.Avail += 2
			return 2, reconcile.Oversell, true
		},
		"avail and total are lowered": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Redis.Avail, r.Redis.Total = r.Redis.Avail-3, r.Redis.Total-3
			return 3, reconcile.Undersell, true
		},
		"held is raised": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Redis.Held++
			return 1, reconcile.Bookkeeping, true
		},
		"held is below its reservations, all along": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			if r.From.Seq == 0 || r.cut < len(w.events) || r.Redis.Held == 0 {
				return 0, "", false
			}
			for i := range r.Events {
				r.Events[i].Held, r.Events[i].Avail = r.Events[i].Held-1, r.Events[i].Avail+1
			}
			r.Redis.Held, r.Redis.Avail = r.Redis.Held-1, r.Redis.Avail+1
			if p := r.Projection; p != nil {
				p.Held, p.Avail = p.Held-1, p.Avail+1
			}
			return 1, reconcile.Oversell, true
		},
		"sold becomes held": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Redis.Held, r.Redis.Sold = r.Redis.Held+1, r.Redis.Sold-1
			return 1, reconcile.Oversell, true
		},
		"later events build on it": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			from := r.From.Seq + 1 + uint64(w.IntN(5))
			if from >= r.Redis.Seq || from == 1 {
				return 0, "", false
			}
			for i := range r.Events {
				if r.Events[i].Seq > from {
					r.Events[i].Avail += 4
				}
			}
			r.Redis.Avail, r.Redis.Total = r.Redis.Avail+4, r.Redis.Total+4
			if p := r.Projection; p != nil && p.Seq > from {
				p.Avail, p.Total = p.Avail+4, p.Total+4
			}
			return 4, reconcile.Oversell, true
		},
	},
	reconcile.LeakedHold: {
		"a record is deleted": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			still := map[stock.ReservationID]bool{}
			for _, s := range w.held() {
				still[s.ID] = s.Seq <= r.Redis.Seq // what is deleted neither ends nor is extended later
			}
			gone := r.record(func(s stock.Reservation) bool { return still[s.ID] && s.Seq <= r.Redis.Seq })
			if gone == nil {
				return 0, "", false
			}
			units := gone.Quantity
			*gone = r.Records[len(r.Records)-1]
			r.Records = r.Records[:len(r.Records)-1]
			r.Buyers = nil
			return units, reconcile.Undersell, true
		},
		"a record says released": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			edited := r.held()
			if edited == nil {
				return 0, "", false
			}
			edited.State = stock.StateReleased
			r.Buyers = nil
			return edited.Quantity, reconcile.Undersell, true
		},
		"no list of deadlines has it": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			r.Overdue = append(r.Overdue, late.ID)
			return late.Quantity, reconcile.Undersell, true
		},
	},
	reconcile.OrphanReservation: {
		"a record is made": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Records = append(r.Records, stock.Reservation{ID: stock.ReservationID{9, 9, 9}, State: stock.StateHeld, Cell: r.Cell, User: 77, Quantity: 2, Seq: 1})
			return 2, reconcile.Oversell, true
		},
		"a record holds more": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			more := r.held()
			if more == nil {
				return 0, "", false
			}
			more.Quantity += 3
			r.Buyers = nil
			return 3, reconcile.Oversell, true
		},
	},
	reconcile.DoubleRelease: {
		"an ended reservation is held again": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			again := r.record(func(s stock.Reservation) bool {
				return s.Seq <= r.Redis.Seq && (s.State == stock.StateReleased || s.State == stock.StateExpired)
			})
			if again == nil {
				return 0, "", false
			}
			again.State = stock.StateHeld
			return again.Quantity, reconcile.Oversell, true
		},
	},
	reconcile.BuyerCount: {
		"too low": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			at := slices.IndexFunc(r.Buyers, func(b reconcile.Buyer) bool { return b.User != returner && b.Units > 0 })
			if at < 0 || r.cut < len(w.events) {
				return 0, "", false
			}
			r.Buyers[at].Units--
			return 1, reconcile.Oversell, true
		},
		"too high": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Buyers = append(r.Buyers, reconcile.Buyer{User: 777, Units: 2})
			return 2, reconcile.Undersell, true
		},
	},
	reconcile.Gap: {
		"an event is nowhere": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			at := int(r.From.Seq) + w.IntN(r.cut)
			if at >= r.cut || at < int(r.From.Seq) {
				return 0, "", false
			}
			e := w.events[at]
			if r.Projection != nil && r.Projection.Seq == e.Seq && r.Redis.Less(e.Position) {
				return 0, "", false
			}
			if r.persisted[at] && !e.Kind.Adjusts() {
				return 0, "", false // its reservation's row would tell of it
			}
			w.without(r, at)
			units := e.Quantity
			switch {
			case e.Kind == event.KindExtend:
				units = 0
			case e.Kind.Adjusts():
				units = max(e.Change.Delta, -e.Change.Delta)
			}
			return units, reconcile.Bookkeeping, true
		},
	},
	reconcile.LostTail: {
		"Redis is set back": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			// Everything up to the end was known before, and Redis stands at the cut.
			if r.cut == len(w.events) {
				return 0, "", false
			}
			whole := w.events[len(w.events)-1]
			r.Known = whole.Position
			known := map[uint64]bool{}
			for _, e := range r.Events {
				known[e.Seq] = true
			}
			for _, e := range w.events[r.cut:] {
				if !known[e.Seq] {
					e.Store = reconcile.InKafka
					r.Events = append(r.Events, e)
				}
			}
			r.Records = append([]stock.Reservation(nil), w.states[r.cut-1]...)
			have, want := r.Redis.Balances, balances(&whole)
			var more, less int64
			for _, d := range []int64{have.Avail - want.Avail, have.Held - want.Held, have.Sold - want.Sold} {
				more, less = more+max(d, 0), less+max(-d, 0)
			}
			way := reconcile.Bookkeeping
			switch {
			case have.Avail > want.Avail, have.Avail == want.Avail && have.Sold < want.Sold:
				way = reconcile.Oversell
			case have.Avail < want.Avail, have.Sold > want.Sold: // of a return, Redis has more sold
				way = reconcile.Undersell
			}
			return max(more, less), way, true
		},
		"Redis has no such cell": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Redis, r.Records = nil, nil
			var last *reconcile.Event
			for i := range r.Events {
				if e := &r.Events[i]; last == nil || last.Seq < e.Seq {
					last = e
				}
			}
			return last.Total(), reconcile.Undersell, last.Avail > 0
		},
	},
	reconcile.ProjectionStale: {
		"a row of stock is edited": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			if r.Projection == nil {
				return 0, "", false
			}
			r.Projection.Sold, r.Projection.Avail = r.Projection.Sold+2, r.Projection.Avail-2
			return 2, reconcile.Bookkeeping, true
		},
		"a row of a reservation is edited": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			for i := range r.Rows {
				if row := &r.Rows[i]; row.ID == late.ID && row.Seq == late.Seq && late.Seq < r.Redis.Seq {
					row.State = stock.StateReleased
					r.Buyers = nil
					return row.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
		"a row of a reservation is deleted": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			late := r.held()
			if late == nil {
				return 0, "", false
			}
			for i := range r.Rows {
				if r.Rows[i].ID == late.ID && r.Rows[i].Seq == late.Seq {
					r.Rows = append(r.Rows[:i], r.Rows[i+1:]...)
					r.Buyers = nil
					return late.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
	},
	reconcile.Fork: {
		"two events are at one place": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			for _, e := range r.Events {
				if e.Kind == event.KindReserve && e.Seq <= r.Redis.Seq && e.Store == reconcile.InLedger && e.Seq > r.From.Seq {
					other := e
					other.Store, other.TimeMS = reconcile.InOutbox, e.TimeMS+1
					r.Events = append(r.Events, other)
					for i := range r.Events { // both came of the outbox
						if x := &r.Events[i]; x.Seq == e.Seq && x.Store != reconcile.InLedger {
							*x = other
						}
					}
					return e.Quantity, reconcile.Bookkeeping, true
				}
			}
			return 0, "", false
		},
		"a row of the ledger is edited": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			for i := range r.Events {
				e := &r.Events[i]
				if e.Seq <= r.From.Seq || e.Seq >= r.Redis.Seq || e.Store != reconcile.InLedger {
					continue
				}
				for j := range r.Events {
					if x := &r.Events[j]; x.Seq == e.Seq && j != i {
						return 0, "", false // the outbox would tell otherwise
					}
				}
				e.Avail += 5
				return 5, reconcile.Bookkeeping, true
			}
			return 0, "", false
		},
	},
	reconcile.DeadLetter: {
		"an event was refused": func(w *world, r *closeLook) (int64, reconcile.Direction, bool) {
			at := int(r.From.Seq) + w.IntN(r.cut)
			if at >= r.cut || r.persisted[at] {
				return 0, "", false
			}
			e := w.events[at]
			w.without(r, at)
			r.Letters = append(r.Letters, reconcile.Letter{ID: "1", Reason: ledger.ReasonRefused, Position: e.Position, Units: 7, TimeMS: e.TimeMS})
			return 7, reconcile.Bookkeeping, true
		},
	},
	reconcile.Unverifiable: {
		"it could not be read": func(_ *world, r *closeLook) (int64, reconcile.Direction, bool) {
			r.Unread = "the value of the cell is of an unknown version"
			return 0, reconcile.Bookkeeping, true
		},
	},
}
