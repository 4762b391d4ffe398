package reconcile

import (
	"context"

	"sluice/core/ledger"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/tally"
)

// Look compares some cells, such as those that have just changed. It does not read the whole of Redis, and nothing of
// Kafka. So it finds no reservation that MySQL does not know, and it cannot tell that no store has an event. Such a
// cell is unverified, and the next sweep says more.
func (s *Sweeper) Look(ctx context.Context, cells []stock.Cell) (*Report, error) {
	ctx, calls := tally.Count(ctx)
	w := s.begin(Scope{})
	w.quick = true
	w.report.Summary.StartedAt = show.Moment(s.Now().UnixMilli())
	if err := w.pass(ctx, cells); err != nil {
		w.unreadable(InLedger, -1, err)
	} else {
		w.look(ctx)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return w.end(ctx, calls), nil
}

// pass passes the cells that are plainly in sync. The others stay in doubt.
func (w *sweep) pass(ctx context.Context, cells []stock.Cell) error {
	begun := w.Now()
	page := make([]ledger.Brief, 0, len(cells))
	err := w.Books.Moments().Briefs(ctx, cells, func(b *ledger.Brief) error {
		page = append(page, *b)
		return nil
	})
	if err == nil {
		w.compare(ctx, page)
		w.rest(ctx, begun)
	}
	return err
}
