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

	"sluice/core/ids"
	"sluice/core/operate"
	"sluice/core/operate/stockfile"
	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/text"
)

// SaleCreate makes a sale and gives it its stock.
type SaleCreate struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID             uint32        `arg:"" name:"sale" between:"1-4294967295" help:"Sale id, 1 to 4294967295."`
	Name           string        `required:"" placeholder:"TEXT" help:"What it is called."`
	Item           []string      `placeholder:"SKU:UNITS" help:"A SKU and the units it gets; can be repeated."`
	ItemsFile      string        `placeholder:"PATH" help:"CSV or JSON lines with sku_id and quantity, instead of --item."`
	Limit          int64         `placeholder:"UNITS" between:"0-1000000" help:"Units per user and SKU; 0, the default, is none."`
	Hold           time.Duration `default:"15m" help:"Hold time of reservations."`
	Ack            string        `default:"default" placeholder:"LEVEL" help:"Acknowledge level: default, redis, replica or log."`
	ShopperDeducts bool          `help:"Shoppers may deduct, without a reservation."`
	RegisteredOnly bool          `help:"Only users who are registered for the sale may take: see sluice sale register."`
	ExtendMax      time.Duration `placeholder:"DURATION" between:"0s-720h" help:"How far a service may move the deadline of a hold beyond its first one; 0s, the default, is not at all."`
}

// Help is called by kong.
func (SaleCreate) Help() string {
	return `Makes a sale that is not open yet, and moves its stock from the SKUs' normal stock. The command can be
repeated with the same values until it succeeds; it does no step twice. sluice sale fill fills a sale again that
was emptied.

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
	return changeSale(ctx, c, operate.CreateSale(plan), &s.Writer, s.Output, s.Consent)
}

func (s *SaleCreate) plan() (sale.Plan, error) {
	ack, err := stock.ParseAck(s.Ack)
	if err != nil {
		return sale.Plan{}, err
	}
	plan := sale.Plan{ID: s.ID, Name: s.Name, Limit: s.Limit, Hold: s.Hold, Ack: ack, ShopperDeducts: s.ShopperDeducts}
	plan.RegisteredOnly, plan.ExtendMax = s.RegisteredOnly, s.ExtendMax
	if len(s.Item) == 0 && s.ItemsFile == "" {
		return sale.Plan{}, errors.New("want what the sale sells: --item or --items-file")
	}
	for _, item := range s.Item {
		sku, units, _ := strings.Cut(item, ":")
		id, ok := ids.Parse(sku)
		n, err := strconv.ParseInt(units, 10, 64)
		if !ok || err != nil {
			return sale.Plan{}, fmt.Errorf("item %q: want SKU:UNITS, such as 1001:5000", item)
		}
		plan.Items = append(plan.Items, sale.Allotment{SKU: id, Quantity: n})
	}
	if s.ItemsFile != "" {
		if plan.Items, err = readItems(s.ItemsFile, plan.Items); err != nil {
			return sale.Plan{}, err
		}
	}
	return plan, plan.Validate()
}

// readItems reads a file of stock, of which only SKUs and quantities count here. Any wrong line is an error, because
// half a sale is of no use.
func readItems(path string, items []sale.Allotment) (_ []sale.Allotment, err error) {
	file, err := os.Open(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("items file %w", text.OfFile(err))
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if items, err = addItems(file, items); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return items, nil
}

func addItems(file io.Reader, items []sale.Allotment) ([]sale.Allotment, error) {
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
		if line.Settings != (stock.Settings{}).WithDefaults() {
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

	ID uint32 `arg:"" name:"sale" between:"1-4294967295" help:"Sale to show."`
}

// Help is called by kong.
func (SaleShow) Help() string {
	return `Example:
  sluice sale show 7 -o json`
}

// Run is called by kong.
func (s *SaleShow) Run(ctx context.Context, c *Console) error {
	o, err := s.Open(ctx)
	if err != nil {
		return err
	}
	found, err := o.Sales(s.Stock.Retention).Show(ctx, s.ID)
	if err := errors.Join(saleFault(err), o.Close()); err != nil {
		return err
	}
	if s.json() {
		return c.JSON(show.SaleOf(&found))
	}
	printSale(c, &found)
	return nil
}
