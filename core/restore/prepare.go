package restore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/outbox"
	"sluice/core/stock"
)

const (
	// entriesFirst is how many entries of an outbox the first reading takes.
	entriesFirst = 16
	// entriesBytes is how many bytes the next readings take, about. A reading must end within the timeout of a call, also on
	// a busy machine.
	entriesBytes = 1 << 20
)

// prepare waits until MySQL has all known events of the partitions. It leaves out partitions for which nobody can tell.
func (w *run) prepare(ctx context.Context) error {
	for p := range w.plan.Torn {
		if err := w.deliver(ctx, p); err != nil {
			return err
		}
	}
	if err := w.takeOver(ctx); err != nil {
		return err
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	var err error
	if w.cells, err = w.Restore.cells(ctx, w.plan.Partitions); err != nil {
		return err
	}
	if err := w.judgeLetters(ctx); err != nil {
		return err
	}
	for p := range w.plan.Torn {
		if err := w.compare(ctx, p); err != nil {
			return err
		}
	}
	for _, some := range w.cells {
		w.report.CellsAll += int64(len(some))
	}
	return nil
}

// takeOver claims the partitions that somebody has begun to restore and not finished. So one wait for persisters, and one reading
// of all cells, serves all of them.
func (w *run) takeOver(ctx context.Context) error {
	for _, p := range w.plan.Begun {
		err := w.deliver(ctx, p)
		if err == nil {
			_, err = w.clear(ctx, p)
		}
		if err != nil {
			if err := w.outcome(p, err); err != nil {
				return err
			}
			w.plan.Partitions = slices.DeleteFunc(slices.Clone(w.plan.Partitions), func(q int) bool { return q == p })
		}
	}
	return nil
}

// deliver sends the outbox of a partition to Kafka.
func (w *run) deliver(ctx context.Context, p int) error {
	after, most := "", entriesFirst
	for {
		entries, err := w.Store.OutboxAfter(ctx, p, after, most)
		if err == nil {
			err = w.topic.Deliver(ctx, entries)
		}
		if err != nil {
			return fmt.Errorf("bring the outbox of partition %d to kafka: %w", p, err)
		}
		if len(entries) < most {
			return nil
		}
		after, most = entries[len(entries)-1].ID, stock.NextEntries(entries, entriesBytes)
	}
}

// wait waits until persisters have brought everything to MySQL that Kafka has now. Partitions that are open go on meanwhile.
func (w *run) wait(ctx context.Context) error {
	var until []int64
	for {
		unread, err := w.topic.Unread(ctx, w.Vetting.Kafka.Group)
		if err != nil {
			return &config.ServerError{Server: "Kafka", Err: err}
		}
		if until == nil {
			until = ends(unread)
		}
		w.waiting.Store(left(unread, until))
		if w.waiting.Load() == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for persisters to bring %d messages from kafka to mysql: %w", w.waiting.Load(), ctx.Err())
		case <-time.After(waitEvery):
		}
	}
}

func ends(unread []outbox.Range) []int64 {
	until := make([]int64, len(unread))
	for p := range unread {
		until[p] = unread[p].End
	}
	return until
}

// left counts the messages before some offsets that persisters have not read.
func left(unread []outbox.Range, until []int64) (n int64) {
	for p := range unread {
		if p < len(until) {
			n += max(0, min(until[p], unread[p].End)-unread[p].First)
		}
	}
	return n
}

// judgeLetters leaves out partitions with events that happened in Redis and are not in the ledger.
func (w *run) judgeLetters(ctx context.Context) error {
	letters, err := w.books.Unresolved(ctx)
	if err != nil {
		return err
	}
	if unknown := letters[ledger.ReasonVersion]; unknown > 0 {
		return fmt.Errorf("%w: %d dead letters: %s", event.ErrVersion, unknown, evidence.OnVersion)
	}
	refuse := func(c stock.Cell, at stock.Position) error {
		w.refuse(c.Partition(w.Vetting.Stock.Partitions), "the event of %v at epoch %d seq %d is a dead letter, and not in the ledger: "+
			"sluice deadletter list, then replay or resolve it", c, at.Epoch, at.Seq)
		return nil
	}
	if err := w.books.LetterPositions(ctx, refuse); err != nil {
		return err
	}
	return w.books.ForkPositions(ctx, refuse)
}

// compare leaves out a partition that knows more of a cell than the ledger does. Nobody else has these events.
func (w *run) compare(ctx context.Context, p int) error {
	known := make(map[stock.Cell]stock.Position, len(w.cells[p]))
	for _, c := range w.cells[p] {
		known[c.Cell] = c.Position
	}
	for cursor := uint64(0); ; {
		found, next, err := w.Store.ViewCells(ctx, p, cursor)
		if err != nil {
			return fmt.Errorf("read cells of partition %d: %w", p, err)
		}
		for i := range found {
			c := &found[i]
			if c.Unreadable {
				w.refuse(p, "%v has a form that this program does not know: use the program that wrote it", c.Cell)
			}
			if known[c.Cell].Less(c.Position) {
				w.refuse(p, "%v is at epoch %d seq %d there, and MySQL and Kafka know it up to epoch %d seq %d only: what happened since "+
					"would be lost. Bring the data back", c.Cell, c.Epoch, c.Seq, known[c.Cell].Epoch, known[c.Cell].Seq)
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}
