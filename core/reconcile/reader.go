package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/show"
	"sluice/core/stock"
)

// followPause is the pause between two looks at stock that MySQL has not caught up with.
const followPause = 50 * time.Millisecond

// Redis reads cells. stock.Store implements it.
type Redis interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
}

// MySQL reads projections of cells. ledger.Reader implements it.
type MySQL interface {
	Cell(ctx context.Context, cell stock.Cell) (*ledger.Stock, error)
}

// Comparison is a cell in both stores. A store that does not know the cell has nil.
type Comparison struct {
	Difference

	Cell  stock.Cell
	Redis *stock.CellState
	MySQL *ledger.Stock
}

// Read compares cells, in their order.
func Read(ctx context.Context, redis Redis, mysql MySQL, cells []stock.Cell) ([]Comparison, error) {
	found := make([]Comparison, len(cells))
	for i, cell := range cells {
		row, err := mysql.Cell(ctx, cell)
		if err != nil {
			return nil, fmt.Errorf("read MySQL: %w", err)
		}
		found[i] = Comparison{Cell: cell, MySQL: row}
	}
	states, _, err := redis.Cells(ctx, cells)
	if err != nil {
		return nil, fmt.Errorf("read Redis: %w", err)
	}
	for i := range states {
		f := &found[i]
		if states[i].Loaded {
			f.Redis = &states[i]
		}
		f.Difference = Compare(f.InRedis(), f.InMySQL())
	}
	return found, nil
}

// Follow compares cells until MySQL has caught up with all of them, or the wait is over.
func Follow(ctx context.Context, redis Redis, mysql MySQL, cells []stock.Cell, wait time.Duration) ([]Comparison, error) {
	for end := time.Now().Add(wait); ; {
		found, err := Read(ctx, redis, mysql, cells)
		inFlight := slices.ContainsFunc(found, func(c Comparison) bool { return c.Class == InFlight })
		if err != nil || !inFlight || !time.Now().Before(end) {
			return found, err
		}
		if !lifecycle.Pause(ctx, followPause) {
			return nil, ctx.Err() // the caller has ended the wait
		}
	}
}

// Known reports whether any store knows the cell.
func (c *Comparison) Known() bool { return c.Redis != nil || c.MySQL != nil }

// Shut says why nothing may happen to the cell, or returns VerdictOK.
func (c *Comparison) Shut() stock.Verdict {
	if c.Redis == nil {
		return stock.VerdictOK
	}
	return c.Redis.Shut()
}

// InRedis returns the cell's position and balances in Redis.
func (c *Comparison) InRedis() *State {
	if c.Redis == nil {
		return nil
	}
	return &State{c.Redis.Position, c.Redis.Balances}
}

// InMySQL returns the cell's position and balances in MySQL.
func (c *Comparison) InMySQL() *State {
	if c.MySQL == nil {
		return nil
	}
	m := c.MySQL
	return &State{m.Position(), stock.Balances{Avail: m.Avail, Held: m.Held, Sold: m.Sold, Total: m.Total}}
}

// Show returns the comparison in the form of its JSON.
func (c *Comparison) Show() show.Compared {
	v := show.Compared{
		SKU: show.ID(c.Cell.SKU), Sale: show.ID(c.Cell.Pool), Status: string(c.Status), Behind: c.Behind,
	}
	if why := c.Shut(); why != stock.VerdictOK {
		v.Shut = why.String()
	}
	if c.Redis != nil {
		cell := show.CellOf(c.Redis)
		v.Redis = &cell
	}
	if m := c.MySQL; m != nil {
		v.MySQL = &show.Projection{
			Epoch: m.Epoch, Seq: m.Seq, Avail: m.Avail, Held: m.Held, Sold: m.Sold, Total: m.Total,
			SafeStock: m.SafeStock, WarehouseID: m.WarehouseID, LastUpdated: m.UpdatedAt,
		}
	}
	return v
}
