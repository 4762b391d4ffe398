package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"sluice/bench/load"
	"sluice/bench/report"
	"sluice/bench/report/against"
	"sluice/bench/report/page"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/text"
)

// Bench sends a crowd of shoppers to an edge, and judges stock afterwards.
type Bench struct {
	Output `embed:""`

	Redis benchRedis    `embed:""`
	MySQL benchMySQL    `embed:""`
	Kafka benchKafka    `embed:""`
	Stock config.Agreed `embed:""`
	Dev   DevFile       `embed:""`
	Key   TokenKey      `embed:""`
	Names benchNames    `embed:""`

	Addr    string `placeholder:"URL" help:"The edge, such as http://127.0.0.1:8080. Defaults to that of the running sluice dev."`
	MayLoad string `name:"i-may-load" placeholder:"HOST" help:"Send load to this host. Needed unless the edge is on this machine."`
	Tokens  string `placeholder:"PATH" help:"Take the shoppers' tokens from this file, as sluice token --users writes it, instead of making them."`

	Rate     float64       `default:"1000" placeholder:"N" help:"Shoppers per second; at the peak, if the rate changes."`
	For      time.Duration `default:"10s" placeholder:"DURATION" help:"How long shoppers come."`
	Arrivals string        `enum:"poisson,constant,ramp,sale" default:"poisson" placeholder:"HOW" help:"How they come: poisson (independent of each other), constant (evenly), ramp (from 0 to the rate), or sale (as a sale begins)."`
	Curve    string        `placeholder:"PATH" help:"Take the rate over time from this CSV with the columns seconds and per_second, instead of --rate, --for and --arrivals."`
	WarmUp   time.Duration `default:"2s" placeholder:"DURATION" help:"How long other shoppers come before, who buy something else and do not count."`

	SKUs  int           `name:"skus" default:"1" placeholder:"N" help:"Make so many SKUs for the run."`
	Keys  string        `placeholder:"CHOICE" help:"Which SKUs they want: hot-1, zipf (few are wanted by many) or uniform. Defaults to hot-1 for one SKU, else to zipf."`
	Units int64         `default:"10000" placeholder:"N" between:"0-1000000000" help:"Units of each of these SKUs, 0 or more."`
	Limit int64         `default:"0" placeholder:"N" between:"0-1000000" help:"Units per user; 0: no limit."`
	Hold  time.Duration `default:"5m" placeholder:"DURATION" help:"How long a reservation of these SKUs holds, in whole seconds."`
	SKU   int64         `name:"sku" placeholder:"SKU" between:"1-9223372036854775807" help:"Buy this SKU, which exists, and make none. Nobody else may buy it meanwhile. There is no warm-up then."`
	Sale  uint32        `placeholder:"ID" between:"1-4294967295" help:"Buy the SKU in this sale."`

	Users     int           `default:"10000" placeholder:"N" help:"Users that the shoppers are, by turns."`
	Retries   int           `default:"2" placeholder:"N" help:"How often a shopper repeats a request, with its key, if the answer says that this may help; 0: never."`
	Impatient float64       `default:"0" placeholder:"SHARE" help:"Share of shoppers who give up after --patience; 0: none."`
	Patience  time.Duration `default:"3s" placeholder:"DURATION" help:"How long those wait for an answer."`
	Bots      float64       `default:"0" placeholder:"SHARE" help:"Share of shoppers who are bots; 0: none."`
	BotTries  int           `default:"10" placeholder:"N" help:"Requests that a bot sends at once, each with a key of its own."`

	Confirm     float64       `default:"0" placeholder:"SHARE" help:"Share of reservations that are confirmed; 0: none."`
	Release     float64       `default:"0" placeholder:"SHARE" help:"Share that is released; 0: none. The rest expires."`
	SettleAfter time.Duration `default:"1s" placeholder:"DURATION" help:"How long after the reservation that happens."`

	Connections int           `default:"256" placeholder:"N" help:"Connections at most."`
	Timeout     time.Duration `default:"5s" placeholder:"DURATION" help:"How long to wait for an answer."`
	Seed        int64         `default:"1" placeholder:"N" between:"1-9223372036854775807" help:"The same seed makes the same shoppers."`

	Want    []string      `sep:"none" placeholder:"THRESHOLD" help:"Fail unless this is met, such as 'p99<50ms'. May be given several times."`
	NoTruth bool          `help:"Do not judge stock afterwards."`
	CatchUp time.Duration `default:"1m" placeholder:"DURATION" help:"How long to wait until MySQL has everything."`
	Report  string        `placeholder:"PATH" help:"Write the report as JSON to this file."`
	HTML    string        `name:"html" placeholder:"PATH" help:"Write the report as an HTML page to this file."`
	Against string        `placeholder:"OLD.json" help:"Compare the run with an older report, in the table and on the page."`

	crowd  load.Crowd
	wants  []report.Want
	given  map[string]string // flags
	target load.Target
}

