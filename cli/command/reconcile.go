package command

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/config"
	"sluice/core/evidence"
	"sluice/core/kafka"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/moment"
	"sluice/core/reconcile"
	"sluice/core/registry"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Reconcile compares the stores of a deployment, and puts right what differs.
type Reconcile struct {
	Writer `embed:""`

	Format string        `name:"output" short:"o" enum:"table,json,csv,html" default:"table" placeholder:"FORMAT" help:"Show the report as a table, json, csv, or an html page."`
	SKU    int64         `name:"sku" placeholder:"SKU" between:"1-9223372036854775807" help:"Compare this SKU only, from its first event on."`
	Sale   *uint32       `placeholder:"ID" between:"0-4294967295" help:"Compare the stock of this sale only, or with 0 normal stock."`
	Since  string        `placeholder:"TIME" help:"Compare only stock to which something has happened since this time (RFC 3339), or within this duration."`
	Rows   bool          `name:"all-rows" help:"Compare the older rows of the ledger with each other instead, which persisters have found whole once. Reads MySQL only."`
	Watch  bool          `help:"Compare again and again, until interrupted."`
	Every  time.Duration `default:"60s" placeholder:"DURATION" between:"1s-24h" help:"With --watch, how long to rest between two comparisons."`

	Repairs `embed:""`
}

// Help is called by kong.
func (Reconcile) Help() string {
	return `Compares Redis with the ledger, the projections, the outbox and Kafka, cell by cell, and changes nothing. Events under way
are no difference. A cell that differs is read again before it is reported. Each finding has its type, its size in
units, whether it can oversell or undersell, and the rows that prove it. docs/reconcile.md says what to do.

With --repair it also shows a plan: the steps that put the differences right, and what each expects and does. With --apply
it carries the plan out. Before each step it checks whether the step still fits. It refuses a step that does not, and goes
on with the others. If another machine does a step or has done it, it is not done again. A table of MySQL keeps who did
what, and why.

The exit code is 0 if all stores agree, 6 if something differs, and 7 if nothing differs in what could be read, but not
everything could be read. With --apply it is 0 if all differences were put right, and 1 if only some were.

Examples:
  sluice reconcile
  sluice reconcile --sku 1001 -o html > report.html
  sluice reconcile --sale 7 --since 1h -o json
  sluice reconcile --watch --every 60s
  sluice reconcile --all-rows
  sluice reconcile --repair
  sluice reconcile --repair --apply --reason "ticket 4711"`
}

// BeforeApply is called by kong. It runs before that of Writer, which then finds its addresses given.
func (r *Reconcile) BeforeApply(k *kong.Context, c *Console) error {
	_, err := r.Dev.fill(k, r.MySQL.DSN != "", func(d *DevStack) {
		r.use(c, d)
		r.Key.File = d.TokenKeyFile
	})
	return err
}

// Validate joins all faults.
func (r *Reconcile) Validate() error {
	var f config.Faults
	f.Include(r.Writer.Validate())
	if _, err := r.since(time.Unix(0, 0)); err != nil {
		f.Include(fmt.Errorf("since: %w", err))
	}
	r.check(&f, r.Format, r.Watch)
	if r.Rows && (r.Repair || r.Since != "") {
		f.Include(errors.New("all-rows: it looks at all times, and plans no repair: leave out --since, and plan with --repair --sku"))
	}
	if r.Watch && r.Format == "html" {
		f.Include(errors.New("watch: an html page is one report: leave out --watch, or choose another --output"))
	}
	return f.Err()
}

// since returns the earliest time of what is compared, in ms; 0: any.
func (r *Reconcile) since(now time.Time) (int64, error) {
	if r.Since == "" {
		return 0, nil
	}
	at, err := timeOrAgo(r.Since, now)
	return at.UnixMilli(), err
}

// timeOrAgo reads a time, or a duration that says how long ago the time is.
func timeOrAgo(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil {
		if d <= 0 {
			return now, errors.New("want a duration above 0, or a time in RFC 3339")
		}
		return now.Add(-d), nil
	}
	at, err := moment.Parse(text)
	if err != nil {
		return now, errors.New("want a time in RFC 3339, such as 2026-01-31T18:00:00Z, or a duration, such as 1h")
	}
	return at, nil
}

// Run is called by kong.
func (r *Reconcile) Run(ctx context.Context, c *Console) error {
	w := reconcileRun{Reconcile: r, console: c, behind: map[int]bool{}}
	if r.Repair {
		return errors.Join(w.repair(ctx), w.close())
	}
	var last *reconcile.Report
	for {
		report, err := w.sweep(ctx)
		if err == nil {
			last = report
			err = errors.Join(w.print(report), c.Written())
			w.tellLosses(ctx, report)
		}
		switch {
		case r.Watch && ctx.Err() != nil && last != nil:
			return errors.Join(verdictError(last), w.close()) // how a watch ends
		case err != nil || !r.Watch:
			return errors.Join(err, verdictError(last), w.close())
		}
		lifecycle.Pause(ctx, r.Every)
	}
}

