package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/config"
	"sluice/core/evidence"
	"sluice/core/ledger"
	"sluice/core/outbox"
	"sluice/core/reconcile"
	"sluice/core/repair"
	"sluice/core/stock"
)

// Repairs has the flags by which reconcile puts right what it finds.
type Repairs struct {
	Repair       bool          `help:"Show the plan too: the steps that put right what differs."`
	Apply        bool          `help:"With --repair, carry the plan out."`
	Reason       string        `placeholder:"TEXT" help:"With --apply, why. It is kept with each step."`
	By           string        `placeholder:"NAME" help:"With --apply, who does it. Defaults to the admin of --operator-token-file, or the name of the user who runs this."`
	Yes          bool          `short:"y" help:"With --apply, do not ask."`
	UnitsMax     int64         `name:"repair-units-max" default:"1000" placeholder:"UNITS" between:"0-1099511627775" help:"With --apply, how many units a plan may put right without the approval of another admin."`
	ApprovalFile string        `name:"approve-token-file" private:"" placeholder:"PATH" help:"With --apply, the file with a token by which another admin approves the plan, once: sluice token --plan makes it."`
	Wait         time.Duration `default:"15s" placeholder:"DURATION" between:"0s-1h" help:"With --apply, how long a step may wait for persisters, and for others who do the same. If no persister does anything, only one step waits so long."`

	OperatorToken     config.Secret `kong:"-" env:"SLUICE_OPERATOR_TOKEN" group:"Tokens" help:"The access token itself, instead of its file."`
	OperatorTokenFile string        `name:"operator-token-file" private:"" env:"SLUICE_OPERATOR_TOKEN_FILE" group:"Tokens" placeholder:"PATH"`

	Key      TokenKey `embed:""`
	Issuer   string   `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Audience string   `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice" placeholder:"TEXT"`
}

// check reports flags that do not go together.
func (r *Repairs) check(f *config.Faults, format string, watch bool) {
	switch {
	case r.Apply && !r.Repair:
		f.Include(errors.New("apply: it carries out what --repair shows: give both"))
	case r.Repair && watch:
		f.Include(errors.New("repair: a plan is of one report: leave out --watch"))
	case r.Repair && (format == "csv" || format == "html"):
		f.Include(errors.New("repair: a plan is shown as a table or as json: choose another --output"))
	case r.Apply:
		checkReason(f, r.Reason)
	case r.ApprovalFile != "":
		f.Include(errors.New("approve-token-file: it is for --apply"))
	}
}

// repaired is a report with its plan and the results of the steps.
type repaired struct {
	*reconcile.Report

	Plan    *repair.Plan    `json:"plan"`
	Results []repair.Result `json:"results,omitzero"`
}

// repair compares once, shows the plan, and carries it out if the user asks for that.
func (w *reconcileRun) repair(ctx context.Context) error {
	if w.Apply && !w.Yes && !w.console.canAsk() {
		return usage(errors.New("nobody is there to confirm: repeat with --yes, or look first without --apply"))
	}
	report, err := w.sweep(ctx)
	if err != nil {
		return err
	}
	err = errors.Join(w.mend(ctx, report), w.console.Written())
	if err != nil || w.Apply && report.Summary.Verdict == reconcile.HasDrift {
		return err
	}
	return verdictError(report)
}

// mend shows the plan of a report, and carries it out if the user asks for that.
func (w *reconcileRun) mend(ctx context.Context, report *reconcile.Report) error {
	plan := repair.NewPlan(w.Stock.Deployment, report, w.sweptAt)
	if w.Format != "json" {
		w.table(report)
		w.planTable(plan)
	}
	if !w.Apply {
		if w.Format == "json" {
			return w.console.JSON(repaired{Report: report, Plan: plan})
		}
		return nil
	}
	who, err := w.authority(plan)
	if err == nil && !w.Yes && plan.Does > 0 {
		err = w.console.Confirm(ctx, fmt.Sprintf("About to do %d steps, which put %s units right", plan.Does, number(plan.Units)), plan.Digest.String()[:8])
	}
	if err != nil {
		return err
	}
	results, err := w.apply(ctx, report, plan, who)
	if w.Format == "json" {
		err = errors.Join(w.console.JSON(repaired{report, plan, results}), err)
	}
	return cmp.Or(err, resultsError(results))
}

