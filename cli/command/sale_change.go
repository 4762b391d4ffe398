package command

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"sluice/core/operate"
	"sluice/core/sale"
	"sluice/core/show"
)

// SaleOpen schedules a sale.
type SaleOpen struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID  uint32         `arg:"" name:"sale" between:"1-4294967295" help:"Sale to open."`
	At  saleTime       `placeholder:"TIME" help:"When it opens, as 2026-01-31T18:00:00Z, or now. Now means in two seconds, because edges need so long to learn of its SKUs. Defaults to now."`
	To  saleTime       `xor:"end" placeholder:"TIME" help:"When it closes, or never. Defaults to the closing that a scheduled or open sale has, otherwise to never."`
	For *time.Duration `xor:"end" placeholder:"DURATION" help:"How long it is open, instead of --to."`
}

// Help is called by kong.
func (SaleOpen) Help() string {
	return `Opens a sale, now or at a time. A scheduled sale gets a new opening: without --at it opens now. An open sale keeps its
opening, and may get a new closing. A closed sale opens again. A sale opens only with all its stock: see sluice sale
fill. Redis' clock decides.

Examples:
  sluice sale open 7
  sluice sale open 7 --at 2026-01-31T18:00:00Z --for 2h
  sluice sale open 7 --to never`
}

// Run is called by kong.
func (s *SaleOpen) Run(ctx context.Context, c *Console) error {
	switch {
	case s.At.never():
		return usage(errors.New("--at: want a time or now: a sale that is not to open is closed"))
	case s.To.now:
		return usage(errors.New("--to: want a time or never: sluice sale close closes a sale now"))
	case s.For != nil && s.For.Milliseconds() <= 0:
		return usage(fmt.Errorf("--for %v: want a millisecond or more", *s.For))
	}
	opening := sale.Opening{At: s.At.Time, Closes: s.To.Time}
	if s.For != nil {
		opening.For = *s.For
	}
	return changeSale(ctx, c, operate.OpenSale(s.ID, opening, sale.Call{}), &s.Writer, s.Output, s.Consent)
}

// SaleClose ends a sale.
type SaleClose struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID uint32   `arg:"" name:"sale" between:"1-4294967295" help:"Sale to close."`
	At saleTime `placeholder:"TIME" help:"When it closes: a future time after it opens, as 2026-01-31T18:00:00Z, or now, or never. Never removes a closing that was set. Defaults to now."`
}

// Help is called by kong.
func (SaleClose) Help() string {
	return `Closes a sale, now or at a time. What is held when it closes stays held, and can be confirmed. Its stock stays in the
sale, which can be opened again: sluice sale empty brings it back to normal stock.

Redis may have lost something of some SKUs, whose stock is then shut. The command closes all other SKUs. Repeat it once
these are repaired. All other commands about such a sale change nothing meanwhile.

Examples:
  sluice sale close 7
  sluice sale close 7 --at 2026-01-31T19:30:00Z
  sluice sale close 7 --at never`
}

// Run is called by kong.
func (s *SaleClose) Run(ctx context.Context, c *Console) error {
	return changeSale(ctx, c, operate.CloseSale(s.ID, s.At.Time, sale.Call{}), &s.Writer, s.Output, s.Consent)
}

// SaleFill gives a sale the stock that it lacks.
type SaleFill struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID uint32 `arg:"" name:"sale" between:"1-4294967295" help:"Sale to fill."`
}

// Help is called by kong.
func (SaleFill) Help() string {
	return `Gives each SKU of a sale the units that it lacks of its plan, from normal stock. A sale lacks units after sluice sale
empty, or if its creation was cut off. If normal stock has too little of one SKU, nothing is moved.

Example:
  sluice sale fill 7`
}

// Run is called by kong.
func (s *SaleFill) Run(ctx context.Context, c *Console) error {
	return changeSale(ctx, c, operate.FillSale(s.ID, sale.Call{}), &s.Writer, s.Output, s.Consent)
}

// SaleEmpty moves the stock of a closed sale back.
type SaleEmpty struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	ID uint32 `arg:"" name:"sale" between:"1-4294967295" help:"Sale to empty. It must be closed."`
}

// Help is called by kong.
func (SaleEmpty) Help() string {
	return `Brings the units of a closed sale that were not sold back to normal stock. Units that are held come back by
repeating the command once they have been released or have expired. An emptied sale is not opened again before
sluice sale fill has filled it.

Example:
  sluice sale empty 7`
}

// Run is called by kong.
func (s *SaleEmpty) Run(ctx context.Context, c *Console) error {
	return changeSale(ctx, c, operate.EmptySale(s.ID, sale.Call{}), &s.Writer, s.Output, s.Consent)
}

// saleTime is a time for a sale, or a word for one.
type saleTime struct {
	time.Time // zero: now, or not given; sale.Never: never

	now bool
}

func readSaleTime(word string, into reflect.Value) error {
	var t saleTime
	switch word {
	case "now":
		t.now = true
	case "never":
		t.Time = sale.Never
	default:
		if err := readTime(word, reflect.ValueOf(&t.Time)); err != nil {
			return fmt.Errorf("%w, or now or never", err)
		}
	}
	into.Set(reflect.ValueOf(t))
	return nil
}

func (t saleTime) never() bool { return t.Equal(sale.Never) }

// saleChange is a change of one sale that a command asks for.
type saleChange struct {
	*operate.SaleChange

	out     Output
	consent Consent
}

