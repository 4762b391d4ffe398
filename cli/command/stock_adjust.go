package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sluice/core/config"
	"sluice/core/show"
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
	if a.Hold != nil && (*a.Hold < time.Millisecond || *a.Hold > stock.HoldMax || *a.Hold%time.Millisecond != 0) {
		f.Add("hold", *a.Hold, fmt.Sprintf("1ms to %v, in whole ms", stock.HoldMax))
	}
	if a.Ack != nil {
		config.OneOf(&f, "ack", *a.Ack, "default", "redis", "replica", "log")
	}
	return f.Err()
}

var errReason = errors.New("--reason is required: say why in a sentence")

// checkReason holds a reason to what the ledger and its readers can take.
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
	adjustment, err := a.adjustment()
	if err != nil {
		return usage(err)
	}
	change := cellChange{what: "adjust", sku: a.SKU, sale: a.Sale, key: a.Key, adjustment: adjustment, consent: a.Consent}
	return change.run(ctx, c, &a.Writer, a.Output)
}

func (a *StockAdjust) adjustment() (stock.Adjustment, error) {
	change := stock.Adjustment{Kind: stock.AdjustPlain, Delta: a.Delta, Reason: a.Reason}
	s := &change.Settings
	set := func(field stock.Fields, given bool, apply func()) {
		if given {
			change.Fields |= field
			apply()
		}
	}
	var err error
	set(stock.FieldLimit, a.Limit != nil, func() { s.Limit = *a.Limit })
	set(stock.FieldHold, a.Hold != nil, func() { s.Hold = *a.Hold })
	set(stock.FieldOpensAt, a.OpensAt != nil, func() { s.OpensAtMS = a.OpensAt.UnixMilli() })
	set(stock.FieldClosesAt, a.ClosesAt != nil, func() { s.ClosesAtMS = a.ClosesAt.UnixMilli() })
	set(stock.FieldAck, a.Ack != nil, func() { s.Ack, err = stock.ParseAck(*a.Ack) })
	set(stock.FieldShopperDeducts, a.ShopperDeducts != nil, func() { s.ShopperDeducts = *a.ShopperDeducts })
	switch {
	case err != nil:
	case change.Delta == 0 && change.Fields == 0:
		err = errors.New("nothing to change: give --delta or a setting")
	case a.Sale != 0 && change.Fields&(stock.FieldOpensAt|stock.FieldClosesAt) != 0:
		err = errors.New("a sale's window is that of all its SKUs: it is set by sluice sale open and sluice sale close")
	}
	return change, err
}

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
	change := cellChange{what: what, sku: f.SKU, sale: f.Sale, key: f.Key, consent: f.Consent, adjustment: stock.Adjustment{
		Kind: stock.AdjustPlain, Fields: stock.FieldFrozen, Settings: stock.Settings{Frozen: frozen}, Reason: f.Reason,
	}}
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

// cellChange is a change of one cell.
type cellChange struct {
	what       string // adjust, freeze or unfreeze
	sku        int64
	sale       uint32
	key        string // empty: a new one
	adjustment stock.Adjustment
	consent    Consent
}

// changed is the result of a change.
type changed struct {
	SKU    show.ID `json:"sku_id"`
	Sale   show.ID `json:"sale_id,omitzero"`
	Key    string  `json:"key,omitempty"`
	Result string  `json:"result"` // ok, replayed (the key was used before; nothing changed now) or dry_run
	// Changed tells whether the change did anything, or in a dry run would do.
	Changed bool      `json:"changed"`
	Before  show.Cell `json:"before"`
	After   show.Cell `json:"after"`

	before, after stock.CellState // what the views are made from
}

// ends notes what the change begins and ends with.
func (r *changed) ends(before, after stock.CellState) {
	r.before, r.after = before, after
	r.Before, r.After = show.CellOf(&before), show.CellOf(&after)
	r.Changed = len(r.differences()) > 0
}

func (x *cellChange) run(ctx context.Context, c *Console, w *Writer, out Output) error {
	if err := x.consent.check(c); err != nil {
		return err
	}
	o, err := w.target(ctx, c, x.consent.DryRun, false)
	if err != nil {
		return err
	}
	if x.adjustment.Fields&stock.FieldAck != 0 && x.adjustment.Settings.Ack == stock.AckReplica {
		o.warnOfReplicas(ctx, c)
	}
	result, err := x.changeKnown(ctx, c, o)
	if err := errors.Join(err, o.close()); err != nil {
		return err
	}
	if out.json() {
		return c.JSON(result)
	}
	result.print(c)
	return nil
}

// changeKnown reads MySQL before Redis: what MySQL has by then, Redis has too, unless it lost it.
func (x *cellChange) changeKnown(ctx context.Context, c *Console, o *opened) (*changed, error) {
	row, err := readInventory(ctx, o.db, cellOf(x.sku, x.sale))
	if err != nil {
		return nil, err
	}
	var known stock.Mark
	if row != nil {
		known = row.mark()
	}
	return x.do(ctx, c, o.stock, known)
}