// The stores' settings without their checks: a run against an edge alone has no stores. Kong would check each by itself.
type (
	benchRedis redis.Config
	benchMySQL db.Config
	benchKafka kafka.Config
)

// Texts are those of the settings.
func (benchRedis) Texts() config.Texts { return redis.Config{}.Texts() }

// Texts are those of the settings.
func (benchMySQL) Texts() config.Texts { return db.Config{}.Texts() }

// Texts are those of the settings.
func (benchKafka) Texts() config.Texts { return kafka.Config{}.Texts() }

// benchNames are those in the tokens that the run makes.
type benchNames struct {
	Issuer   string `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Audience string `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice" placeholder:"TEXT"`
}

// Texts are those of the group.
func (benchNames) Texts() config.Texts { return texts }

// stores are the settings as other commands have them.
func (b *Bench) stores() *Writer {
	return &Writer{Stores: Stores{Redis: redis.Config(b.Redis), MySQL: db.Config(b.MySQL), Stock: b.Stock, Dev: b.Dev}, Kafka: kafka.Config(b.Kafka)}
}

// Help is called by kong.
func (Bench) Help() string {
	return `Sends shoppers to an edge at the times of a plan, however slow the edge is, and measures from these times on. So a stall
counts for everybody who would have come in it. By default it makes SKUs of its own in the running sluice dev; they stay. Then it
waits until MySQL has everything, and compares Redis and MySQL with what shoppers were told. It needs the stores for that:
without their addresses it can only buy an SKU that exists, and stock stays unverified.

A threshold is a percentile of the time until an answer (p50, p90, p99, p99.9 or max: p99<50ms is about what was accepted,
sold_out.p99<20ms about another outcome), an outcome's share of all answers (accepted>0.9), its rate (accepted/s>1000), or fairness>0.8.
After shopper. it counts shoppers, each with all repetitions (shopper.p99<2s). The outcomes are accepted, replayed, sold_out, limited, shed, unknown and refused. docs/bench.md explains them.

The exit code is 10 if a threshold was missed, 11 if stock is wrong, 12 if this generator was the bottleneck, 7 if nothing
was wrong and stock could not be judged, 1 if the run could not begin or was cut short, and 130 after Ctrl-C. That ends the
run, and stock is judged all the same; the next one ends that, and what was measured is shown.

Examples:
  sluice bench
  sluice bench --rate 5000 --for 30s --arrivals sale --units 5000 --limit 1 --bots 0.05 --want 'p99<50ms'
  sluice bench --skus 1000000 --keys uniform --units 100 --report run.json
  sluice bench --report new.json --html new.html --against old.json
  sluice bench --confirm 0.7 --release 0.1 --hold 5s -o json
  sluice bench --addr https://shop.example --i-may-load shop.example --tokens tokens.txt --sku 1001 --no-truth`
}

// BeforeApply is called by kong.
func (b *Bench) BeforeApply(k *kong.Context, c *Console) error {
	named := false
	for _, flag := range k.Flags() {
		if flag.Name == "addr" {
			named = k.FlagValue(flag) != ""
		}
	}
	_, err := b.Dev.fill(k, named || b.MySQL.DSN != "", func(d *DevStack) {
		w := b.stores() // with the defaults of their other settings
		w.use(c, d)
		b.Redis, b.MySQL, b.Kafka = benchRedis(w.Redis), benchMySQL(w.MySQL), benchKafka(w.Kafka)
		b.Addr, b.Key.File = d.EdgeURL, d.TokenKeyFile
	})
	return err
}

