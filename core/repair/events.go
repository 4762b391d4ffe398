package repair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// The bounds of one step.
const (
	publishedMax = 10_000    // messages that it publishes again
	publishBytes = 16 << 20  // of messages that it publishes at once, and has in memory
	searchedMax  = 1_000_000 // messages that it reads
)

var (
	errEnough   = errors.New("all that is looked for was found")
	errSearched = errors.New("enough was searched")
)

// events publishes messages again that have events which the ledger lacks. Persisters apply them like any other
// message, and the ledger takes each event once.
func (d *Desk) events(ctx context.Context, step *reconcile.RepairStep, e *reconcile.EventsAgain) (string, error) {
	cell := step.Cell()
	partition := cell.Partition(d.Store.Partitions())
	var entries []stock.Entry
	found, total := map[stock.Position]bool{}, uint64(0)
	for _, s := range e.Spans {
		total += s.Last - s.First + 1
	}
	searched, published, bytes := 0, 0, 0
	publish := func() error {
		err := d.Publish(ctx, entries)
		entries, bytes = nil, 0
		return err
	}
	err := d.Kept(ctx, partition, e.SinceMS, func(m *outbox.Message, b *event.Batch) error {
		if searched++; searched > searchedMax {
			return errSearched
		}
		wanted := false
		for i := range b.Events {
			x := &b.Events[i]
			if x.Cell == cell && e.Has(x.Position) && !found[x.Position] {
				found[x.Position], wanted = true, true
			}
		}
		if wanted {
			entries = append(entries, stock.Entry{ID: m.Entry, Partition: b.Partition, Data: m.Value})
			published, bytes = published+1, bytes+len(m.Value)
		}
		if uint64(len(found)) == total || published == publishedMax {
			return errEnough
		}
		if bytes < publishBytes {
			return nil
		}
		return publish()
	})
	more := "Kafka has no more of them"
	switch {
	case errors.Is(err, errSearched):
		more = fmt.Sprintf("no more of them are among the %d messages that Kafka has since %s", searchedMax, clock(show.Moment(e.SinceMS)))
	case err != nil && !errors.Is(err, errEnough):
		return "", err
	}
	if len(found) == 0 {
		return "", refusal(strings.Replace(more, "no more of them", "none of them", 1) + ": bring the rows back from a backup of MySQL, or the messages from a copy of the topic")
	}
	if err := publish(); err != nil {
		return "", err
	}
	if err := d.awaitEvents(ctx, cell, found); err != nil {
		return "", err
	}
	said := fmt.Sprintf("%d of %d events are in the ledger", len(found), total)
	if uint64(len(found)) < total {
		said += "; " + more + ": bring the others back from a backup"
	}
	return said, nil
}

// awaitEvents waits until the ledger has the events.
func (d *Desk) awaitEvents(ctx context.Context, cell stock.Cell, events map[stock.Position]bool) error {
	left := make([]ledger.Place, 0, len(events))
	for at := range events {
		left = append(left, ledger.Place{Cell: cell, At: at})
	}
	for end := time.Now().Add(d.patience()); ; {
		have := 0
		err := d.Books.Moments().EventsOf(ctx, left, func(*ledger.Recorded) { have++ })
		switch {
		case err != nil:
			return err
		case have == len(left):
			d.quiet = false
			return nil
		case !time.Now().Before(end):
			d.quiet = true
			return pending("they are published again, and no persister has applied all of them yet: is one running?")
		}
		if !lifecycle.Pause(ctx, lookPause) {
			return ctx.Err()
		}
	}
}
