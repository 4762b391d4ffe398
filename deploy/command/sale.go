package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/deploy/command/stockfile"
)

// SaleCreate makes a sale and gives it its stock.
type SaleCreate struct {
	Writer `embed:""`
	Output `embed:""`

	ID             uint32        `arg:"" name:"sale" help:"Sale id, 1 to 4294967295."`
	Name           string        `required:"" placeholder:"TEXT" help:"What it is called."`
	Item           []string      `placeholder:"SKU:UNITS" help:"A SKU and the units it gets; can be repeated."`
	ItemsFile      string        `placeholder:"PATH" help:"CSV or JSON lines with sku_id and quantity, instead of --item."`
	Limit          int64         `placeholder:"UNITS" help:"Units per user and SKU. Defaults to none."`
	Hold           time.Duration `default:"15m" help:"Hold time of reservations."`
	Ack            string        `default:"default" placeholder:"LEVEL" help:"Acknowledge level: default, redis, replica or log."`
	ShopperDeducts bool          `help:"Shoppers may deduct, without a reservation."`
}

// Help is called by kong.
func (SaleCreate) Help() string {
	return `Makes a sale that is not open yet, and moves its stock from the SKUs' normal stock. The command can be
repeated, with the same values, until it succeeds: what is done already is not done again.

Examples:
  sluice sale create 7 --name "summer" --item 1001:5000 --item 1002:300 --limit 1
  sluice sale create 8 --name "clearance" --items-file clearance.csv --hold 5m --ack log`
}

// Run is called by kong.
func (s *SaleCreate) Run(ctx context.Context, c *Console) error {
	plan, err := s.plan()
	if err != nil {
		return usage(err)
	}
	return runSale(ctx, c, &s.Writer, s.Output, func(desk *sale.Desk) (sale.Sale, error) { return desk.Create(ctx, plan) })
}

func (s *SaleCreate) plan() (sale.Plan, error) {
	ack, err := stock.ParseAck(s.Ack)
	if err != nil {
		return sale.Plan{}, err
	}
	plan := sale.Plan{ID: s.ID, Name: s.Name, Limit: s.Limit, Hold: s.Hold, Ack: ack, ShopperDeducts: s.ShopperDeducts}
	for _, item := range s.Item {
		sku, units, _ := strings.Cut(item, ":")
		a, err1 := strconv.ParseInt(sku, 10, 64)
		n, err2 := strconv.ParseInt(units, 10, 64)
		if err1 != nil || err2 != nil {
			return sale.Plan{}, fmt.Errorf("item %q: want SKU:UNITS, such as 1001:5000", item)
		}
		plan.Items = append(plan.Items, sale.Allotment{SKU: a, Quantity: n})
	}
	if s.ItemsFile != "" {
		if plan.Items, err = readItems(s.ItemsFile, plan.Items); err != nil {
			return sale.Plan{}, fmt.Errorf("%s: %w", s.ItemsFile, err)
		}
	}
	return plan, plan.Validate()
}

// readItems reads a file of stock, of which only SKUs and quantities count here. Any wrong line is an
// error: half a sale is none.
func readItems(path string, items []sale.Allotment) (_ []sale.Allotment, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("open items: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	lines, err := stockfile.NewReader(file)
	if err != nil {
		return nil, err
	}
	for {
		line, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return items, nil
		}
		if err != nil {
			return nil, err
		}
		if line.Settings != (stock.Settings{Hold: stock.HoldDefault}) {
			return nil, fmt.Errorf("line %d: a sale's settings are given once, by flags", line.Number)
		}
		if items = append(items, sale.Allotment{SKU: line.SKU, Quantity: line.Quantity}); len(items) > sale.ItemsMax {
			return nil, fmt.Errorf("more than %d items", sale.ItemsMax)
		}
	}
}

// SaleShow shows a sale and its stock.
type SaleShow struct {
	Stores `embed:""`
	Output `embed:""`

	ID uint32 `arg:"" name:"sale" help:"Sale to show."`
}

// Help is called by kong.
func (SaleShow) Help() string {
	return `Example:
  sluice sale show 7 -o json`
}

// Run is called by kong.
func (s *SaleShow) Run(ctx context.Context, c *Console) error {
	o, err := s.open(ctx)
	if err != nil {
		return err
	}
	found, err := sale.NewDesk(o.stock, o.db, s.Stock.Retention).Show(ctx, s.ID)
	return showSale(c, s.Output, &found, errors.Join(err, o.close()))
}

// SaleOpen schedules a sale.
type SaleOpen struct {
	Writer `embed:""`
	Output `embed:""`

	ID  uint32        `arg:"" name:"sale" help:"Sale to open."`
	At  time.Time     `placeholder:"TIME" help:"When it opens, as 2026-01-31T18:00:00Z. Defaults to two seconds from now, the least that edges need to learn of its SKUs."`
	To  time.Time     `xor:"end" placeholder:"TIME" help:"When it closes. Defaults to never."`
	For time.Duration `xor:"end" placeholder:"DURATION" help:"How long it stays open, instead of --to. Needs --at."`
}

