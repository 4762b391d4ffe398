package stocktest

import (
	"context"
	"fmt"

	"sluice/core/event"
	"sluice/core/stock"
)

// moment is an event and the time of its vector.
type moment struct {
	event.Event
	timeMS int64
}

// readHistory reads the events of a cell from the outbox, in the order of the outbox.
func readHistory(ctx context.Context, s Store, cell stock.Cell) ([]moment, error) {
	const page = 1000
	var history []moment
	partition := cell.Partition(s.Partitions())
	for after := ""; ; {
		entries, err := s.OutboxAfter(ctx, partition, after, page)
		if err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		for _, entry := range entries {
			after = entry.ID
			batch, err := event.Decode(entry.Data)
			if err != nil {
				return nil, fmt.Errorf("entry %s: %w", entry.ID, err)
			}
			for _, e := range batch.Events {
				if e.Cell == cell {
					history = append(history, moment{e, batch.TimeMS})
				}
			}
		}
		if len(entries) < page {
			return history, nil
		}
	}
}

// Audit judges a cell by its events, which must all be in the outbox still: seq without a gap,
// balances that follow from each other and never oversell, reservations that go only ways that exist
// and expire only when due, users within the limit, and at the end the cell and the records that the
// store has.
func Audit(ctx context.Context, s Store, cell stock.Cell) error {
	history, err := readHistory(ctx, s, cell)
	if err != nil {
		return err
	}
	b := newBooks(cell)
	for _, m := range history {
		if err := b.enter(m); err != nil {
			return fmt.Errorf("%v, %v event with seq %d: %w", cell, m.Kind, m.Seq, err)
		}
	}
	return b.compare(ctx, s)
}

// books has the sums of the events of one cell.
type books struct {
	state   stock.CellState
	records map[stock.ReservationID]stock.Reservation
	owned   map[int64]int64 // counted units per user
}

func newBooks(cell stock.Cell) *books {
	return &books{
		state:   stock.CellState{Cell: cell},
		records: map[stock.ReservationID]stock.Reservation{},
		owned:   map[int64]int64{},
	}
}

func (b *books) enter(m moment) error {
	e, before := m.Event, b.records[m.Reservation]
	if want := b.state.Seq + 1; e.Seq != want || e.Epoch != 1 {
		return fmt.Errorf("position %+v, want seq %d of epoch 1", e.Position, want)
	}
	b.state.Position = e.Position
	record := recordOf(e)
	record.Counted = before.Counted

	switch e.Kind {
	case event.KindReserve, event.KindDeduct:
		if err := b.enterTake(m); err != nil {
			return err
		}
		record.Counted = b.state.Limit != 0
	case event.KindConfirm, event.KindRelease, event.KindExpire:
		if err := b.enterSettle(m); err != nil {
			return err
		}
		record.Counted = before.Counted && e.Kind == event.KindConfirm
	case event.KindExtend:
		if err := b.enterExtend(m); err != nil {
			return err
		}
		record.ExtendedMS = before.ExtendedMS + e.DeadlineMS - before.DeadlineMS
	case event.KindReturn:
		if e.Change.Reason == "" || before.State == stock.StateReturned {
			return fmt.Errorf("%v: reason %q, before %v", e.Reservation, e.Change.Reason, before.State)
		}
		b.owned[m.User] = max(0, b.owned[m.User]-m.Quantity)
		b.state.Sold -= m.Quantity
		b.state.Avail += m.Quantity
	case event.KindAdjust, event.KindTransferOut, event.KindTransferIn:
		b.state.Loaded = true
		b.state.Avail += e.Change.Delta
		b.state.Total += e.Change.Delta
		b.state.Settings = e.Change.Settings
	}
	b.records[e.Reservation] = record
	if balancesOf(e) != b.state.Balances || !b.state.Sound() {
		return fmt.Errorf("balances %+v, want %+v", balancesOf(e), b.state.Balances)
	}
	return nil
}

