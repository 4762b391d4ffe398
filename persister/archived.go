package persister

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/stock"
)

const (
	// oldAfter is the age from which on an event may be archived while it arrives again. It is less than the least age at which
	// rows leave, by more than clocks may differ.
	oldAfter = 12 * time.Hour

	// An archiver holds the same rows while it deletes.
	lockMarks = "SELECT COUNT(*) FROM applied_marks WHERE "
)

// withoutArchived leaves out rows whose events have left the ledger for a file: they arrive again. One that is later than the
// checkpoint above it cannot be among those in the file. It is another event in the place of one of them.
func (w *writer) withoutArchived(ctx context.Context, rows []*row) (left, forks []*row, err error) {
	var cells, old []stock.Cell
	until := time.Now().Add(-oldAfter).UnixMilli() // compared with Redis time, to half a day
	for _, r := range rows {                       // sorted
		if len(cells) == 0 || cells[len(cells)-1] != r.Cell {
			cells = append(cells, r.Cell)
		}
		if r.timeMS < until && (len(old) == 0 || old[len(old)-1] != r.Cell) {
			old = append(old, r.Cell)
		}
	}
	for some := range slices.Chunk(old, rowsPerStatement) {
		query := string(ledger.AppendCells([]byte(lockMarks), some)) + " LOCK IN SHARE MODE"
		var n int
		if err := w.tx.QueryRowContext(ctx, query).Scan(&n); err != nil {
			return nil, nil, fmt.Errorf("lock applied marks: %w", err)
		}
	}
	archived, err := ledger.CheckpointsIn(ctx, w.tx, cells, "")
	if err != nil {
		return nil, nil, err
	}
	if len(archived) == 0 {
		return rows, nil, nil
	}
	var again []*row // the ledger may still have them, but the rows of their reservations may have left
	for _, r := range rows {
		switch at, ok := archived[r.Cell]; {
		case !ok || at.Less(r.Position):
			left = append(left, r)
		case r.Position != at.Position && r.timeMS > at.TimeMS:
			forks = append(forks, r)
		default:
			again = append(again, r)
		}
	}
	forks, err = w.findForks(ctx, again, forks)
	return left, forks, err
}
