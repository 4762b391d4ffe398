package evidence

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

const (
	// unwrittenMax is how many events of lost tails may be in Kafka and not yet in MySQL. If there are more,
	// persisters have to bring them to MySQL first.
	unwrittenMax = 200_000
	// tailCells is the number of cells whose tails one statement reads, and tailFirst the number of events of each.
	// Most tails have fewer.
	tailCells = 200
	tailFirst = 100
	// tailPage is how many events of a longer tail one further statement reads.
	tailPage = 10_000
)

// After implements redisstock.Tails. It fixes the tail of Kafka before it reads MySQL, as Highest does.
func (e *Evidence) After(ctx context.Context, after map[stock.Cell]stock.Position, yield func(stock.Cell, redisstock.Tail) error) error {
	unwritten := map[stock.Cell][]ledger.Recorded{}
	n := 0
	err := e.Tail(ctx, func(b *event.Batch) error {
		for i := range b.Events {
			if at, wanted := after[b.Events[i].Cell]; wanted && at.Less(b.Events[i].Position) {
				unwritten[b.Events[i].Cell] = append(unwritten[b.Events[i].Cell], ledger.Recorded{Event: b.Events[i], TimeMS: b.TimeMS})
				n++
			}
		}
		if n > unwrittenMax {
			return fmt.Errorf("more than %d events are in Kafka and not in MySQL yet: wait for the persisters", unwrittenMax)
		}
		return nil
	})
	if err != nil {
		return err
	}
	why := map[stock.Cell]string{}
	err = e.books.LetterPositions(ctx, func(cell stock.Cell, position stock.Position) error {
		if at, wanted := after[cell]; wanted && at.Less(position) {
			why[cell] = fmt.Sprintf("its event at epoch %d seq %d is a dead letter: sluice deadletter list", position.Epoch, position.Seq)
		}
		return nil
	})
	if err != nil {
		return err
	}
	snapshot, err := e.books.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	checkpoints, err := snapshot.Checkpoints(ctx, slices.Collect(maps.Keys(after)))
	if err != nil {
		return err
	}
	for cell, c := range checkpoints {
		if after[cell].Less(c.Position) {
			why[cell] = "its copy in Redis is older than what has left MySQL for files: bring a newer one, or empty the partition and run sluice restore"
		}
	}
	for some := range slices.Chunk(slices.Collect(maps.Keys(after)), tailCells) {
		begin, first := map[stock.Cell]stock.Position{}, map[stock.Cell][]ledger.Recorded{}
		for _, cell := range some {
			begin[cell] = after[cell]
		}
		err := snapshot.EventsAfter(ctx, begin, tailFirst, func(e *ledger.Recorded) { first[e.Cell] = append(first[e.Cell], *e) })
		if err != nil {
			return err
		}
		for _, cell := range some {
			t := tail{ctx, snapshot, cell, after[cell], inOrder(first[cell]), inOrder(unwritten[cell])}
			ends, err := t.ends()
			if err == nil {
				err = yield(cell, redisstock.Tail{Ends: ends, Each: t.each, Why: why[cell]})
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// tail has the events that MySQL and Kafka know of a cell after a position.
type tail struct {
	ctx       context.Context //nolint:containedctx // of one call of After
	snapshot  *ledger.Snapshot
	cell      stock.Cell
	after     stock.Position
	first     []ledger.Recorded // the first ones of the ledger, in order
	unwritten []ledger.Recorded // in order
}

// whole reports whether the ledger has no more events than the first ones.
func (t *tail) whole() bool { return len(t.first) < tailFirst }

// inOrder sorts events by their positions, each once.
func inOrder(events []ledger.Recorded) []ledger.Recorded {
	slices.SortStableFunc(events, func(a, b ledger.Recorded) int { return a.Compare(b.Position) })
	return slices.CompactFunc(events, func(a, b ledger.Recorded) bool { return a.Position == b.Position })
}

// ends returns the positions at which rebases in the tail have ended an epoch.
func (t *tail) ends() (ends []stock.Position, err error) {
	note := func(e *ledger.Recorded) {
		if e.Kind == event.KindRebase {
			ends = append(ends, e.Change.From)
		}
	}
	for i := range t.unwritten {
		note(&t.unwritten[i])
	}
	for i := range t.first {
		note(&t.first[i])
	}
	if t.whole() {
		return ends, nil
	}
	err = t.snapshot.Rebases(t.ctx, t.cell, t.first[len(t.first)-1].Position, note)
	return ends, err
}

// each yields the events in order. If both stores have an event, it yields the ledger's.
func (t *tail) each(yield func(*event.Event, int64) error) error {
	from, rest := stock.Position{Epoch: t.after.Epoch, Seq: t.after.Seq + 1}, t.unwritten
	before := func(at stock.Position) error {
		for len(rest) > 0 && rest[0].Less(at) {
			e := &rest[0]
			rest = rest[1:]
			if err := yield(&e.Event, e.TimeMS); err != nil {
				return err
			}
		}
		if len(rest) > 0 && rest[0].Position == at {
			rest = rest[1:]
		}
		return nil
	}
	take := func(e *ledger.Recorded) error {
		from = stock.Position{Epoch: e.Epoch, Seq: e.Seq + 1}
		if err := before(e.Position); err != nil {
			return err
		}
		return yield(&e.Event, e.TimeMS)
	}
	for i := range t.first {
		if err := take(&t.first[i]); err != nil {
			return err
		}
	}
	for n := tailPage; ; {
		if n < tailPage || t.whole() {
			return before(stock.Position{Epoch: 1<<32 - 1, Seq: stock.SeqMax + 1})
		}
		n = 0
		var failed error
		err := t.snapshot.Events(t.ctx, t.cell, from, tailPage, func(e *ledger.Recorded) {
			if n++; failed == nil {
				failed = take(e)
			}
		})
		if err == nil {
			err = failed
		}
		if err != nil {
			return err
		}
	}
}
