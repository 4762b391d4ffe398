package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/report/rehearsal"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/sale"
)

const (
	rehearsalStepsMax = 60
	rehearsalWarmUp   = 2 * time.Second
	rehearsalTimeout  = 5 * time.Second // of a request
)

// BenchRehearse plays a coming sale against a copy of its stock.
type BenchRehearse struct {
	MySQL  db.Config `embed:""`
	Dev    DevFile   `embed:""`
	Output `embed:""`

	ID          uint32        `arg:"" name:"sale" between:"1-4294967295" help:"Sale to rehearse."`
	From        int64         `default:"500" placeholder:"RATE" between:"1-1000000" help:"Shoppers per second of the first step."`
	To          int64         `default:"50000" placeholder:"RATE" between:"1-1000000" help:"Shoppers per second of the last step."`
	Grow        int64         `default:"50" placeholder:"PERCENT" between:"1-900" help:"By how many per cent each step is higher than the one before."`
	Step        time.Duration `default:"10s" placeholder:"DURATION" between:"2s-10m" help:"How long each step takes."`
	Within      time.Duration `default:"500ms" placeholder:"DURATION" between:"1ms-5s" help:"Time within which 99 of 100 answers must come."`
	Users       int           `default:"100000" between:"1-1000000" help:"How many users there are. They come by turns."`
	Connections int           `default:"1024" between:"1-65536" help:"Connections at most."`
	Keys        load.Choice   `default:"zipf" placeholder:"CHOICE" enum:"zipf,uniform" help:"How shoppers choose among several SKUs: zipf, where the SKU with most units is wanted most, or uniform."`
	Seed        int64         `default:"1" between:"0-9223372036854775807" help:"Begin of the random choices: the same seed plays the same shoppers."`
}

// Help is called by kong.
func (BenchRehearse) Help() string {
	return `Reads the plan of a sale from MySQL: its SKUs, units, limit and hold. Then it starts a private stack on this machine, as sluice dev
does, and gives it copies of the sale. Shoppers come to them at one rate after the other, each higher than the one before,
until the copy breaks:

  - fewer than 95 of 100 requests get an answer that tells, such as accepted or sold_out: goodput falls
  - p99 of these answers is over --within
  - stock of the copy is not what shoppers were told
  - MySQL of the copy falls behind, or the copy no longer answers

If the generator is the bottleneck before, the command says so, and the exit code is 12. It is 11 if stock is wrong.

The deployment itself is never loaded: the command reads two tables of its MySQL, and neither Redis nor Kafka. The copy
shares this machine with its shoppers, so machines of its own carry more.

Examples:
  sluice bench rehearse 7
  sluice bench rehearse 7 --from 1000 --to 20000 --step 30s --within 200ms`
}

// BeforeApply is called by kong.
func (b *BenchRehearse) BeforeApply(k *kong.Context, c *Console) error {
	_, err := b.Dev.fill(k, b.MySQL.DSN != "", func(d *DevStack) {
		c.Notef("using the development stack of %s", d.path)
		b.MySQL.DSN = config.Secret(d.MySQLDSN)
	})
	return err
}

// Validate joins all faults.
func (b *BenchRehearse) Validate() error {
	var f config.Faults
	f.Include(b.MySQL.Validate())
	if b.To < b.From {
		f.Add("to", b.To, fmt.Sprintf("at least --from, %d", b.From))
	} else if n := len(rehearsal.Rates(b.From, b.To, b.Grow)); n > rehearsalStepsMax {
		f.Include(fmt.Errorf("grow: %d steps from %d to %d: want at most %d: a larger --grow", n, b.From, b.To, rehearsalStepsMax))
	}
	return f.Err()
}

// Run is called by kong.
func (b *BenchRehearse) Run(ctx context.Context, c *Console) (err error) {
	plan, err := b.plan(ctx)
	if err != nil {
		return err
	}
	rates := rehearsal.Rates(b.From, b.To, b.Grow)
	c.Notef("starting a private stack, and giving it %d copies of sale %d", len(rates), b.ID)
	copied, err := startCopy(ctx, plan, len(rates))
	defer func() { err = errors.Join(err, copied.parts.Stop(context.WithoutCancel(ctx))) }()
	if err != nil {
		return err
	}
	r := &rehearsal.Rehearsal{
		Stamp: report.NewStamp(time.Now(), copied.stack.EdgeURL, uint64(b.Seed)), Sale: int64(b.ID), Name: plan.Name, SKUs: len(plan.Items), Limit: plan.Limit,
		P99MS: float64(b.Within.Microseconds()) / 1e3,
	}
	for _, item := range plan.Items {
		r.Units += item.Quantity
	}
	err = b.steps(ctx, c, copied, rates, r)
	return errors.Join(err, b.print(c, r), rehearsed(r))
}

