package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sluice/core/ledger"
	"sluice/core/stock"
)

// read reads the events of one batch, cell by cell. It returns the cells that are left for the next batches.
func (a *archiver) read(ctx context.Context, due []target) (some []*stretch, rest []target, err error) {
	if err := a.Step("read"); err != nil {
		return nil, nil, err
	}
	s, err := a.books.Snapshot(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	for room := BatchEvents; len(due) > 0 && room > 0; {
		t := due[0]
		one, more, err := a.stretch(ctx, s, t, room)
		var fault *FaultError
		switch {
		case errors.As(err, &fault):
			a.skip(fault)
			due = due[1:]
			continue
		case err != nil:
			return nil, nil, err
		}
		if one != nil {
			some = append(some, one)
			room -= len(one.events)
		}
		if more && one != nil {
			break // the cell goes on with the next batch
		}
		due = due[1:]
	}
	return some, due, nil
}

// stretch reads the old events of a cell, at most room of them, and reports whether there are more. It returns nil if
// no event follows from the checkpoint.
func (a *archiver) stretch(ctx context.Context, s *ledger.Snapshot, t target, room int) (one *stretch, more bool, err error) {
	one = &stretch{base: ledger.Checkpoint{Cell: t.cell}}
	bases, err := s.Checkpoints(ctx, []stock.Cell{t.cell})
	if err != nil {
		return nil, false, err
	}
	if base, ok := bases[t.cell]; ok {
		one.base = base
		err := s.Between(ctx, t.cell, stock.Position{}, base.Position, eventsMax, func(e *ledger.Recorded) { one.kept = append(one.kept, *e) })
		if err != nil {
			return nil, false, err
		}
	}
	read := 0
	young := false
	err = s.Between(ctx, t.cell, one.base.Position, t.mark, room, func(e *ledger.Recorded) {
		read++
		if young = young || e.TimeMS >= a.Before.UnixMilli(); !young {
			one.events = append(one.events, *e)
		}
	})
	if err != nil {
		return nil, false, err
	}
	if err := one.readBuyers(ctx, s); err != nil {
		return nil, false, err
	}
	if one.fold, err = NewFold(one.base, one.kept, one.buyers); err != nil {
		return nil, false, err
	}
	for i := range one.events {
		if err := one.fold.Apply(&one.events[i]); err != nil {
			return nil, false, err
		}
	}
	to := one.fold.Checkpoint().Position
	one.events = slices.DeleteFunc(one.events, func(e ledger.Recorded) bool { return to.Less(e.Position) })
	if to == one.base.Position || one.base.Seq == 0 && len(one.events) == 0 {
		if !young && read > 0 {
			return nil, false, &FaultError{t.cell, fmt.Sprintf("the ledger lacks the event after %d.%d, though its applied mark is %d.%d", one.base.Epoch, one.base.Seq, t.mark.Epoch, t.mark.Seq)}
		}
		return nil, false, nil
	}
	if fault := one.rows(ctx, s); fault != nil {
		return nil, false, fault
	}
	return one, read == room && !young, nil
}

// readBuyers reads how much the users of the events have bought by reservations that have left.
func (one *stretch) readBuyers(ctx context.Context, s *ledger.Snapshot) error {
	if one.base.Seq == 0 {
		return nil
	}
	users := map[int64]bool{}
	for i := range one.events {
		if e := &one.events[i]; !e.Kind.Adjusts() {
			users[e.User] = true
		}
	}
	one.buyers = map[int64]int64{}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(users)), rowsAtOnce) {
		if err := s.ArchivedBuyers(ctx, one.base.Cell, some, func(user, units int64) { one.buyers[user] = units }); err != nil {
			return err
		}
	}
	return nil
}

// rows compares the rows of reservations with the last event about each. If a row is later than that event, the
// reservation has got further events.
func (one *stretch) rows(ctx context.Context, s *ledger.Snapshot) error {
	ids := slices.SortedFunc(maps.Keys(one.fold.last), stock.ReservationID.Compare)
	seen := 0
	var fault error
	err := s.Reservations(ctx, ids, func(r *ledger.Row) {
		seen++
		last := one.fold.last[r.ID]
		switch {
		case last.Less(r.Position()):
			delete(one.fold.ended, r.ID) // its row stays
		case r.Position() != last.Position || r.State != last.Kind.State() || r.Quantity != last.Quantity || r.Cell != last.Cell:
			fault = one.fold.fault("the row of reservation %v is not what its last event at %d.%d says: see sluice reconcile", r.ID, last.Epoch, last.Seq)
		}
	})
	if err != nil {
		return err
	}
	if fault == nil && seen != len(ids) {
		fault = one.fold.fault("%d reservations have no row: see sluice reconcile", len(ids)-seen)
	}
	return fault
}