// tellLosses names the partitions that only a restore can bring back. Each of their cells is a finding otherwise. A watch
// looks again only if more partitions have a lost tail, because that takes a whole vetting.
func (w *reconcileRun) tellLosses(ctx context.Context, report *reconcile.Report) {
	before := len(w.behind)
	if report.Summary.ByType[reconcile.LostTail] == 0 {
		clear(w.behind)
	}
	for i := range report.Findings {
		if f := &report.Findings[i]; f.Type == reconcile.LostTail {
			w.behind[f.Cell().Partition(w.Stock.Partitions)] = true
		}
	}
	if len(w.behind) <= before {
		return
	}
	losses, err := w.vetting(w.opened).Losses(ctx)
	if err != nil {
		clear(w.behind)
		return // the findings stand without it
	}
	if lost := losses.Partitions(w.Stock.Partitions); len(lost) > 0 {
		w.console.Notef("%s: it holds nothing, or has lost a key: bring the data back, or write them anew from MySQL and Kafka: sluice restore",
			stock.PartitionsText(lost))
	}
}

// verdictError returns the error for the verdict of a report, so that scripts see it as an exit code.
func verdictError(report *reconcile.Report) error {
	if report == nil {
		return nil
	}
	s := &report.Summary
	switch s.Verdict {
	case reconcile.Clean:
	case reconcile.HasDrift:
		err := errors.New("the stores differ: registered users; each line says what to do")
		if s.Findings > 0 {
			err = fmt.Errorf("the stores differ: %s findings in %s cells: docs/reconcile.md says what to do about each type", number(s.Findings), number(s.Cells))
		}
		return codedError{err, ExitDrift}
	case reconcile.NotChecked:
		return codedError{errors.New("not everything could be compared: see what is unverified"), ExitUnverified}
	}
	return nil
}

// reconcileRun is a run of the command.
type reconcileRun struct {
	*Reconcile

	console *Console
	opened  *Opened
	sweeper *reconcile.Sweeper
	away    map[reconcile.Store]time.Time // since when a store could not be reached
	printed bool
	behind  map[int]bool // partitions whose lost tails tellLosses has looked into
	sweptAt show.Moment  // MySQL's time before the sweep began
	shown   time.Time
}

func (w *reconcileRun) close() error {
	if w.opened == nil {
		return nil
	}
	return w.opened.Close()
}

// sweep connects, unless it has connected before, and compares.
func (w *reconcileRun) sweep(ctx context.Context) (*reconcile.Report, error) {
	if w.opened == nil {
		o, store, err := w.openToCompare(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			if errors.Is(err, redisstock.ErrForeign) || errors.Is(err, redisstock.ErrDenied) {
				return nil, err
			}
			if w.away == nil {
				w.away = map[reconcile.Store]time.Time{}
			}
			if w.away[store].IsZero() {
				w.away[store] = time.Now()
			}
			return reconcile.Unreadable(store, w.away[store], explainInLine(err)), nil
		}
		w.opened, w.away = o, nil
		w.sweeper = o.sweeper(w.Kafka)
		w.sweeper.Progress = w.progress
	}
	sinceMS, err := w.since(time.Now())
	if err != nil {
		return nil, err
	}
	if w.Repair {
		if w.sweptAt, err = w.opened.Books().Now(ctx); err != nil {
			return nil, err
		}
	}
	compare := w.sweeper.Sweep
	if w.Rows {
		compare = w.sweeper.Older
	}
	report, err := compare(ctx, reconcile.Scope{SKU: w.SKU, Sale: w.Sale, SinceMS: sinceMS})
	if err != nil {
		return nil, err
	}
	return report, w.missing(report)
}

// missing returns an error if no store knows the stock that was named, because its number may be mistyped. Such stock
// must not pass for clean.
func (w *reconcileRun) missing(report *reconcile.Report) error {
	if w.Rows || report.Summary.Cells > 0 || report.Summary.Verdict != reconcile.Clean || w.Since != "" {
		return nil
	}
	switch {
	case w.SKU != 0 && w.Sale != nil:
		return notFound(fmt.Errorf("no store knows SKU %d in sale %d", w.SKU, *w.Sale))
	case w.SKU != 0:
		return notFound(fmt.Errorf("no store knows SKU %d", w.SKU))
	case w.Sale != nil && *w.Sale != 0:
		return notFound(fmt.Errorf("no store knows stock of sale %d", *w.Sale))
	}
	return nil
}

// openToCompare connects, even to a Redis that is shut, because the command looks for what that Redis has lost. If it
// fails, it names the store that it could not read.
func (s *Stores) openToCompare(ctx context.Context) (*Opened, reconcile.Store, error) {
	redis, err := s.openRedis(ctx)
	if err != nil {
		return nil, reconcile.InRedis, err
	}
	stores, err := redis.With(ctx, s.MySQL)
	if err != nil {
		redis.Close()
		return nil, reconcile.InLedger, err
	}
	if err := stores.Match(ctx); err != nil {
		return nil, reconcile.InLedger, errors.Join(err, stores.Close())
	}
	return &Opened{stores}, "", nil
}

