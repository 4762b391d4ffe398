// Package compare sells in several ways, in turns on one machine, and tells how they compare: the rate of purchases, how
// long one takes, what it costs in CPU, and whether a store has sold what it did not have.
package compare

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"sluice/bench/baseline"
	"sluice/bench/report"
)

// Config says what is compared, and for how long.
type Config struct {
	Ways   []baseline.Way // the empty handler among them: the rates of the others are divided by its
	For    time.Duration  // of a turn
	Rounds int            // in which each way has a turn
	Tell   func(format string, values ...any)
}

// proofUnits is how many units each way sells to the last one, before anything is measured.
const proofUnits = 1000

// Run compares. If ctx ends, the report has what was measured until then, and the error is that of ctx. A way that is
// wrong or that fails is in the report; Report.Err tells.
func Run(ctx context.Context, p *baseline.Place, cfg Config) (*Report, error) {
	r := &runner{cfg: cfg, report: newReport(&cfg)}
	defer r.close()
	for i := range cfg.Ways {
		w := &cfg.Ways[i]
		cfg.Tell("%s: starting", w.Name)
		shop, err := w.Open(ctx, p)
		if err != nil {
			return r.report, errors.Join(ctx.Err(), fmt.Errorf("%s: %w", w.Name, err))
		}
		r.shops = append(r.shops, shop)
		r.report.Rows = append(r.report.Rows, newRow(w))
	}
	r.report.stampServers(ctx, p)
	for i := range cfg.Ways {
		r.try(ctx, i, r.prove)
		r.try(ctx, i, r.choose)
	}
	for round := range cfg.Rounds {
		for turn := range cfg.Ways { // each round begins with another way
			r.try(ctx, (turn+round)%len(cfg.Ways), func(ctx context.Context, i int) error { return r.measure(ctx, i, round) })
		}
	}
	r.report.sum()
	return r.report, ctx.Err()
}

type runner struct {
	cfg    Config
	report *Report
	shops  []baseline.Shop
	sku    int64
	number atomic.Int64
}

// close closes the shops. What they then say changes no figure.
func (r *runner) close() {
	for i, shop := range r.shops {
		if err := shop.Close(); err != nil {
			r.cfg.Tell("%s: %v", r.cfg.Ways[i].Name, err)
		}
	}
}

// try does a step of a way, unless the run or the way has ended. The first failure ends the way.
func (r *runner) try(ctx context.Context, i int, step func(context.Context, int) error) {
	row := &r.report.Rows[i]
	if ctx.Err() != nil || row.Failure != "" {
		return
	}
	if err := step(ctx, i); err != nil && ctx.Err() == nil {
		row.Failure = err.Error()
		r.cfg.Tell("%s: %v", row.Name, err)
	}
}

// prove sells a few units to many buyers, until each buyer has been refused.
func (r *runner) prove(ctx context.Context, i int) error {
	if r.cfg.Ways[i].Name == baseline.Empty {
		return nil
	}
	row := &r.report.Rows[i]
	t := r.turn(i, slices.Max(r.cfg.Ways[i].Buyers), proofUnits)
	t.untilSoldOut = true
	if err := t.run(ctx); err != nil {
		return err
	}
	row.account(t)
	if !t.refused() {
		return fmt.Errorf("after %v no buyer was told that none of %d units is left", proofMax, proofUnits)
	}
	if row.SoldOut = t.accepted == proofUnits; !row.SoldOut && row.Oversold == 0 {
		row.Lost = max(row.Lost, proofUnits-t.accepted) // buyers were refused while there was a unit
	}
	return nil
}

// choose finds out with how many buyers the way is fastest. It also warms everything up.
func (r *runner) choose(ctx context.Context, i int) error {
	way, row := &r.cfg.Ways[i], &r.report.Rows[i]
	best := 0.0
	for _, buyers := range way.Buyers {
		t := r.turn(i, buyers, r.units(way))
		t.length = max(r.cfg.For/4, shortest)
		if err := t.run(ctx); err != nil {
			return err
		}
		row.account(t)
		if rate := t.perSecond(); rate > best {
			best, row.Buyers = rate, buyers
		}
	}
	r.cfg.Tell("%s: %d buyers at once", row.Name, row.Buyers)
	return nil
}

// measure gives a way its turn of a round.
func (r *runner) measure(ctx context.Context, i, round int) error {
	row := &r.report.Rows[i]
	t := r.turn(i, row.Buyers, r.units(&r.cfg.Ways[i]))
	t.length = r.cfg.For
	if err := t.run(ctx); err != nil {
		return err
	}
	row.account(t)
	if t.accepted == 0 {
		return errors.New("a turn sold nothing")
	}
	if t.refused() {
		return fmt.Errorf("a turn sold all of its %d units", t.units)
	}
	row.add(t, round)
	r.cfg.Tell("round %d of %d, %s: %.0f/s", round+1, r.cfg.Rounds, row.Name, t.perSecond())
	return nil
}

const (
	shortest    = 200 * time.Millisecond // turn that tells anything
	endless     = 1_000_000_000          // units
	rowsPerTurn = 20_000                 // units per second of a turn, where each is a row: more than any way with rows sells
)

// units is how many units a turn of a way puts on sale.
func (r *runner) units(w *baseline.Way) int64 {
	if !w.Rows {
		return endless
	}
	return rowsPerTurn * int64((r.cfg.For+warmUp(r.cfg.For)).Seconds()+1)
}

func (r *runner) turn(i, buyers int, units int64) *turn {
	r.sku++
	return &turn{
		shop: r.shops[i], sku: firstSKU + r.sku, units: units, buyers: buyers, number: &r.number,
		latency: report.NewHistogram(), self: os.Getpid(),
	}
}

// firstSKU is above those that a shop needs for itself.
const firstSKU = 1000
