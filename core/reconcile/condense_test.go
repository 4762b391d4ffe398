package reconcile

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
)

// lifetime is a cell's events, and the reservations that are held after each of them.
type lifetime struct {
	events []Event
	held   []map[stock.ReservationID]stock.Reservation // by seq
}

func idOf(n uint64) (id stock.ReservationID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

func drawHistory(t *rapid.T) *lifetime {
	h := &lifetime{held: []map[stock.ReservationID]stock.Reservation{{}}}
	cell := stock.Cell{SKU: 1}
	for seq := uint64(1); seq <= uint64(rapid.IntRange(1, 60).Draw(t, "events")); seq++ {
		now := map[stock.ReservationID]stock.Reservation{}
		var ids []stock.ReservationID
		for n := range seq {
			id := idOf(n)
			if r, ok := h.held[seq-1][id]; ok {
				now[id], ids = r, append(ids, id)
			}
		}
		e := Event{Event: event.Event{Cell: cell, Position: stock.Position{Epoch: 1, Seq: seq}}, Store: InLedger}
		kind := rapid.SampledFrom([]event.Kind{
			event.KindReserve, event.KindReserve, event.KindConfirm, event.KindRelease, event.KindExpire, event.KindRevoke, event.KindExtend, event.KindDeduct, event.KindAdjust,
		}).Draw(t, "kind")
		switch {
		case kind == event.KindAdjust:
			e.Kind = kind
		case kind == event.KindReserve, kind == event.KindDeduct, len(ids) == 0:
			id := idOf(seq)
			r := stock.Reservation{ID: id, Cell: cell, State: stock.StateHeld, User: rapid.Int64Range(0, 3).Draw(t, "user"), Quantity: rapid.Int64Range(1, 3).Draw(t, "units"), Seq: seq}
			if e.Kind = event.KindDeduct; kind != event.KindDeduct {
				e.Kind, now[id] = event.KindReserve, r
			}
			e.Reservation, e.User, e.Quantity = id, r.User, r.Quantity
		default:
			r := now[rapid.SampledFrom(ids).Draw(t, "of")]
			e.Kind, e.Reservation, e.User, e.Quantity = kind, r.ID, r.User, r.Quantity
			if r.Seq = seq; kind == event.KindExtend {
				now[r.ID] = r
			} else {
				delete(now, r.ID)
			}
		}
		h.events, h.held = append(h.events, e), append(h.held, now)
	}
	return h
}

// scan condenses the cell as a scan does that reads its counters at one position, and each record at some later one. Records that
// have changed in between are not tampered with: whether they are right, their events tell.
func (h *lifetime) scan(t *rapid.T, tamper func(*stock.Reservation) bool) *holds {
	at := rapid.IntRange(0, len(h.events)).Draw(t, "scanned at")
	c := &seen{}
	c.Position = stock.Position{Epoch: 1, Seq: uint64(at)}
	p := newPartition(&sweep{}, 0)
	c.holds = &holds{at: c.Position}
	ids := map[stock.ReservationID]bool{}
	for _, held := range h.held[at:] {
		for id := range held {
			ids[id] = true
		}
	}
	for n := range uint64(len(h.events)) + 1 {
		id := idOf(n)
		if !ids[id] {
			continue
		}
		read := rapid.IntRange(at, len(h.events)).Draw(t, "read at")
		r, held := h.held[read][id]
		if !held {
			r = h.ended(id, read)
		}
		if r.Seq > uint64(at) || r.Seq > 0 && tamper(&r) {
			p.condense(c, &r)
		}
	}
	return c.holds
}

// ended returns a reservation as an event up to a seq has ended it; with seq 0, if it did not exist yet.
func (h *lifetime) ended(id stock.ReservationID, upTo int) (r stock.Reservation) {
	for _, e := range h.events[:upTo] {
		if e.Reservation == id && !e.Kind.Adjusts() {
			r = stock.Reservation{ID: id, Cell: e.Cell, State: e.Kind.State(), User: e.User, Quantity: e.Quantity, Seq: e.Seq}
		}
	}
	return r
}

// read notes the rows of MySQL at some position.
func (h *lifetime) read(t *rapid.T, to *holds, tamper func(*stock.Reservation) bool) {
	at := rapid.IntRange(0, len(h.events)).Draw(t, "rows at")
	b := ledger.Brief{Position: stock.Position{Epoch: 1, Seq: uint64(at)}}
	for _, r := range h.held[at] {
		if tamper(&r) {
			b.Rows.Add(r.ID, r.User, r.Quantity, r.Seq)
		}
	}
	to.read(&b)
}

// Whenever a scan reads counters and records, and whenever MySQL is read, condensed reservations agree, and they do not if one of
// them is changed, is missing, or is one too many.
func TestCondensedReservationsAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		as := func(*stock.Reservation) bool { return true }
		victim := rapid.Uint64Range(1, uint64(len(h.events))).Draw(t, "victim")
		touched, moved := false, false
		tamper := func(r *stock.Reservation) bool {
			if binary.BigEndian.Uint64(r.ID[:]) != victim || r.State != stock.StateHeld {
				return true
			}
			fault := rapid.SampledFrom([]string{"user", "units", "gone", "seq"}).Draw(t, "fault")
			touched, moved = touched || fault != "seq", moved || fault == "seq"
			switch fault {
			case "seq":
				r.Seq--
			case "user":
				r.User++
			case "units":
				r.Quantity++
			case "gone":
				return false
			}
			return true
		}
		inRedis, inRows := as, as
		switch rapid.SampledFrom([]string{"none", "record", "row"}).Draw(t, "tampered") {
		case "record":
			inRedis = tamper
		case "row":
			inRows = tamper
		}
		to := h.scan(t, inRedis)
		h.read(t, to, inRows)
		even, odd := to.even(h.events)
		if !touched && !moved && (!even || len(odd) > 0) {
			t.Fatalf("nothing was changed: even %v, odd %v: %+v", even, odd, to)
		}
		seen := touched || moved && to.at == to.rowsAt && len(to.later) == 0 // seqs are compared where nothing lies between
		if seen && even {
			t.Fatalf("reservation %d was changed, and they agree: %+v", victim, to)
		}
	})
}

