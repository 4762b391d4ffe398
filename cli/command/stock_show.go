package command

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/show"
	"sluice/core/stock"
)

// StockShow shows stock in Redis and in MySQL, side by side.
type StockShow struct {
	Stores `embed:""`
	Output `embed:""`

	SKUs []int64       `arg:"" name:"sku" between:"1-9223372036854775807" help:"SKUs to show."`
	Sale uint32        `placeholder:"ID" between:"1-4294967295" help:"Show the stock of a sale, not the normal one."`
	Wait time.Duration `placeholder:"DURATION" between:"0s-1h" help:"How long to wait for MySQL to catch up. After that it is shown as behind."`
}

// Help is called by kong.
func (StockShow) Help() string {
	return `Shows each SKU as Redis has it, which decides, and as the persister has brought it to MySQL.

Examples:
  sluice stock show 1001
  sluice stock show 1001 1002 --sale 7 -o json
  sluice stock show 1001 --wait 5s

If a SKU is shut, fenced or breached, that comes first. The status says how the two compare:
  in_sync  the same position in the SKU's history, the same balances
  behind   MySQL has not got the last events yet
  ahead    MySQL knows events that Redis has lost
  drift    the same position, other balances
  missing  one of them does not know the SKU`
}

// position is a place in a cell's history, and the balances there.
type position struct {
	Epoch uint32 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Avail int64  `json:"avail"`
	Held  int64  `json:"held"`
	Sold  int64  `json:"sold"`
	Total int64  `json:"total"`
}

type mysqlStock struct {
	position
	SafeStock   int64     `json:"safe_stock"`
	WarehouseID int64     `json:"warehouse_id"`
	LastUpdated time.Time `json:"last_updated"`
}

// comparison is the stock of one cell in both places; nil where it is not known.
type comparison struct {
	SKU    show.ID     `json:"sku_id"`
	Sale   show.ID     `json:"sale_id,omitzero"`
	Shut   string      `json:"shut,omitempty"` // fenced or breached: nothing happens to it until it is repaired
	Redis  *show.Cell  `json:"redis"`
	MySQL  *mysqlStock `json:"mysql"`
	Status string      `json:"status"`
	Behind int64       `json:"events_behind,omitempty"`

	state stock.CellState // what Redis is made from
}

// Run is called by kong.
func (s *StockShow) Run(ctx context.Context, c *Console) error {
	o, err := s.open(ctx)
	if err != nil {
		return err
	}
	found, err := s.follow(ctx, o)
	if err := errors.Join(err, o.close()); err != nil {
		return err
	}
	if s.json() {
		err = c.JSON(found)
	} else {
		for i, f := range found {
			if i > 0 {
				c.Printf("\n")
			}
			f.print(c)
		}
	}
	for _, f := range found {
		if f.Redis == nil && f.MySQL == nil {
			err = errors.Join(err, notFound(fmt.Errorf("SKU %d is not loaded", f.SKU)))
		}
	}
	return err
}

// follow compares until MySQL has what Redis has, or the wait is over.
func (s *StockShow) follow(ctx context.Context, o *opened) ([]comparison, error) {
	const pause = 50 * time.Millisecond
	for end := time.Now().Add(s.Wait); ; {
		found, err := s.compare(ctx, o)
		if err != nil || !awaited(found) || !time.Now().Before(end) {
			return found, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err() // the user's own doing
		}
	}
}

func (s *StockShow) compare(ctx context.Context, o *opened) ([]comparison, error) {
	cells := make([]stock.Cell, len(s.SKUs))
	for i, sku := range s.SKUs {
		if sku < 1 {
			return nil, usage(fmt.Errorf("SKU %d: want 1 or more", sku))
		}
		cells[i] = cellOf(sku, s.Sale)
	}
	// MySQL first: what it has by then, Redis has too, unless Redis lost it.
	found := make([]comparison, len(cells))
	for i, cell := range cells {
		row, err := readInventory(ctx, o.db, cell)
		if err != nil {
			return nil, err
		}
		found[i] = comparison{SKU: show.ID(cell.SKU), Sale: show.ID(cell.Pool), MySQL: row}
	}
	states, _, err := o.stock.Cells(ctx, cells)
	if err != nil {
		return nil, fmt.Errorf("read Redis: %w", err)
	}
	for i := range states {
		if states[i].Loaded {
			cell := show.CellOf(&states[i])
			found[i].Redis, found[i].state = &cell, states[i]
			if why := states[i].Shut(); why != stock.VerdictOK {
				found[i].Shut = why.String()
			}
		}
		found[i].judge()
	}
	return found, nil
}

