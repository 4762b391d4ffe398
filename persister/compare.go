package persister

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/reconcile"
	"sluice/core/reconcile/journal"
	"sluice/core/stock"
)

const (
	compareConns   = 4 // to MySQL
	changesEvery   = time.Second
	changesAtOnce  = 500                    // cells of one look, at the most
	changesFor     = 100 * time.Millisecond // one look takes about so long, because it does not rest before its end
	changesMax     = 20_000                 // cells remembered; the next sweep has the others
	findingsNamed  = 5                      // by one line of the log
	journalTimeout = 30 * time.Second
)

// comparer compares Redis, MySQL and Kafka as long as the persister runs, and writes its findings into MySQL. It looks
// at a cell as soon as its applied mark has moved. One persister of all compares everything, again and again. A
// comparer changes nothing in Redis.
type comparer struct {
	journal *journal.Journal
	sweeper func() *reconcile.Sweeper // a new one: one goroutine uses it
	by      string                    // this persister's name
	within  time.Duration             // a difference is found within this time
	watch   *compareWatch
	log     *slog.Logger
	now     func() time.Time

	compared int64 // cells and reservations of the last sweep that could read everything, whichever persister made it

	mu      sync.Mutex
	touched map[stock.Cell]struct{}
}

func (n *Node) newComparer() *comparer {
	tail := evidence.New(n.reading, evidence.KafkaTail{Brokers: n.cfg.Kafka.Brokers, Topic: n.cfg.Kafka.Topic, Group: n.cfg.Kafka.Group})
	kept := journal.New(n.reading)
	return &comparer{
		journal: kept,
		sweeper: func() *reconcile.Sweeper {
			return &reconcile.Sweeper{Redis: n.store, Books: ledger.New(n.reading, nil), Tail: tail.Tail, Now: n.meters.now, Workers: 1}
		},
		by: comparerName(n.ops.Addr()), within: n.cfg.ReconcileWithin,
		watch: newCompareWatch(kept, n.cfg.ReconcileWithin, n.meters, n.set, n.log), log: n.log, now: n.meters.now,
		touched: map[stock.Cell]struct{}{},
	}
}

// comparerName makes a name for a persister that listens on an address. Copies of one machine have the same host name, so a
// random part tells them apart.
func comparerName(addr string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%.60s %s %.8s", host, addr, rand.Text())
}

// touch notes a cell for a comparison soon.
func (c *comparer) touch(cell stock.Cell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.touched) < changesMax {
		c.touched[cell] = struct{}{}
	}
}

// pick returns some cells that are to be compared, at most so many.
func (c *comparer) pick(most int) (cells []stock.Cell) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cell := range c.touched {
		if len(cells) == most {
			break
		}
		cells = append(cells, cell)
		delete(c.touched, cell)
	}
	return cells
}

// followChanges compares the cells whose mark has moved, until ctx ends.
func (c *comparer) followChanges(ctx context.Context) {
	trouble := lifecycle.NewTrouble(c.log, "compare what has changed")
	s := c.sweeper()
	for most := 1; ; {
		p := newPacer(c.now)
		worked := time.Duration(0)
		s.Rest = func(ctx context.Context, some time.Duration) {
			worked += some
			p.note(ctx, some)
		}
		cells := c.pick(most)
		err := c.lookAt(ctx, s, cells)
		if ctx.Err() != nil {
			return
		}
		trouble.Saw(err)
		most = nextLook(len(cells), most, worked)
		if !lifecycle.Pause(ctx, max(changesEvery, p.owed)) {
			return
		}
	}
}

// nextLook returns how many cells the next look has, after one of some cells that took so long. Few cells may have many reservations.
func nextLook(cells, most int, worked time.Duration) int {
	switch {
	case worked > changesFor:
		return max(1, cells/2)
	case cells == most:
		return min(changesAtOnce, 2*most)
	}
	return most
}

func (c *comparer) lookAt(ctx context.Context, s *reconcile.Sweeper, cells []stock.Cell) error {
	if len(cells) == 0 {
		return nil
	}
	report, err := s.Look(ctx, cells)
	if err != nil {
		return err
	}
	c.watch.changed.Add(len(cells))
	// The next sweep looks again at cells that could not be read now.
	found := slices.DeleteFunc(report.Findings, func(f reconcile.Finding) bool { return f.Type == reconcile.Unverifiable })
	if len(found) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	fresh, err := c.journal.Note(ctx, journal.Stock, found)
	c.tell(fresh)
	return err
}

// sweepAll compares everything again and again until ctx ends.
func (c *comparer) sweepAll(ctx context.Context) {
	trouble := lifecycle.NewTrouble(c.log, "compare the stores")
	s := c.sweeper()
	pause := c.untilNext(ctx)
	for lifecycle.Pause(ctx, pause) {
		begun := c.now()
		p := sweepPacer(c.within, c.compared, c.now)
		s.Rest = p.rest
		s.Progress = func(at reconcile.Progress) { p.saw(at.Cells + at.Reservations) }
		err := c.compareAll(ctx, s)
		if ctx.Err() != nil {
			return
		}
		trouble.Saw(err)
		pause, _ = schedule(c.within, c.now().Sub(begun))
	}
}

// untilNext returns how long the last sweep is enough, and notes how much it has compared.
func (c *comparer) untilNext(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	last, ago, err := c.journal.Last(ctx, journal.Stock)
	if err != nil || last == nil {
		return 0
	}
	c.compared = last.Cells + last.Reservations
	pause, _ := schedule(c.within, time.Duration(last.Seconds*float64(time.Second)))
	return max(0, pause-ago)
}

// compareAll compares everything, and keeps the findings.
func (c *comparer) compareAll(ctx context.Context, s *reconcile.Sweeper) error {
	begun, err := c.journal.Now(ctx)
	if err != nil {
		return err
	}
	report, err := s.Sweep(ctx, reconcile.Scope{})
	if err != nil {
		return err
	}
	if len(report.Summary.Unread) == 0 {
		c.compared = report.Summary.Cells + report.Summary.Reservations
	}
	c.watch.swept(&report.Summary)
	c.log.Debug("compared the stores", "cells", report.Summary.Cells, "verdict", report.Summary.Verdict, "calls", report.Summary.Calls,
		"seconds", (time.Duration(report.Summary.EndedAt-report.Summary.StartedAt) * time.Millisecond).Seconds())
	ctx, cancel := context.WithTimeout(ctx, journalTimeout)
	defer cancel()
	fresh, err := c.journal.Keep(ctx, journal.Stock, c.by, begun, report)
	c.tell(fresh)
	return err
}

// tell logs what was found for the first time.
func (c *comparer) tell(fresh []reconcile.Finding) {
	if len(fresh) == 0 {
		return
	}
	var some []string
	for i := range fresh[:min(len(fresh), findingsNamed)] {
		f := &fresh[i]
		some = append(some, fmt.Sprintf("%s of %v: %d units, %s", f.Type, f.Cell(), f.Units, f.Direction))
	}
	c.log.Error("the stores differ: sluice reconcile has the proof, docs/reconcile.md says what to do",
		"findings", len(fresh), "some", strings.Join(some, "; "))
}