// plan reads the sale, and leaves out of it what the copy has not.
func (b *BenchRehearse) plan(ctx context.Context) (_ sale.Plan, err error) {
	books, err := b.MySQL.Open(ctx)
	if err != nil {
		return sale.Plan{}, err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	plan, err := sale.Planned(ctx, books, b.ID)
	if err != nil {
		return plan, saleFault(err)
	}
	if len(plan.Items) >= sale.ItemsMax {
		return plan, usage(fmt.Errorf("sale %d has %d SKUs: want fewer than %d, because the copy has one more that warms up", b.ID, len(plan.Items), sale.ItemsMax))
	}
	slices.SortStableFunc(plan.Items, func(x, y sale.Allotment) int { return cmp.Compare(y.Quantity, x.Quantity) })
	return plan, nil
}

// steps plays the sale at one rate after the other.
func (b *BenchRehearse) steps(ctx context.Context, c *Console, copied *saleCopy, rates []int64, r *rehearsal.Rehearsal) error {
	keys, err := auth.ReadKeys(copied.stack.TokenKeyFile)
	if err != nil {
		return err
	}
	tokens, err := tokensOf(ctx, keys, lastingClaims(1, auth.RoleShopper, "sluice", "sluice"), b.Users)
	if err != nil {
		return err
	}
	for i, rate := range rates {
		s, cause, why, err := b.step(ctx, copied, i+1, rate, tokens)
		if err != nil {
			if s.Requests > 0 { // what was measured of it is shown
				r.Add(&s, "", "")
			}
			return err
		}
		c.Notef("%s shoppers per second: %s of %s requests got an answer that tells, p99 %s ms%s",
			number(rate), number(s.Answered), number(s.Requests), report.Number(s.P99MS), orBreaks(why))
		if !r.Add(&s, cause, why) {
			return nil
		}
	}
	r.Cause = rehearsal.None
	return nil
}

func orBreaks(why string) string {
	if why == "" {
		return ""
	}
	return ": " + why
}

// step plays one copy of the sale. It also returns what it measured before an error; without a cause it was cut short.
func (b *BenchRehearse) step(
	ctx context.Context, copied *saleCopy, id int, rate int64, tokens []string,
) (s rehearsal.Step, cause rehearsal.Cause, why string, err error) {
	target, err := load.NewTarget(copied.stack.EdgeURL, "")
	if err != nil {
		return s, "", "", err
	}
	items := copied.plan.Items
	crowd := &load.Crowd{
		Seed: uint64(b.Seed), Curve: load.Constant(float64(rate), b.Step), WarmUp: rehearsalWarmUp, Users: b.Users, SKUs: len(items),
		Choice: b.Keys, Patience: rehearsalTimeout, BotTries: 1,
	}
	if len(items) == 1 {
		crowd.Choice = load.Hot
	}
	if err := crowd.Validate(); err != nil {
		return s, "", "", usage(err)
	}
	visited := crowd.Run(ctx, &load.Visit{
		Target: target, Run: "rehearsal-" + strconv.Itoa(id), Connections: b.Connections, Timeout: rehearsalTimeout, SaleID: strconv.Itoa(id),
		SKU: func(n int) int64 {
			if n == len(items) {
				return copied.warmUp
			}
			return items[n].SKU
		},
		Token: func(user int) string { return tokens[user] },
	})
	if s, err = rehearsal.NewStep(float64(rate), visited.Outcomes, &visited.Generator); err != nil {
		return s, "", "", err
	}
	for _, u := range visited.Units[:len(items)] {
		s.AcceptedUnits += u.Accepted
		s.UnknownUnits += u.Unknown
	}
	switch {
	case ctx.Err() != nil:
		return s, "", "", ctx.Err()
	case visited.Cut != nil:
		return s, rehearsal.Gone, visited.Cut.Why, nil
	}
	gone, err := copied.gone(ctx, id)
	switch {
	case errors.Is(err, errCopyDrift):
		return s, rehearsal.Stock, err.Error(), nil
	case errors.Is(err, errCopyBehind):
		return s, rehearsal.Behind, err.Error(), nil
	case err != nil:
		return s, "", "", err
	}
	s.GoneUnits = &gone
	cause, why = s.Judge(b.Within)
	return s, cause, why, nil
}

// print shows what was measured, also of a rehearsal that was cut short.
func (b *BenchRehearse) print(c *Console, r *rehearsal.Rehearsal) error {
	if b.json() {
		return c.JSON(r)
	}
	c.Printf("sale %d, %s: %s SKUs, %s units, limit %s\n", r.Sale, r.Name, number(int64(r.SKUs)), number(r.Units), limitText(r.Limit))
	t := c.table()
	t.row("SHOPPERS/S", "REQUESTS", "ANSWERED", "ACCEPTED", "SHED", "UNKNOWN", "REFUSED", "P50", "P99", "LATE", "UNSENT")
	for i := range r.Steps {
		s := &r.Steps[i]
		t.row(report.Number(s.PerSecond), number(s.Requests), number(s.Answered), number(s.Accepted), number(s.Shed), number(s.Unknown), number(s.Refused),
			report.Number(s.P50MS)+" ms", report.Number(s.P99MS)+" ms", number(s.Late), number(s.Unsent))
	}
	t.flush()
	c.Printf("%s\n", r.Text())
	return nil
}

// rehearsed returns the error of a rehearsal that does not answer the question.
func rehearsed(r *rehearsal.Rehearsal) error {
	switch r.Cause {
	case rehearsal.Stock:
		return codedError{fmt.Errorf("stock is wrong: %s", r.Why), report.ExitTruth}
	case rehearsal.Generator:
		return codedError{errors.New("the generator was the bottleneck: run it on a larger machine"), report.ExitGenerator}
	case rehearsal.Goodput, rehearsal.Latency, rehearsal.Behind, rehearsal.Gone, rehearsal.None:
	}
	return nil
}