// resultsError returns the error for the results, so that scripts see it as an exit code.
func resultsError(results []repair.Result) error {
	counts := map[repair.Outcome]int{}
	for i := range results {
		counts[results[i].Outcome]++
	}
	if counts[repair.Refused]+counts[repair.Pending] == 0 {
		return nil
	}
	return inPart(fmt.Errorf("of %d steps %d are done, %d refused, %d not done yet: each says why; plan again", len(results), counts[repair.Done],
		counts[repair.Refused], counts[repair.Pending]))
}

// apply carries a plan out.
func (w *reconcileRun) apply(ctx context.Context, report *reconcile.Report, plan *repair.Plan, who authority) ([]repair.Result, error) {
	o := w.opened
	if err := o.Trust(ctx); err != nil {
		return nil, err
	}
	k := w.Kafka
	kept := evidence.New(o.DB, evidence.KafkaTail{Brokers: k.Brokers, Topic: k.Topic, Group: k.Group})
	desk := repair.Desk{
		Store: o.Stock, Books: o.Books(), Sales: o.Sales(w.Stock.Retention), Kept: kept.Kept, Publish: w.publish,
		Decision: ledger.Decision{By: who.operator, Reason: w.Reason}, Approval: who.approval, Wait: w.Wait,
		Whole: w.SKU == 0 && w.Sale == nil && w.Since == "" && report.Whole(),
	}
	results := []repair.Result{}
	steps := stepProgress{c: w.console, all: len(plan.Steps), began: time.Now()}
	err := desk.Apply(ctx, plan, func(r *repair.Result) {
		results = append(results, *r)
		if w.Format != "json" {
			w.console.Printf("%d of %d: %s of %s: %s: %s\n", len(results), len(plan.Steps), r.Repair, stepTitle(&r.RepairStep), r.Outcome, r.Said)
		}
		steps.tell(len(results), time.Now())
	})
	if errors.Is(err, ledger.ErrApprovalUsed) {
		err = refused(fmt.Errorf("approve-token-file: %w. It is good for one run: look at the plan again, and have that approved", err))
	}
	return results, err
}

// stepProgress prints on standard error how far a plan has come, and how long it will take.
type stepProgress struct {
	c            *Console
	all          int
	began, shown time.Time
}

func (s *stepProgress) tell(done int, now time.Time) {
	if done == s.all || now.Sub(cmp.Or(s.shown, s.began)) < s.c.tellEvery() {
		return
	}
	s.shown = now
	left := now.Sub(s.began) / time.Duration(done) * time.Duration(s.all-done)
	s.c.Notef("%s of %s steps, about %v left", number(int64(done)), number(int64(s.all)), left.Round(time.Second))
}

// publish brings entries to Kafka.
func (w *reconcileRun) publish(ctx context.Context, entries []stock.Entry) (err error) {
	publisher, err := outbox.NewPublisher(outbox.PublisherConfig{ //nolint:contextcheck // it ends by Close
		Brokers: w.Kafka.Brokers, Topic: w.Kafka.Topic, Partitions: w.Kafka.Partitions, Log: slog.New(slog.DiscardHandler),
	}, metrics.NewSet())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, publisher.Close(ctx)) }()
	answers := make(chan error, len(entries))
	for i, e := range entries {
		if !publisher.PublishWait(e, func(err error) { answers <- err }) {
			return fmt.Errorf("publish %d events again: %d did not fit", len(entries), len(entries)-i)
		}
	}
	for range entries {
		select {
		case answer := <-answers:
			err = cmp.Or(err, answer)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func stepTitle(s *reconcile.RepairStep) string {
	return findingTitle(&reconcile.Finding{SKU: s.SKU, Pool: s.Pool, Bucket: s.Bucket})
}

// planTable shows a plan for people.
func (w *reconcileRun) planTable(p *repair.Plan) {
	c := w.console
	if len(p.Steps) == 0 {
		return
	}
	c.Printf("\nplan %v: %d steps, %s units\n", p.Digest, p.Does, number(p.Units))
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Refused != "" {
			c.Printf("  %s of %s: not done: %s\n", s.Repair, stepTitle(s), s.Refused)
			continue
		}
		c.Printf("  %s of %s, %s units: if %s: %s\n", s.Repair, stepTitle(s), number(s.Units), s.Expects, s.Does)
	}
	if !w.Apply && p.Does > 0 {
		c.Printf("carry it out with sluice reconcile --repair --apply --reason \"why\"\n")
	}
}