// AfterApply is called by kong.
func (b *Bench) AfterApply(k *kong.Context) error {
	b.given = map[string]string{}
	for _, flag := range k.Flags() {
		if flag.Set {
			b.given[flag.Name] = fmt.Sprint(flag.Target.Interface())
		}
	}
	return nil
}

// hasStores reports whether addresses of stores are given. Then none may be missing.
func (b *Bench) hasStores() bool {
	return b.MySQL.DSN != "" || len(b.Redis.Addrs) > 0 || len(b.Redis.SentinelAddrs) > 0 || len(b.Kafka.Brokers) > 0
}

// Validate joins all faults.
func (b *Bench) Validate() error {
	var f config.Faults
	w := b.stores()
	if !b.hasStores() { // their other settings are checked all the same
		w.Redis.Addrs, w.Kafka.Brokers, w.MySQL.DSN = []string{"127.0.0.1:1"}, []string{"127.0.0.1:1"}, "sluice@tcp(127.0.0.1:1)/sluice"
	}
	f.Include(w.Validate())
	b.plan(&f)
	config.Between(&f, "connections", b.Connections, 1, 20_000)
	config.Between(&f, "timeout", b.Timeout, time.Millisecond, 5*time.Minute)
	config.Between(&f, "catch-up", b.CatchUp, 0, time.Hour)
	if b.Hold < time.Second || b.Hold > stock.HoldMax || b.Hold%time.Second != 0 {
		f.Include(fmt.Errorf("hold: %v: want whole seconds, 1s to %v", b.Hold, stock.HoldMax))
	}
	for _, text := range b.Want {
		want, err := report.ParseWant(text)
		if err != nil {
			f.Include(fmt.Errorf("want: %w", err))
		}
		b.wants = append(b.wants, want)
	}
	if b.Addr != "" {
		target, err := load.NewTarget(b.Addr, b.MayLoad)
		if err != nil {
			f.Include(fmt.Errorf("addr: %w", err))
		}
		b.target = target
		f.Include(b.missing())
	}
	return f.Err()
}

// missing says what a target needs beside its address.
func (b *Bench) missing() error {
	var f config.Faults
	switch {
	case b.Tokens == "" && b.Key.File == "":
		f.Include(errors.New("tokens: missing: name the edge's key file by --token-key-file, or a file of tokens by --tokens"))
	case b.Tokens != "" && b.Key.File == "" && b.Confirm > 0:
		f.Include(errors.New("confirm: only services confirm: name the edge's key file by --token-key-file"))
	}
	if !b.hasStores() && b.SKU == 0 {
		f.Include(errors.New("sku: missing: without the stores' addresses the run can make no SKU"))
	}
	if b.SKU == 0 && b.Sale != 0 {
		f.Include(errors.New("sale: name the SKU too, by --sku"))
	}
	if b.SKU != 0 && b.SKUs != 1 {
		f.Include(errors.New("skus: --sku names the only one: leave out one of the two"))
	}
	return f.Err()
}

// plan makes the crowd of the flags.
func (b *Bench) plan(f *config.Faults) {
	choice := load.Choice(b.Keys)
	if choice == "" {
		if choice = load.Hot; b.SKUs > 1 {
			choice = load.Zipf
		}
	}
	b.crowd = load.Crowd{
		Seed: uint64(b.Seed), WarmUp: b.WarmUp, Users: b.Users, SKUs: b.SKUs, Choice: choice, Retries: b.Retries,
		Impatient: b.Impatient, Patience: b.Patience, Bots: b.Bots, BotTries: b.BotTries,
		Confirm: b.Confirm, Release: b.Release, SettleAfter: b.SettleAfter,
	}
	if b.SKU != 0 {
		b.crowd.WarmUp = 0
	}
	switch {
	case b.Curve != "":
		file, err := os.Open(b.Curve)
		if err != nil {
			f.Include(fmt.Errorf("curve: %w", text.OfFile(err)))
			return
		}
		defer file.Close()
		if b.crowd.Curve, err = load.ReadCurve(file); err != nil {
			f.Include(fmt.Errorf("curve: %s: %w", b.Curve, err))
			return
		}
	case !(b.Rate > 0) || b.For <= 0:
		config.Between(f, "for", b.For, 1, 24*time.Hour)
		if !(b.Rate > 0) {
			f.Include(fmt.Errorf("rate: %v: want a number above none", b.Rate))
		}
		return
	case b.Arrivals == "ramp":
		b.crowd.Curve = load.Ramp(b.Rate, b.For)
	case b.Arrivals == "sale":
		b.crowd.Curve = load.Opening(b.Rate, b.For)
	default:
		b.crowd.Curve, b.crowd.Evenly = load.Constant(b.Rate, b.For), b.Arrivals == "constant"
	}
	f.Include(b.crowd.Validate())
}