// do changes the cell, unless it is behind what is known of it.
func (x *cellChange) do(ctx context.Context, c *Console, store stock.Store, known stock.Mark) (*changed, error) {
	cell := cellOf(x.sku, x.sale)
	states, nowMS, err := store.Cells(ctx, []stock.Cell{cell})
	if err != nil {
		return nil, fmt.Errorf("read %v: %w", cell, err)
	}
	before := states[0]
	after := before
	x.apply(&after)
	if before.Less(known) {
		// One more effect would hide what is missing, and in time pass for it.
		return nil, fmt.Errorf("%v: MySQL knows events that Redis has lost: it is not changed before they are back. sluice doctor says what is missing", cell)
	}
	if !before.Loaded {
		return nil, notFound(fmt.Errorf("%v is not loaded", cell))
	}
	if err := x.check(&before, &after, nowMS); err != nil {
		return nil, err
	}
	result := &changed{SKU: show.ID(x.sku), Sale: show.ID(x.sale), Result: "dry_run"}
	if result.ends(before, after); !result.Changed && x.key == "" && !x.consent.DryRun && before.Shut() == stock.VerdictOK {
		result.Result = "ok" // a change of nothing, which nobody repeats by its key, is none
		result.ends(before, before)
		return result, nil
	}
	if x.key == "" {
		x.key = rand.Text()
	}
	result.Key = x.key
	v := &stock.Vector{Op: stock.OpAdjust, Partition: cell.Partition(store.Partitions()), Requests: []stock.Request{{
		ID:          stock.Identity{Route: stock.OpAdjust, Cell: cell, Scope: stock.ScopeCommand, Key: x.key}.ID(store.Partitions()),
		Cell:        cell,
		Fingerprint: x.adjustment.Fingerprint(),
		Adjustment:  &x.adjustment,
	}}}
	if err := v.Check(store.Partitions()); err != nil {
		return nil, usage(err)
	}
	if x.consent.DryRun {
		if verdict := before.Adjust(&x.adjustment); verdict != stock.VerdictOK {
			return nil, refused(fmt.Errorf("%v: %s", cell, explain(verdict)))
		}
		return result, nil
	}
	question := fmt.Sprintf("About to %s %v: %s", x.what, cell, strings.Join(result.differences(), "; "))
	if err := x.consent.ask(c, question, strconv.FormatInt(x.sku, 10)); err != nil {
		return nil, err
	}
	store.Do(ctx, v)
	if errors.Is(v.Err, stock.ErrUnknown) {
		return nil, fmt.Errorf("%w\nRepeat the command with --key %s: it happens once", v.Err, x.key)
	}
	if v.Err != nil {
		return nil, fmt.Errorf("adjust %v: %w", cell, v.Err)
	}
	verdict := v.Outcomes[0].Verdict
	if verdict != stock.VerdictOK && verdict != stock.VerdictReplayed {
		return nil, refused(fmt.Errorf("%v: %s", cell, explain(verdict)))
	}
	result.Result = verdict.String()
	for i := range v.Cells {
		if v.Cells[i].Cell == cell {
			result.ends(before, v.Cells[i])
		}
	}
	result.Changed = verdict == stock.VerdictOK && (x.adjustment.Delta != 0 || before.With(x.adjustment.Fields, x.adjustment.Settings) != before.Settings)
	return result, nil
}

// check refuses what no script judges: a cell without room for the units, a window that never sells, and one that is
// over at once, which nobody has said in so many words.
func (x *cellChange) check(before, after *stock.CellState, nowMS int64) error {
	if !before.HasRoom(x.adjustment.Delta) {
		return refused(fmt.Errorf("delta: %v has %s units and would have more than %s", before.Cell, number(before.Total), number(stock.UnitsMax)))
	}
	if x.adjustment.Fields&(stock.FieldOpensAt|stock.FieldClosesAt) != 0 && after.NeverSells() {
		return usage(fmt.Errorf("opens-at, closes-at: %v would never sell: %s", before.Cell, windowText(after.OpensAtMS, after.ClosesAtMS)))
	}
	if after.ClosesAtMS != before.ClosesAtMS && after.OverAt(nowMS) {
		return usage(fmt.Errorf("closes-at: %s has passed: give a time to come; sluice stock freeze stops selling now", timeText(after.ClosesAtMS)))
	}
	return nil
}

// apply changes the cell as it will be if nothing happens meanwhile.
func (x *cellChange) apply(c *stock.CellState) {
	c.Avail += x.adjustment.Delta
	c.Total += x.adjustment.Delta
	c.Seq++
	c.Settings = c.With(x.adjustment.Fields, x.adjustment.Settings)
}

// differences are what the change does, a line each.
func (r *changed) differences() []string {
	var lines []string
	line := func(name, before, after string) {
		if before != after {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", name, before, after))
		}
	}
	b, a := &r.before, &r.after
	line("avail", number(b.Avail), number(a.Avail))
	line("total", number(b.Total), number(a.Total))
	line("limit", limitText(b.Limit), limitText(a.Limit))
	line("hold", b.Hold.String(), a.Hold.String())
	line("window", windowText(b.OpensAtMS, b.ClosesAtMS), windowText(a.OpensAtMS, a.ClosesAtMS))
	line("acknowledge", b.Ack.String(), a.Ack.String())
	line("flags", flagsText(b), flagsText(a))
	return lines
}

func (r *changed) print(c *Console) {
	title := cellTitle(r.SKU, r.Sale)
	switch {
	case r.Result == "replayed":
		c.Printf("%s: this change was made before, under the key %s; nothing changed now\n", title, r.Key)
		return
	case !r.Changed && r.Result == "dry_run":
		c.Printf("%s would not change (dry run): it is so already\n", title)
		return
	case !r.Changed:
		c.Printf("%s: nothing changed: it is so already\n", title)
		return
	case r.Result == "dry_run":
		c.Printf("%s would change (dry run):\n", title)
	default:
		c.Printf("%s %s:\n", title, c.paint(green, "changed"))
	}
	for _, line := range r.differences() {
		c.Printf("  %s\n", line)
	}
}
