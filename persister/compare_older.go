package persister

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/reconcile"
	"sluice/core/reconcile/journal"
)

const (
	olderEvery = 24 * time.Hour
	olderAsk   = time.Minute // whether that is over
)

// passOlder compares the older rows of the ledger once a day until ctx ends, and rests as long as it may.
func (c *comparer) passOlder(ctx context.Context) {
	s := c.sweeper()
	s.Rest = newPacer(c.now).rest
	lifecycle.Repeat(ctx, c.log, "compare older rows of the ledger", olderAsk, func(ctx context.Context) error {
		pass, err := c.journal.Pass(ctx)
		if err == nil && pass == nil {
			pass, err = c.beginPass(ctx)
		}
		for more := true; pass != nil && more && err == nil; {
			more, err = c.passOn(ctx, s, pass)
		}
		if errors.Is(err, journal.ErrOvertaken) { // it has the lease, or had it
			return nil
		}
		return err
	})
}

// beginPass begins a pass if one is due, and returns nil if none is.
func (c *comparer) beginPass(ctx context.Context) (*journal.Pass, error) {
	last, ago, err := c.journal.Last(ctx, journal.Rows)
	if err != nil || last != nil && ago < olderEvery {
		return nil, err
	}
	return c.journal.BeginPass(ctx)
}

// passOn compares the rows of some cells, and keeps the findings and the progress of the pass. It ends a pass that has
// read all rows.
func (c *comparer) passOn(ctx context.Context, s *reconcile.Sweeper, pass *journal.Pass) (more bool, err error) {
	report, last, more, err := s.OlderAfter(ctx, pass.After)
	if err != nil {
		return false, err
	}
	for _, u := range report.Summary.Unread {
		return false, fmt.Errorf("read %s: %s", u.Store, u.Error)
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	if last != pass.After && report.Summary.Cells > 0 {
		fresh, err := c.journal.GoOn(ctx, pass, last, report)
		c.tell(fresh)
		if err != nil {
			return false, err
		}
	}
	if !more {
		return false, c.journal.EndPass(ctx, pass, c.by)
	}
	return true, nil
}