func changeSale(ctx context.Context, c *Console, change *operate.SaleChange, w *Writer, out Output, consent Consent) error {
	if err := consent.check(c); err != nil {
		return err
	}
	o, err := w.target(ctx, c, consent.DryRun, change.Creates)
	if err != nil {
		return err
	}
	o.warnOfReplicas(ctx, c, change.Ack)
	x := saleChange{change, out, consent}
	return errors.Join(saleFault(x.decide(ctx, c, o.Sales(w.Stock.Retention))), o.Close())
}

// decide shows what would change, asks, and makes the change.
func (x *saleChange) decide(ctx context.Context, c *Console, desk *sale.Desk) error {
	if x.consent.DryRun || !x.consent.Yes {
		f, err := x.Foresee(ctx, desk)
		if err == nil && x.consent.DryRun {
			err = f.Shut // nothing is known of the sale after it
		}
		if err != nil {
			return err
		}
		lines := foreseenLines(&f)
		if x.consent.DryRun {
			return x.show(c, &f.After, "dry_run", lines...)
		}
		if f.After.Changed {
			question := fmt.Sprintf("About to change sale %d: %s", x.Sale, strings.Join(lines, "; "))
			if err := x.consent.ask(ctx, c, question, strconv.FormatUint(uint64(x.Sale), 10)); err != nil {
				return err
			}
		}
	}
	s, err := x.Do(ctx, desk)
	if err != nil {
		return err
	}
	result := "ok"
	if s.Replayed {
		result = "replayed"
	}
	if err := x.show(c, &s, result); err != nil {
		return err
	}
	if x.Creates && s.OpensAtMS == sale.NotScheduled && s.ClosesAtMS == 0 {
		c.Notef("it sells nothing yet: sluice sale open %d opens it", x.Sale)
	}
	if left := operate.Unsold(&s); left > 0 {
		c.Notef("%s units are still in the sale: sluice sale empty %d brings them back to normal stock", number(left), x.Sale)
	}
	return nil
}

// changedSale is a sale after the change, with the result of the command.
type changedSale struct {
	Result string `json:"result"` // ok, replayed (an earlier call had done it) or dry_run
	// Changed is true if the command changed anything. In a dry run it is true if the command would.
	show.ChangedSale
}

func (x *saleChange) show(c *Console, s *sale.Sale, result string, changes ...string) error {
	if x.out.json() {
		return c.JSON(changedSale{result, show.ChangedSale{Sale: show.SaleOf(s), Changed: s.Changed}})
	}
	switch {
	case !s.Changed && result == "dry_run":
		c.Printf("sale %d would not change (dry run): it is so already\n", x.Sale)
	case !s.Changed:
		c.Printf("sale %d: nothing changed: it is so already\n", x.Sale)
	case result == "dry_run":
		c.Printf("sale %d would change (dry run):\n", x.Sale)
	}
	for _, line := range changes {
		c.Printf("  %s\n", line)
	}
	printSale(c, s)
	return nil
}

// foreseenLines lists the effects that a change would have, one a line.
func foreseenLines(f *operate.ForeseenSale) (lines []string) {
	switch {
	case f.Shut != nil:
		return []string{"it is closed now or at the time that is given, except for what is shut: " + f.Shut.Error()}
	case f.New:
		lines = append(lines, fmt.Sprintf("it is made: %s", f.After.Name))
	case f.Before.Window != f.After.Window:
		lines = append(lines, fmt.Sprintf("window: %s -> %s", saleWindowText(f.Before.Window), saleWindowText(f.After.Window)))
	case f.Lacking > 0:
		lines = append(lines, fmt.Sprintf("window: %s SKUs that lack it get it", number(f.Lacking)))
	}
	if f.Given > 0 {
		lines = append(lines, fmt.Sprintf("stock: %s units of %s SKUs come from normal stock", number(f.Given), number(f.SKUs)))
	}
	if f.Back > 0 {
		lines = append(lines, fmt.Sprintf("stock: %s units of %s SKUs go back to normal stock", number(f.Back), number(f.SKUs)))
	}
	return lines
}

// saleFault gives an error of a sale its exit code, and says what to do next.
func saleFault(err error) error {
	if err == nil {
		return nil
	}
	switch operate.SaleFaultOf(err) {
	case operate.SaleFaultUnknown, operate.SaleFaultInTransit:
		return fmt.Errorf("%w\nRepeat the command: what is done already is not done again", err)
	case operate.SaleFaultOverlap:
		return fmt.Errorf("%w\nRepeat the command", err)
	case operate.SaleFaultPartly:
		return inPart(fmt.Errorf("%w\nRepeat the command once nothing keeps back the rest: what is done already is not done again. sluice stock shut lists the SKUs that have to be repaired first", err))
	case operate.SaleFaultNotFound, operate.SaleFaultNotLoaded:
		return notFound(err)
	case operate.SaleFaultValues:
		return usage(err)
	case operate.SaleFaultNotFilled:
		return refused(fmt.Errorf("%w\nFill it by sluice sale fill", err))
	case operate.SaleFaultNotClosed:
		return refused(fmt.Errorf("%w\nClose it by sluice sale close", err))
	case operate.SaleFaultPlan:
		return refused(fmt.Errorf("%w\nThe plan of a sale stays: give the values that it has, or make a sale with another id", err))
	case operate.SaleFaultStale:
		return refused(fmt.Errorf("%w\nRedis may have forgotten whether the units have moved: sluice reconcile report says which half is missing", err))
	case operate.SaleFaultShort, operate.SaleFaultCall, operate.SaleFaultTransfer, operate.SaleFaultCell:
		return refused(err)
	case operate.SaleFaultShut, operate.SaleFaultOther:
	}
	return err
}
