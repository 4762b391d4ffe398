// Package schedule has things done at their times, each once over all processes. At a due time one of them adds a task, in
// the transaction that moves the row of the schedule to this time, so the thing is tried until it is done. While a task of
// the thing waits or is worked at, no other is added. After that, as after an outage, only the last of the missed times
// counts. The time is that of the database.
package schedule

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/place"
)

//go:embed table.sql
var table string

// Table returns the statement that makes the table of an owner. A migration of the owner has it.
func Table(owner string) string { return strings.ReplaceAll(table, "OWNER", owner) }

// Item is a thing that is done again and again.
type Item struct {
	Name  string        // of the kind of its tasks, too
	Every time.Duration // a whole number of seconds
	At    time.Duration // after the beginning of each period: 3 h of 24 h is 03:00 UTC
}

// last is the last due time until now.
func (i Item) last(now time.Time) time.Time {
	return now.Add(-i.At).Truncate(i.Every).Add(i.At)
}

// Check returns an error unless the item has due times.
func (i Item) Check() error {
	if i.Every < time.Second || i.Every%time.Second != 0 || i.At < 0 || i.At >= i.Every {
		return fmt.Errorf("schedule %s: every %v at %v: want whole seconds, and a time within the period", i.Name, i.Every, i.At)
	}
	return nil
}

// lookEvery is how late a due time may be noticed.
const lookEvery = time.Second

// Schedule has the items of an owner. Every process runs it.
type Schedule struct {
	Owner string
	Place place.Place // the same one in all processes
	Items []Item
	Log   *slog.Logger

	added map[string]time.Time // due times that need no statement any more
}

// Run adds tasks until ctx ends. A new item is due at once, for its last due time. The caller has checked the items.
func (s *Schedule) Run(ctx context.Context) {
	lifecycle.Repeat(ctx, s.Log, "look at the schedule of "+s.Owner+" in "+s.Place.Name, lookEvery, func(ctx context.Context) error {
		_, err := s.look(ctx)
		return err
	})
}

// look adds the tasks that are due, and returns how many.
func (s *Schedule) look(ctx context.Context) (added int, err error) {
	var now time.Time
	if err := s.Place.Writer().QueryRowContext(ctx, "SELECT NOW(3)").Scan(&now); err != nil {
		return 0, fmt.Errorf("ask for the time: %w", err)
	}
	var faults []error
	for _, item := range s.Items {
		due := item.last(now)
		if s.added[item.Name].Equal(due) {
			continue
		}
		first, err := s.add(ctx, item, due)
		if errors.Is(err, errWaits) {
			continue
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("schedule %s: %w", item.Name, err))
			continue
		}
		if s.added == nil {
			s.added = map[string]time.Time{}
		}
		s.added[item.Name] = due
		if first {
			added++
		}
	}
	return added, errors.Join(faults...)
}

// errWaits takes the move of a due time back: it stays due.
var errWaits = errors.New("the task of an earlier time is not done yet")

// add adds the task of a due time, unless somebody has added it or that of a later one. The row of the thing is locked first,
// so that two processes do not both find that none waits.
func (s *Schedule) add(ctx context.Context, item Item, due time.Time) (first bool, err error) {
	name := s.Owner + "_schedule" + s.Place.Suffix
	err = db.Write(ctx, s.Place.Writer(), "a due time", func(tx *sql.Tx) error {
		moved, err := tx.ExecContext(ctx, "UPDATE "+name+" SET due_at = ? WHERE name = ? AND due_at < ?", due, item.Name, due) //nolint:gosec // G202: a constant of the program
		if err != nil {
			return db.WriteError("move on", err)
		}
		n, err := moved.RowsAffected()
		if err != nil {
			return err
		}
		if n == 0 {
			_, err := tx.ExecContext(ctx, "INSERT INTO "+name+" (name, due_at) VALUES (?, ?)", item.Name, due) //nolint:gosec // G202: a constant of the program
			if db.Answer(err) == db.AnswerDuplicate {
				return nil
			}
			if err != nil {
				return db.WriteError("begin", err)
			}
		}
		tasks := task.Of(s.Owner, s.Place.Suffix)
		switch waits, err := tasks.Waits(ctx, tx, item.Name); {
		case err != nil:
			return err
		case waits:
			return errWaits
		}
		first = true
		return tasks.Add(ctx, tx, item.Name, due.Format(time.RFC3339), due, 0)
	})
	return first && err == nil, err
}
