package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sluice/core/config"
	"sluice/core/operate"
	"sluice/core/stock"
	"sluice/core/text"
)

// StockAdjust changes one SKU's stock by a delta, its settings, or both.
type StockAdjust struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	SKU    int64  `arg:"" name:"sku" between:"1-9223372036854775807" help:"SKU to change."`
	Sale   uint32 `placeholder:"ID" between:"1-4294967295" help:"Change the stock of a sale, not the normal one."`
	Delta  int64  `placeholder:"UNITS" help:"Units to add to total and available stock; negative to take away."`
	Reason string `required:"" placeholder:"TEXT" help:"Why. It is kept in the ledger."`

	Limit          *int64         `placeholder:"UNITS" help:"New limit per user; 0 is none."`
	Hold           *time.Duration `placeholder:"DURATION" help:"New hold time of reservations."`
	ExtendMax      *time.Duration `placeholder:"DURATION" help:"How far a service may move the deadline of a hold beyond its first one; 0s is not at all."`
	OpensAt        *time.Time     `placeholder:"TIME" help:"When it starts to sell, as 2026-01-31T18:00:00Z; 1970-01-01T00:00:00Z is always. Not with --sale: see sale open."`
	ClosesAt       *time.Time     `placeholder:"TIME" help:"When it stops to sell; 1970-01-01T00:00:00Z is never. Not with --sale: see sale close."`
	Ack            *string        `placeholder:"LEVEL" help:"New acknowledge level: default, redis, replica or log."`
	ShopperDeducts *bool          `negatable:"" help:"Whether shoppers may deduct."`

	Key string `placeholder:"TEXT" help:"Name of this change: repeated with the same key, it happens once. Defaults to a new one."`
}

// Help is called by kong.
func (StockAdjust) Help() string {
	return `Changes are deltas, never a new number: what is sold meanwhile stays right. They happen at once, and are
refused if less is available than is to be taken away.

Examples:
  sluice stock adjust 1001 --delta 500 --reason "delivery 4711"
  sluice stock adjust 1001 --delta=-3 --reason "broken" --dry-run
  sluice stock adjust 1002 --limit 2 --hold 10m --reason "more per customer" --yes`
}

// Validate joins all faults.
func (a *StockAdjust) Validate() error {
	var f config.Faults
	f.Include(a.Writer.Validate())
	config.Between(&f, "delta", a.Delta, -stock.UnitsMax, stock.UnitsMax)
	checkReason(&f, a.Reason)
	if a.Limit != nil {
		config.Between(&f, "limit", *a.Limit, 0, stock.QuantityMax)
	}
	if a.Hold != nil && !stock.HoldFits(*a.Hold) {
		f.Add("hold", *a.Hold, fmt.Sprintf("1ms to %v, in whole ms", stock.HoldMax))
	}
	if a.ExtendMax != nil && *a.ExtendMax != 0 && !stock.HoldFits(*a.ExtendMax) {
		f.Add("extend-max", *a.ExtendMax, fmt.Sprintf("0s to %v, in whole ms", stock.HoldMax))
	}
	if a.Ack != nil {
		config.OneOf(&f, "ack", *a.Ack, "default", "redis", "replica", "log")
	}
	return f.Err()
}

var errReason = errors.New("--reason is required: say why in a sentence")

// checkReason checks that the ledger can store a reason and that its readers can show it.
func checkReason(f *config.Faults, reason string) {
	switch {
	case reason == "":
		f.Include(errReason)
	case len(reason) > stock.ReasonMax:
		f.Add("reason", fmt.Sprintf("a text of %d bytes", len(reason)), fmt.Sprintf("1 to %d", stock.ReasonMax))
	case text.Check(reason, stock.ReasonMax) != nil:
		f.Add("reason", fmt.Sprintf("%.40q", reason), "UTF-8 without control and format characters")
	}
}

// Run is called by kong.
func (a *StockAdjust) Run(ctx context.Context, c *Console) error {
	fields, settings, err := a.settings()
	if err != nil {
		return usage(err)
	}
	change := cellChange{what: "adjust", consent: a.Consent, change: *operate.Adjust(
		cellOf(a.SKU, a.Sale), a.Delta, fields, settings, a.Reason, byCommand(a.Key))}
	return change.run(ctx, c, &a.Writer, a.Output)
}

// settings are those that are given.
func (a *StockAdjust) settings() (fields stock.Fields, s stock.Settings, err error) {
	set := func(field stock.Fields, given bool, apply func()) {
		if given {
			fields |= field
			apply()
		}
	}
	set(stock.FieldLimit, a.Limit != nil, func() { s.Limit = *a.Limit })
	set(stock.FieldHold, a.Hold != nil, func() { s.Hold = *a.Hold })
	set(stock.FieldExtendMax, a.ExtendMax != nil, func() { s.ExtendMax = *a.ExtendMax })
	set(stock.FieldOpensAt, a.OpensAt != nil, func() { s.OpensAtMS = a.OpensAt.UnixMilli() })
	set(stock.FieldClosesAt, a.ClosesAt != nil, func() { s.ClosesAtMS = a.ClosesAt.UnixMilli() })
	set(stock.FieldAck, a.Ack != nil, func() { s.Ack, err = stock.ParseAck(*a.Ack) })
	set(stock.FieldShopperDeducts, a.ShopperDeducts != nil, func() { s.ShopperDeducts = *a.ShopperDeducts })
	return fields, s, err
}

// byCommand returns a call of the user who runs a command.
func byCommand(key string) operate.Call { return operate.Call{Scope: stock.ScopeCommand, Key: key} }

// StockFreeze stops or resumes selling a SKU.
type StockFreeze struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	SKU    int64  `arg:"" name:"sku" between:"1-9223372036854775807" help:"SKU to change."`
	Sale   uint32 `placeholder:"ID" between:"1-4294967295" help:"The stock of a sale, not the normal one."`
	Reason string `required:"" placeholder:"TEXT" help:"Why. It is kept in the ledger."`
	Key    string `placeholder:"TEXT" help:"Name of this change: repeated with the same key, it happens once. Defaults to a new one."`
}

// Help is called by kong.
func (StockFreeze) Help() string {
	return `A frozen SKU is neither reserved nor deducted. What is held can still be confirmed, released and expire.

Example:
  sluice stock freeze 1001 --reason "wrong price" --yes`
}

// Validate joins all faults.
func (f *StockFreeze) Validate() error {
	var faults config.Faults
	faults.Include(f.Writer.Validate())
	checkReason(&faults, f.Reason)
	return faults.Err()
}

// Run is called by kong.
func (f *StockFreeze) Run(ctx context.Context, c *Console) error {
	return f.set(ctx, c, "freeze", true)
}

func (f *StockFreeze) set(ctx context.Context, c *Console, what string, frozen bool) error {
	change := cellChange{what: what, consent: f.Consent, change: *operate.Freeze(
		cellOf(f.SKU, f.Sale), frozen, f.Reason, byCommand(f.Key))}
	return change.run(ctx, c, &f.Writer, f.Output)
}

// StockUnfreeze lets a frozen SKU sell again.
type StockUnfreeze struct {
	StockFreeze `embed:""`
}

// Help is called by kong.
func (StockUnfreeze) Help() string {
	return `Lifts a freeze by an admin. A fence or a breach of conservation is not lifted by it.

Example:
  sluice stock unfreeze 1001 --reason "price is right again" --yes`
}

// Run is called by kong.
func (f *StockUnfreeze) Run(ctx context.Context, c *Console) error {
	return f.set(ctx, c, "unfreeze", false)
}
