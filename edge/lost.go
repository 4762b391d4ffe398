package edge

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/stock"
	"sluice/edge/cells"
)

const (
	lostEvery  = time.Second // between two looks at whether data were vetted anew
	lostAtOnce = 256         // cells that one call reads
	lostShown  = 20          // cells of a partition that the log names
)

// lostStore is the part of the store that a lostWatch reads.
type lostStore interface {
	Marks() []stock.Mark
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	CellCounts(ctx context.Context) ([]int64, error)
}

// lostWatch finds the cells that Redis alone had, and lost. A vetting and a restore compare Redis with MySQL and Kafka, which know
// nothing of such a cell. But this edge may have seen it. So whenever the data of a partition were vetted anew, the watch
// looks there for the cells that the edge remembers. It tells MySQL of those that are gone, and reports have them from there.
type lostWatch struct {
	store   lostStore
	seen    *cells.Cache
	counted func(partition int) int64 // cells of a partition in Redis a moment ago; -1: not known
	books   *ledger.Reader
	log     *slog.Logger

	looked []uint64 // by partition: the nonce of the data that the watch has looked at
	most   []int64  // by partition: the most cells that these data had
}

func (n *Node) newLostWatch() *lostWatch {
	return &lostWatch{
		store: n.heard(), seen: n.cells, counted: n.known.Counted, books: ledger.New(n.db, nil), log: n.log,
		looked: make([]uint64, n.store.Partitions()), most: make([]int64, n.store.Partitions()),
	}
}

// run watches until ctx ends.
func (w *lostWatch) run(ctx context.Context) {
	lifecycle.Repeat(ctx, w.log, "look for cells that redis has lost", lostEvery, w.look)
}

// look looks at the partitions whose data are new. If it cannot, it does so the next time.
func (w *lostWatch) look(ctx context.Context) error {
	var fresh []int
	marks := w.store.Marks()
	for p, mark := range marks {
		if mark.Nonce == w.looked[p] {
			w.most[p] = max(w.most[p], w.counted(p))
		} else if mark.Nonce != 0 {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	counts, err := w.store.CellCounts(ctx)
	if err != nil {
		return err
	}
	var failed stock.PartitionErrors
	for _, p := range fresh {
		named, err := w.compare(ctx, p)
		if err != nil {
			failed.Add(p, err)
			continue
		}
		if nameless := w.most[p] - counts[p] - int64(named); nameless > 0 {
			w.log.ErrorContext(ctx, "redis has lost cells that it alone had, and this edge remembers none of these: load the SKUs of your shop again",
				"partition", p, "cells", nameless, "named", named)
		}
		w.looked[p], w.most[p] = marks[p].Nonce, counts[p]
	}
	return failed.Err()
}

// compare tells MySQL of the remembered cells of a partition that are gone, and returns how many they are.
func (w *lostWatch) compare(ctx context.Context, partition int) (named int, err error) {
	var lost []ledger.LostCell
	for some := range slices.Chunk(w.seen.Seen(partition), lostAtOnce) {
		names := make([]stock.Cell, len(some))
		for i := range some {
			names[i] = some[i].Cell
		}
		states, _, err := w.store.Cells(ctx, names)
		if err != nil {
			return 0, err
		}
		for i := range states {
			if s := &some[i]; !states[i].Loaded {
				lost = append(lost, ledger.LostCell{Cell: s.Cell, Position: s.Position, Balances: s.Balances})
			}
		}
	}
	if len(lost) == 0 {
		return 0, nil
	}
	if err := w.books.Lose(ctx, lost); err != nil {
		return 0, err
	}
	for i := range lost[:min(len(lost), lostShown)] {
		l := &lost[i]
		w.log.ErrorContext(ctx, "redis has lost a cell that it alone had: see what was sold of it, and load the SKU again", "cell", l.Cell.String(),
			"epoch", l.Epoch, "seq", l.Seq, "avail", l.Avail, "held", l.Held, "sold", l.Sold, "units_at_most", l.Total)
	}
	if more := len(lost) - lostShown; more > 0 {
		w.log.ErrorContext(ctx, "redis has lost more cells that it alone had: sluice reconcile names them", "partition", partition, "cells", more)
	}
	return len(lost), nil
}