// Help is called by kong.
func (SaleOpen) Help() string {
	return `Times are judged by Redis' clock. An open sale keeps its opening; its closing can be changed.

Examples:
  sluice sale open 7
  sluice sale open 7 --at 2026-01-31T18:00:00Z --for 2h
  sluice sale open 7 --to 2026-01-31T19:30:00Z`
}

// Run is called by kong.
func (s *SaleOpen) Run(ctx context.Context, c *Console) error {
	closes := s.To
	if s.For != 0 {
		if s.At.IsZero() {
			return usage(errors.New("--for needs --at"))
		}
		closes = s.At.Add(s.For)
	}
	return runSale(ctx, c, &s.Writer, s.Output, func(desk *sale.Desk) (sale.Sale, error) { return desk.Open(ctx, s.ID, sale.Call{}, s.At, closes) })
}

// SaleClose ends a sale.
type SaleClose struct {
	Writer `embed:""`
	Output `embed:""`

	ID     uint32    `arg:"" name:"sale" help:"Sale to close."`
	At     time.Time `xor:"when" placeholder:"TIME" help:"When it closes, after it opens. Defaults to now."`
	Return bool      `xor:"when" help:"Bring units that were not sold back to normal stock. Units that are held come back by repeating this once they are settled."`
}

// Help is called by kong.
func (SaleClose) Help() string {
	return `What is held when a sale closes stays held, and can be confirmed.

Examples:
  sluice sale close 7
  sluice sale close 7 --return
  sluice sale close 7 --at 2026-01-31T19:30:00Z`
}

// Run is called by kong.
func (s *SaleClose) Run(ctx context.Context, c *Console) error {
	return runSale(ctx, c, &s.Writer, s.Output, func(desk *sale.Desk) (sale.Sale, error) {
		closed, err := desk.Close(ctx, s.ID, sale.Call{}, s.At)
		if err != nil || !s.Return {
			return closed, err
		}
		return desk.Return(ctx, s.ID)
	})
}

func runSale(ctx context.Context, c *Console, w *Writer, out Output, do func(*sale.Desk) (sale.Sale, error)) error {
	o, err := w.open(ctx, c)
	if err != nil {
		return err
	}
	s, err := do(sale.NewDesk(o.stock, o.db, w.Stock.Retention))
	return showSale(c, out, &s, errors.Join(err, o.close()))
}

func showSale(c *Console, out Output, s *sale.Sale, err error) error {
	switch {
	case errors.Is(err, sale.ErrNotFound), errors.Is(err, sale.ErrNotLoaded):
		return notFound(err)
	case errors.Is(err, stock.ErrUnknown), errors.Is(err, stock.ErrInTransit):
		return fmt.Errorf("%w\nRepeat the command: what is done already is not done again", err)
	case errors.Is(err, sale.ErrPlan), errors.Is(err, sale.ErrWindow):
		return usage(err)
	case errors.Is(err, sale.ErrShort), errors.Is(err, sale.ErrOtherPlan), errors.Is(err, sale.ErrNotReady),
		errors.Is(err, sale.ErrNotClosed):
		return refused(err)
	case err != nil:
		return err
	}
	if out.json() {
		return c.JSON(show.SaleOf(s))
	}
	printSale(c, s)
	return nil
}

func printSale(c *Console, s *sale.Sale) {
	c.Printf("sale %d, %s: %s (%s)\n", s.ID, s.Name, s.Phase(s.NowMS), windowText(s.OpensAtMS, s.ClosesAtMS))
	deducts := ""
	if s.ShopperDeducts {
		deducts = "; shoppers may deduct"
	}
	c.Printf("limit %s; hold %v; acknowledge %v%s\n", limitText(s.Limit), s.Hold, s.Ack, deducts)
	t := c.table()
	t.row("SKU", "PLANNED", "MOVED", "AVAIL", "HELD", "SOLD", "NOTES")
	for i, item := range s.Items {
		now := s.Stock[i]
		var notes []string
		if !now.Settled {
			notes = append(notes, "stock is under way: repeat the command that moves it")
		}
		if now.Cell.OpensAtMS != s.OpensAtMS || now.Cell.ClosesAtMS != s.ClosesAtMS {
			notes = append(notes, "window not applied: repeat the command that sets it")
		}
		if now.Cell.Frozen || now.Cell.Fenced || now.Cell.Breached {
			notes = append(notes, flagsText(&now.Cell))
		}
		t.row(item.SKU, number(item.Quantity), number(now.Moved), number(now.Cell.Avail), number(now.Cell.Held),
			number(now.Cell.Sold), strings.Join(notes, "; "))
	}
	t.flush()
}