// enterTake enters a reserve or deduct. Its id may have been used before: the record of a finished
// reservation is forgotten one day.
func (b *books) enterTake(m moment) error {
	if b.records[m.Reservation].State == stock.StateHeld {
		return fmt.Errorf("%v is held already", m.Reservation)
	}
	s := &b.state
	if m.timeMS < s.OpensAtMS || s.ClosesAtMS != 0 && m.timeMS >= s.ClosesAtMS || s.Frozen {
		return fmt.Errorf("at %d the cell does not sell: %+v", m.timeMS, s.Settings)
	}
	if s.Limit != 0 {
		b.owned[m.User] += m.Quantity
		if b.owned[m.User] > s.Limit {
			return fmt.Errorf("user %d has %d units, the limit is %d", m.User, b.owned[m.User], s.Limit)
		}
	}
	s.Avail -= m.Quantity
	if m.Kind == event.KindDeduct {
		s.Sold += m.Quantity
		return nil
	}
	s.Held += m.Quantity
	if want := m.timeMS + s.Hold.Milliseconds(); m.DeadlineMS != want {
		return fmt.Errorf("deadline %d, want %d", m.DeadlineMS, want)
	}
	return nil
}

// enterExtend enters a deadline that moved.
func (b *books) enterExtend(m moment) error {
	r := b.records[m.Reservation]
	first := r.DeadlineMS - r.ExtendedMS
	if r.State != stock.StateHeld || m.timeMS >= r.DeadlineMS {
		return fmt.Errorf("%v is %v at %d, with the deadline at %d", r.ID, r.State, m.timeMS, r.DeadlineMS)
	}
	if m.DeadlineMS <= r.DeadlineMS || m.DeadlineMS > first+b.state.ExtendMax.Milliseconds() {
		return fmt.Errorf("deadline %d, after %d and at first %d", m.DeadlineMS, r.DeadlineMS, first)
	}
	if m.User != r.User || m.Quantity != r.Quantity || m.Fingerprint != r.Fingerprint {
		return fmt.Errorf("event %+v is not about the reservation %+v", m.Event, r)
	}
	return nil
}

func (b *books) enterSettle(m moment) error {
	r := b.records[m.Reservation]
	if r.State != stock.StateHeld {
		return fmt.Errorf("%v is %v", r.ID, r.State)
	}
	if due := m.timeMS >= r.DeadlineMS; due != (m.Kind == event.KindExpire) {
		return fmt.Errorf("at %d, with the deadline at %d", m.timeMS, r.DeadlineMS)
	}
	if m.User != r.User || m.Quantity != r.Quantity || m.Fingerprint != r.Fingerprint || m.DeadlineMS != r.DeadlineMS {
		return fmt.Errorf("event %+v is not about the reservation %+v", m.Event, r)
	}
	b.state.Held -= r.Quantity
	if m.Kind == event.KindConfirm {
		b.state.Sold += r.Quantity
		return nil
	}
	b.state.Avail += r.Quantity
	if r.Counted {
		b.owned[r.User] = max(0, b.owned[r.User]-r.Quantity)
	}
	return nil
}

// compare compares the books with the store. Records may have been forgotten.
func (b *books) compare(ctx context.Context, s Store) error {
	states, _, err := s.Cells(ctx, []stock.Cell{b.state.Cell})
	if err != nil {
		return fmt.Errorf("read cell: %w", err)
	}
	got := states[0]
	got.Fenced, got.Breached = false, false
	if got != b.state {
		return fmt.Errorf("the cell is %+v, its events add up to %+v", got, b.state)
	}
	var ids []stock.ReservationID
	for id := range b.records {
		ids = append(ids, id)
	}
	found, _, err := s.Reservations(ctx, ids)
	if err != nil {
		return fmt.Errorf("read reservations: %w", err)
	}
	for i, r := range found {
		if want := b.records[ids[i]]; r != want && (r.State != stock.StateNone || want.State == stock.StateHeld) {
			return fmt.Errorf("the record is %+v, its events add up to %+v", r, want)
		}
	}
	return nil
}