// Events that lie between the two positions must all be there: of a missing one nobody knows what it did.
func TestMissingEventsAreNotEven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		as := func(*stock.Reservation) bool { return true }
		to := h.scan(t, as)
		h.read(t, to, as)
		first, last := min(to.at.Seq, to.rowsAt.Seq), max(to.at.Seq, to.rowsAt.Seq)
		if first == last {
			return
		}
		missing := int(rapid.Uint64Range(first, last-1).Draw(t, "missing")) // the event of that index has the next seq
		if even, _ := to.even(slices.Delete(slices.Clone(h.events), missing, missing+1)); even {
			t.Fatalf("the event of seq %d is missing between %v and %v, and they agree", missing+1, to.at, to.rowsAt)
		}
	})
}

// What is known in part is not condensed: records for which there was no room, other epochs, rows that were not read.
func TestFirstNeedsAllThatIsCondensed(t *testing.T) {
	t.Parallel()
	at := func(epoch uint32, seq uint64) stock.Position { return stock.Position{Epoch: epoch, Seq: seq} }
	f := func(name string, h *holds, want uint64) { // a seq, or 0: none
		t.Helper()
		if from, ok := h.first(); ok != (want > 0) || ok && from != at(2, want) {
			t.Errorf("%s: %v, %v", name, from, ok)
		}
	}
	f("redis is ahead", &holds{at: at(2, 9), rowsAt: at(2, 5), known: true}, 5)
	f("mysql is ahead", &holds{at: at(2, 5), rowsAt: at(2, 9), known: true}, 5)
	f("none", nil, 0)
	f("not read", &holds{at: at(2, 9), rowsAt: at(2, 5)}, 0)
	f("crowded", &holds{at: at(2, 9), rowsAt: at(2, 5), known: true, crowded: true}, 0)
	f("another epoch", &holds{at: at(2, 9), rowsAt: at(1, 5), known: true}, 0)
	sum := ledger.HeldSum{}
	sum.Add(idOf(1), 1, 1, 3)
	same := holds{at: at(2, 9), rowsAt: at(2, 9), known: true, redis: sum, rows: sum}
	if !same.same() {
		t.Error("equal sums at one position differ")
	}
	for name, change := range map[string]func(*holds){
		"another position": func(h *holds) { h.rowsAt.Seq++ },
		"a later record":   func(h *holds) { h.later = map[stock.ReservationID]change{idOf(2): {}} },
		"crowded":          func(h *holds) { h.crowded = true },
		"not read":         func(h *holds) { h.known = false },
		"another sum":      func(h *holds) { h.rows.Add(idOf(2), 1, 1, 4) },
	} {
		other := same
		if change(&other); other.same() {
			t.Errorf("%s: they are the same", name)
		}
	}
}

// A sweep condenses as many cells, and as many records that change meanwhile, as it has room for. All others are compared one by one.
func TestCondensedIsBounded(t *testing.T) {
	t.Parallel()
	p := newPartition(&sweep{}, 0)
	p.condensed.Store(holdsMax - 1)
	held := stock.Reservation{ID: idOf(1), State: stock.StateHeld, User: 1, Quantity: 1, Seq: 1}
	var first, second seen
	first.Position, second.Position = stock.Position{Epoch: 1, Seq: 5}, stock.Position{Epoch: 1, Seq: 5}
	if !p.condense(&first, &held) || p.condense(&second, &held) || p.condense(&second, &held) || !p.condense(&first, &held) {
		t.Errorf("the last cell with room: %v, the one behind it: %v", first.holds != nil, second.holds != nil)
	}
	p.changed.Store(laterMax - 1)
	for n := range uint64(3) {
		changed := stock.Reservation{ID: idOf(10 + n), State: stock.StateHeld, Quantity: 1, Seq: 6 + n}
		p.condense(&first, &changed)
	}
	if len(first.holds.later) != 1 || !first.holds.crowded {
		t.Errorf("%d records that have changed, crowded %v", len(first.holds.later), first.holds.crowded)
	}
	for name, w := range map[string]*sweep{"a whole comparison": {whole: true}, "cells by name": {asked: map[int][]stock.Cell{}}} {
		var c seen
		if newPartition(w, 0).condense(&c, &held) {
			t.Errorf("%s condenses", name)
		}
	}
}