// readInventory gives nil if MySQL does not know the cell.
func readInventory(ctx context.Context, db *sql.DB, cell stock.Cell) (*mysqlStock, error) {
	var row mysqlStock
	err := db.QueryRowContext(ctx, `SELECT epoch, seq, available_stock, reserved_stock, sold_stock, total_stock, safe_stock,
		warehouse_id, last_updated FROM product_inventories
		WHERE sku_id = ? AND pool = ? AND bucket = ?`, cell.SKU, cell.Pool, cell.Bucket).
		Scan(&row.Epoch, &row.Seq, &row.Avail, &row.Held, &row.Sold, &row.Total, &row.SafeStock, &row.WarehouseID, &row.LastUpdated)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read MySQL: %w", err)
	}
	return &row, nil
}

// awaited tells whether MySQL may still get what it lacks.
func awaited(found []comparison) bool {
	return slices.ContainsFunc(found, func(f comparison) bool {
		return f.Status == "behind" || f.Redis != nil && f.MySQL == nil
	})
}

func (f *comparison) judge() {
	switch {
	case f.Redis == nil || f.MySQL == nil:
		f.Status = "missing"
	case redisPosition(f.Redis) == f.MySQL.position:
		f.Status = "in_sync"
	case redisPosition(f.Redis).mark() == f.MySQL.mark():
		f.Status = "drift"
	case redisPosition(f.Redis).mark().Less(f.MySQL.mark()):
		f.Status = "ahead"
	default:
		f.Status = "behind"
		if f.Redis.Epoch == f.MySQL.Epoch {
			f.Behind = int64(f.Redis.Seq - f.MySQL.Seq)
		}
	}
}

func (p position) mark() stock.Mark { return stock.Mark{Epoch: p.Epoch, Seq: p.Seq} }

func redisPosition(c *show.Cell) position {
	return position{c.Epoch, c.Seq, c.Avail, c.Held, c.Sold, c.Total}
}

func (f *comparison) print(c *Console) {
	if f.Shut != "" {
		c.Printf("%s: %s\n", cellTitle(f.SKU, f.Sale), c.paint(red, shutText(f.state.Shut())))
	}
	c.Printf("%s: %s\n", cellTitle(f.SKU, f.Sale), f.verdict(c))
	if f.Redis == nil && f.MySQL == nil {
		return
	}
	t := c.table()
	t.row("", "REDIS", "MYSQL", "")
	for _, line := range []struct {
		name string
		of   func(position) string
	}{
		{"avail", func(p position) string { return number(p.Avail) }},
		{"held", func(p position) string { return number(p.Held) }},
		{"sold", func(p position) string { return number(p.Sold) }},
		{"total", func(p position) string { return number(p.Total) }},
		{"epoch.seq", func(p position) string { return fmt.Sprintf("%d.%d", p.Epoch, p.Seq) }},
	} {
		redis, mysql, mark := "-", "-", ""
		if f.Redis != nil {
			redis = line.of(redisPosition(f.Redis))
		}
		if f.MySQL != nil {
			mysql = line.of(f.MySQL.position)
		}
		if redis != mysql {
			mark = "differs"
		}
		t.row(line.name, redis, mysql, mark)
	}
	t.flush()
	if f.Redis != nil {
		now := &f.state
		c.Printf("limit %s; hold %v; %s; acknowledge %v; flags: %s\n",
			limitText(now.Limit), now.Hold, windowText(now.OpensAtMS, now.ClosesAtMS), now.Ack, flagsText(now))
	}
	if f.MySQL != nil {
		c.Printf("in MySQL: safe stock %s, warehouse %d, last updated %s\n", number(f.MySQL.SafeStock), f.MySQL.WarehouseID, timeText(f.MySQL.LastUpdated.UnixMilli()))
	}
}

// verdict is the status in words.
func (f *comparison) verdict(c *Console) painted {
	switch f.Status {
	case "in_sync":
		return c.paint(green, "Redis and MySQL agree")
	case "behind":
		if f.Behind > 0 {
			return c.paint(yellow, fmt.Sprintf("MySQL is %s events behind", number(f.Behind)))
		}
		return c.paint(yellow, "MySQL is behind by an epoch")
	case "ahead":
		return c.paint(red, "MySQL knows events that Redis has lost")
	case "drift":
		return c.paint(red, "Redis and MySQL differ at the same position")
	}
	switch {
	case f.Redis == nil && f.MySQL == nil:
		return c.paint(red, "not loaded")
	case f.MySQL == nil:
		return c.paint(yellow, "not in MySQL yet")
	}
	return c.paint(red, "in MySQL, and not in Redis")
}