// sweeper returns a sweeper for the opened stores.
func (o *Opened) sweeper(k kafka.Config) *reconcile.Sweeper {
	tail := evidence.New(o.DB, evidence.KafkaTail{Brokers: k.Brokers, Topic: k.Topic, Group: k.Group})
	return &reconcile.Sweeper{
		Redis: o.Stock, Books: ledger.New(o.DB, nil), Tail: tail.Tail, Users: registry.New(o.DB, o.Stock).Compare, Now: time.Now,
	}
}

// progress prints on standard error how far a sweep has come.
func (w *reconcileRun) progress(p reconcile.Progress) {
	now := time.Now()
	if w.shown.IsZero() {
		w.shown = now
	}
	if now.Sub(w.shown) >= w.console.tellEvery() {
		w.shown = now
		w.console.Notef("comparing: %d %%, %s cells, %s findings", 100*p.Done/max(1, p.Partitions), number(p.Cells), number(p.Findings))
	}
}

func (w *reconcileRun) print(report *reconcile.Report) error {
	defer func() { w.printed = true }()
	switch w.Format {
	case "json":
		return w.console.JSON(report)
	case "csv":
		return w.csv(report)
	case "html":
		var page bytes.Buffer
		err := report.WriteHTML(&page)
		w.console.Write(page.Bytes())
		return err
	}
	w.table(report)
	return nil
}

// csv writes a line per finding. Everything else goes to standard error: stores that could not be read, and registered
// users.
func (w *reconcileRun) csv(report *reconcile.Report) error {
	for _, u := range report.Summary.Unread {
		w.console.Notef("%s", unreadText(u))
	}
	for i := range report.Users {
		w.console.Notef("%s", usersText(&report.Users[i]))
	}
	var text bytes.Buffer
	to := csv.NewWriter(&text)
	var err error
	if !w.printed {
		err = to.Write([]string{"type", "sku_id", "pool", "bucket", "units", "direction", "since", "repair", "proof"})
	}
	for i := range report.Findings {
		f := &report.Findings[i]
		err = errors.Join(err, to.Write([]string{
			string(f.Type), strconv.FormatInt(int64(f.SKU), 10), strconv.FormatUint(uint64(f.Pool), 10), strconv.Itoa(int(f.Bucket)),
			strconv.FormatInt(f.Units, 10), string(f.Direction), timeText(int64(f.Since)), f.Repair, proofText(f.Proof),
		}))
	}
	to.Flush()
	w.console.Write(text.Bytes())
	return errors.Join(err, to.Error())
}

// findingTitle names the subject of a finding for people.
func findingTitle(f *reconcile.Finding) string {
	if f.SKU == 0 {
		return "a whole message"
	}
	title := cellTitle(f.SKU, show.ID(f.Pool))
	if f.Bucket != 0 {
		title += fmt.Sprintf(", bucket %d", f.Bucket)
	}
	return title
}

func proofText(proof []reconcile.Proof) string {
	lines := make([]string, len(proof))
	for i := range proof {
		lines[i] = proof[i].String()
	}
	return strings.Join(lines, "; ")
}

func unreadText(u reconcile.Unread) string {
	part := ""
	if len(u.Partitions) > 0 {
		part = " (" + stock.PartitionsText(u.Partitions) + ")"
	}
	return fmt.Sprintf("unverified since %s: %s%s: %s", timeText(int64(u.Since)), u.Store, part, u.Error)
}

func usersText(u *reconcile.Users) string {
	return fmt.Sprintf("registered users of sale %d: %s: %s", int64(u.Sale), u.Says(), u.Do())
}

func (w *reconcileRun) table(report *reconcile.Report) {
	c, s := w.console, &report.Summary
	colors := map[reconcile.Verdict]string{reconcile.Clean: green, reconcile.HasDrift: red, reconcile.NotChecked: yellow}
	c.Printf("%s: %s: %s cells, %s in sync, %s in flight, %s drift, %s unverified; %s open reservations\n", timeText(int64(s.StartedAt)),
		c.paint(colors[s.Verdict], reconcile.VerdictText(s.Verdict)), number(s.Cells), number(s.InSync), number(s.InFlight), number(s.Drift),
		number(s.Unverified), number(s.Reservations))
	for _, u := range s.Unread {
		c.Printf("%s\n", c.paint(yellow, unreadText(u)))
	}
	for i := range report.Users {
		c.Printf("%s\n", c.paint(red, usersText(&report.Users[i])))
	}
	if len(report.Findings) == 0 {
		return
	}
	t := c.table()
	t.row("TYPE", "STOCK OF", "UNITS", "DIRECTION", "NOT OLDER THAN", "REPAIR")
	for i := range report.Findings {
		f := &report.Findings[i]
		t.row(string(f.Type), findingTitle(f), number(f.Units), string(f.Direction), timeText(int64(f.Since)), f.Repair)
	}
	t.flush()
	for i := range report.Findings {
		f := &report.Findings[i]
		c.Printf("\n%s of %s\n", string(f.Type), findingTitle(f))
		for _, p := range f.Proof {
			c.Printf("  %s\n", p.String())
		}
	}
	if s.LeftOut > 0 {
		c.Printf("%s findings more are counted, and not listed\n", number(s.LeftOut))
	}
}