// Run is called by kong.
func (b *Bench) Run(ctx context.Context, c *Console) (err error) {
	if b.Addr == "" {
		return usage(errors.New("--addr is missing, and no development stack runs here: start sluice dev, or name an edge"))
	}
	if err := errors.Join(canWrite("report", b.Report), canWrite("html", b.HTML)); err != nil {
		return usage(err)
	}
	older, err := b.older()
	if err != nil {
		return err
	}
	p, err := b.prepare(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	r := p.run(ctx, c)
	if b.Report != "" {
		err = r.WriteFile(b.Report) // what was measured is shown all the same
	}
	var compared *against.Comparison
	if older != nil {
		var other error
		compared, other = against.Compare(older, r)
		err = errors.Join(err, other)
	}
	if b.HTML != "" {
		err = errors.Join(err, report.WriteWhole(b.HTML, func(to io.Writer) error { return page.Write(to, r, compared) }))
	}
	if b.json() {
		var document bytes.Buffer
		err = errors.Join(err, r.Write(&document))
		c.Write(document.Bytes())
	} else {
		c.bench(r)
		if compared != nil {
			c.Printf("\n")
			c.comparison(compared)
		}
	}
	if verdict := benchError(r); verdict != nil {
		return errors.Join(verdict, err)
	}
	return err
}

// older reads the report to compare with, and refuses one of another plan before anything is sent.
func (b *Bench) older() (*report.Report, error) {
	switch {
	case b.Against == "":
		return nil, nil
	case b.json() && b.HTML == "":
		return nil, usage(errors.New("against: the report as JSON has no comparison: write it by --report, then sluice bench against OLD NEW -o json"))
	}
	r, err := readReport(b.Against)
	if err != nil {
		return nil, err
	}
	planned := (&benchRun{Bench: b}).planned()
	if err := against.SamePlan(&r.Plan, &planned); err != nil {
		return nil, usage(fmt.Errorf("%s: %w", b.Against, err))
	}
	return r, nil
}

// canWrite reports why the file of a flag cannot be written, before anything is measured.
func canWrite(flag, path string) error {
	switch path {
	case "":
		return nil
	case "-":
		return fmt.Errorf("%s: -: want a file, or /dev/stdout for the standard output", flag)
	}
	if err := report.CanWrite(path); err != nil {
		return fmt.Errorf("%s: %w", flag, text.OfFile(err))
	}
	return nil
}

// benchError returns the error for what a report says, so that scripts see it as an exit code.
func benchError(r *report.Report) error {
	said := map[int]string{
		report.ExitTruth: "stock is wrong: see truth", report.ExitGenerator: "the generator was the bottleneck: the figures say nothing about the edge",
		report.ExitThreshold: "a threshold was missed", report.ExitUnverified: "stock could not be judged: see truth",
	}
	switch {
	case r.Exit == report.ExitDone:
		return nil
	case said[r.Exit] == "" && r.Cut != nil:
		return codedError{errors.New("the run was cut short: " + r.Cut.Why), r.Exit}
	case said[r.Exit] == "":
		return codedError{errors.New("interrupted before stock was judged"), r.Exit}
	}
	return codedError{errors.New(said[r.Exit]), r.Exit}
}
