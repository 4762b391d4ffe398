package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/core/reconcile"
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

// Run is called by kong.
func (s *StockShow) Run(ctx context.Context, c *Console) error {
	cells := make([]stock.Cell, len(s.SKUs))
	for i, sku := range s.SKUs {
		cells[i] = cellOf(sku, s.Sale)
	}
	o, err := s.Open(ctx)
	if err != nil {
		return err
	}
	found, err := reconcile.Follow(ctx, o.Stock, o.Books(), cells, s.Wait)
	if err := errors.Join(err, o.Close()); err != nil {
		return err
	}
	err = s.show(c, found)
	for _, f := range found {
		if !f.Known() {
			err = errors.Join(err, notFound(fmt.Errorf("SKU %d is not loaded", f.Cell.SKU)))
		}
	}
	return err
}

func (s *StockShow) show(c *Console, found []reconcile.Comparison) error {
	if s.json() {
		list := make([]show.Compared, len(found))
		for i := range found {
			list[i] = found[i].Show()
		}
		return c.JSON(list)
	}
	for i := range found {
		if i > 0 {
			c.Printf("\n")
		}
		printComparison(c, &found[i])
	}
	return nil
}

func printComparison(c *Console, f *reconcile.Comparison) {
	title := cellTitle(show.ID(f.Cell.SKU), show.ID(f.Cell.Pool))
	if why := f.Shut(); why != stock.VerdictOK {
		c.Printf("%s: %s\n", title, c.paint(red, shutText(why)))
	}
	c.Printf("%s: %s\n", title, verdictText(c, f))
	if !f.Known() {
		return
	}
	if f.Class == reconcile.Drift {
		c.Printf("sluice reconcile --sku %d says how they differ, and proves it\n", f.Cell.SKU)
	}
	t := c.table()
	t.row("", "REDIS", "MYSQL", "")
	for _, line := range []struct {
		name string
		of   func(*reconcile.State) string
	}{
		{"avail", func(p *reconcile.State) string { return number(p.Avail) }},
		{"held", func(p *reconcile.State) string { return number(p.Held) }},
		{"sold", func(p *reconcile.State) string { return number(p.Sold) }},
		{"total", func(p *reconcile.State) string { return number(p.Total) }},
		{"epoch.seq", func(p *reconcile.State) string { return fmt.Sprintf("%d.%d", p.Epoch, p.Seq) }},
	} {
		redis, mysql, mark := "-", "-", ""
		if p := f.InRedis(); p != nil {
			redis = line.of(p)
		}
		if p := f.InMySQL(); p != nil {
			mysql = line.of(p)
		}
		if redis != mysql {
			mark = "differs"
		}
		t.row(line.name, redis, mysql, mark)
	}
	t.flush()
	if now := f.Redis; now != nil {
		c.Printf("limit %s; hold %s; %s; acknowledge %v; flags: %s\n",
			limitText(now.Limit), holdText(now), windowText(now.OpensAtMS, now.ClosesAtMS), now.Ack, flagsText(now))
	}
	if m := f.MySQL; m != nil {
		c.Printf("in MySQL: safe stock %s, warehouse %d, last updated %s\n", number(m.SafeStock), m.WarehouseID, timeText(int64(m.UpdatedAt)))
	}
}

// verdictText describes the result of a comparison.
func verdictText(c *Console, f *reconcile.Comparison) painted {
	switch f.Status {
	case reconcile.StatusInSync:
		return c.paint(green, "Redis and MySQL agree")
	case reconcile.StatusBehind:
		if f.Behind > 0 {
			return c.paint(yellow, fmt.Sprintf("MySQL is %s events behind", number(f.Behind)))
		}
		return c.paint(yellow, "MySQL is behind by an epoch")
	case reconcile.StatusAhead:
		return c.paint(red, "MySQL knows events that Redis has lost")
	case reconcile.StatusDrift:
		return c.paint(red, "Redis and MySQL differ at the same position")
	case reconcile.StatusMissing:
	}
	switch {
	case !f.Known():
		return c.paint(red, "not loaded")
	case f.MySQL == nil:
		return c.paint(yellow, "not in MySQL yet")
	}
	return c.paint(red, "in MySQL, and not in Redis")
}
