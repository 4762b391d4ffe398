package stock

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/catalog/internal/task"
	"sluice/core/client"
	"sluice/core/db"
	"sluice/core/place"
)

// Edge is what stock asks of the edge. *client.Client is one.
type Edge interface {
	LoadSKU(ctx context.Context, l client.Load) (client.Cell, error)
	AdjustSKU(ctx context.Context, a client.Adjustment) (client.Cell, error)
	ShowSKU(ctx context.Context, sku int64, sale uint32) (client.Cell, error)
	Stocks(ctx context.Context, skus []int64, sale uint32) ([]client.Stock, error)
}

const (
	selectStep = "SELECT " + skuColumns + ", s.pending, s.pending_key, COALESCE(s.pending_at < NOW(3) - INTERVAL 12 HOUR, FALSE), " +
		"s.giver <> ? AND COALESCE(s.given_until > NOW(3), FALSE) FROM stock_skus__ AS s WHERE s.sku_id = ? FOR UPDATE"
	claimStep = "UPDATE stock_skus__ SET giver = ?, given_until = NOW(3) + INTERVAL 45 SECOND WHERE sku_id = ?"
	leaveStep = "UPDATE stock_skus__ SET giver = '', given_until = NULL WHERE sku_id = ? AND giver = ?"
	beginStep = "UPDATE stock_skus__ SET pending = ?, pending_key = ?, pending_at = NOW(3) WHERE sku_id = ? AND pending_key = ?"
	endStep   = "UPDATE stock_skus__ SET given = given + ?, pending = 0, pending_key = '', pending_at = NULL WHERE sku_id = ? AND pending_key = ?"
	noteShort = "UPDATE stock_skus__ SET short = ? WHERE sku_id = ? AND short <> ?"
)

// taskCell is the kind of the tasks that give cells what they have to have. It is never renamed.
const taskCell = "give_cells"

const (
	// shortAgain is the time until a cell is asked again whose surplus is held or sold, and busyAgain until one at which somebody else works.
	shortAgain = time.Minute
	busyAgain  = time.Second
	// askMax is the time that the edge gets for a step. It is well within the time for which nobody else asks: a request that is late must not
	// come after the step that took the place of its own.
	askMax = 15 * time.Second
	// leaveMax is the time to note that a process is not at a cell any more.
	leaveMax = 10 * time.Second
	// turnOf is how many SKUs that do not answer take the time of an attempt.
	turnOf = 4
)

// cells are the data of such a task.
type cells struct {
	SKUs []int64 `json:"skus"`
}

// supply adds a task that gives the cells of locked SKUs what they have to have.
func (c *change) supply(ctx context.Context, skus []int64) error {
	return task.Of(owner, c.at.Suffix).Add(ctx, c.tx, taskCell, "", cells{skus}, 0)
}

// giveCells is such a task. Several of them may be about one SKU.
func (s *Stock) giveCells(ctx context.Context, t task.Task) error {
	var of cells
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	var faults []error // a cell that is shut keeps back its own only
	var again time.Duration
	first := (t.Attempt - 1) * turnOf % max(1, len(of.SKUs)) // those that are shut take the time: others begin at the next attempt
	for _, sku := range slices.Concat(of.SKUs[first:], of.SKUs[:first]) {
		after, err := s.give(ctx, t.Place, sku)
		if err != nil {
			faults = append(faults, fmt.Errorf("SKU %d: %w", sku, err))
		}
		if after > 0 && (again == 0 || after < again) {
			again = after
		}
	}
	if err := errors.Join(faults...); err != nil || again == 0 {
		return err
	}
	_, err := t.Place.Write(ctx, "stock", func(tx *sql.Tx) error { return t.Later(ctx, tx, again) })
	return err
}

// next is a step of a cell: it is written down before the edge is asked, so that whoever goes on asks under the same key.
type next struct {
	delta int64
	key   string
	fresh bool // nobody has asked yet
	busy  bool // somebody else asks
}

var errTooLate = errors.New("the outcome of a step is unknown for more than 12 hours, and the edge may have forgotten its key: see docs/warehouses.md")

// give brings a cell to its target, step by step. Again is when to look again: the cell has more than that, which is held or sold, or somebody
// else is at it.
func (s *Stock) give(ctx context.Context, at place.Place, sku int64) (again time.Duration, err error) {
	me, leaves := rand.Text(), true
	defer func() {
		if !leaves {
			return
		}
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveMax) // a process that stops leaves it too
		defer cancel()
		err = errors.Join(err, s.write(leaving, at, Caller{}, func(c *change) error {
			_, err := c.put(leaving, "leave a cell", leaveStep, sku, me)
			return err
		}))
	}()
	for {
		n, err := s.nextStep(ctx, at, sku, me)
		switch {
		case err != nil:
			return 0, err
		case n.busy:
			return busyAgain, nil
		case n.delta == 0:
			return 0, nil
		}
		err = s.ask(ctx, sku, n)
		var refused *client.Problem
		switch {
		case err == nil:
			err = s.end(ctx, at, sku, n, n.delta)
		case !errors.As(err, &refused):
			leaves = n.delta > 0 // a request that takes units may be late: nobody asks before it is out of the way
			return 0, err
		case refused.Code == client.CodeSoldOut:
			again, err = s.takeBack(ctx, at, sku, n)
		case n.fresh: // refused, and nobody has asked before: nothing was done
			return 0, errors.Join(err, s.end(ctx, at, sku, n, 0))
		default:
			return 0, err
		}
		if err != nil || again > 0 {
			return again, err
		}
	}
}

// nextStep finds the step whose outcome nobody knows, or begins the next one. At the target it has no delta.
func (s *Stock) nextStep(ctx context.Context, at place.Place, sku int64, me string) (n next, err error) {
	err = s.write(ctx, at, Caller{}, func(c *change) error {
		var late bool
		is, err := scanStock(func(into ...any) error {
			return c.in.QueryRowContext(ctx, selectStep, me, sku).Scan(append(into, &n.delta, &n.key, &late, &n.busy)...)
		})
		switch {
		case err != nil:
			return db.WriteError("lock SKU", err)
		case n.busy:
			return nil
		case late:
			return task.Permanent(errTooLate)
		case n.delta == 0:
			n = next{delta: is.target() - is.Given, key: rand.Text(), fresh: true}
			if n.delta >= 0 && is.Short != 0 {
				if _, err := c.put(ctx, "note what is short", noteShort, 0, sku, 0); err != nil {
					return err
				}
			}
			if n.delta == 0 {
				return nil
			}
			if _, err := c.put(ctx, "begin a step", beginStep, n.delta, n.key, sku, ""); err != nil {
				return err
			}
		}
		_, err = c.put(ctx, "claim a cell", claimStep, me, sku)
		return err
	})
	return n, err
}

// ask asks the edge for a step. If there is no cell yet, it makes an empty one first: so there is one step, under one key.
func (s *Stock) ask(ctx context.Context, sku int64, n next) error {
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	const reason = "what is in warehouses"
	adjust := func() error {
		_, err := s.edge.AdjustSKU(ctx, client.Adjustment{SKU: sku, Delta: n.delta, Reason: reason, Key: n.key})
		return err
	}
	err := adjust()
	if !refusedAs(err, client.CodeNotLoaded) || n.delta < 0 {
		return err
	}
	if _, err := s.edge.LoadSKU(ctx, client.Load{SKU: sku, Reason: reason, Key: n.key}); err != nil && !refusedAs(err, client.CodeWrongState) {
		return err
	}
	return adjust()
}

func refusedAs(err error, code client.Code) bool {
	var refused *client.Problem
	return errors.As(err, &refused) && refused.Code == code
}

// end notes what a step has given.
func (s *Stock) end(ctx context.Context, at place.Place, sku int64, n next, given int64) error {
	return s.write(ctx, at, Caller{}, func(c *change) error {
		_, err := c.put(ctx, "end a step", endStep, given, sku, n.key)
		return err
	})
}

// takeBack takes what is free of a cell that has too much, by another step in place of the one that was refused. What is held or sold, it
// notes as short: the cell is asked again later.
func (s *Stock) takeBack(ctx context.Context, at place.Place, sku int64, n next) (again time.Duration, err error) {
	cell, err := s.edge.ShowSKU(ctx, sku, 0)
	if err != nil {
		return 0, err
	}
	free := min(cell.Avail, -n.delta)
	if free <= 0 {
		again = shortAgain
	}
	return again, s.write(ctx, at, Caller{}, func(c *change) error {
		if free > 0 {
			_, err := c.put(ctx, "begin another step", beginStep, -free, rand.Text(), sku, n.key)
			return err
		}
		if _, err := c.put(ctx, "end a step", endStep, 0, sku, n.key); err != nil {
			return err
		}
		_, err := c.put(ctx, "note what is short", noteShort, -n.delta, sku, -n.delta)
		return err
	})
}
