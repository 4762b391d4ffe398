package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"sluice/core/restore"
	"sluice/core/stock"
)

// Restore writes a lost Redis anew.
type Restore struct {
	Writer  `embed:""`
	Output  `embed:""`
	Consent `embed:""`

	Parallel int `default:"4" placeholder:"N" between:"1-64" help:"Partitions to restore at once. Each takes a connection to MySQL."`
}

// Help is called by kong.
func (Restore) Help() string {
	return `Writes partitions of Redis anew from MySQL and Kafka if Redis holds nothing of them, or has lost one of their keys. It
writes stock, open and remembered reservations, limits of users and deadlines. It leaves partitions that hold stock as they
are.

The command waits until persisters have brought everything from Kafka to MySQL, so keep one running. When a partition is
done, it is compared with MySQL and Kafka, and sells from then on. You can interrupt the command and run it again, also on
several machines at once: what is done stays done.

If Redis has only lost its last effects, no restore is needed. Look for a copy of the data first, because a replica and the
disk of the lost machine have what MySQL and Kafka may lack. See docs/restore.md.

Examples:
  sluice restore --dry-run
  sluice restore --yes
  sluice restore --yes -o json`
}

// Validate joins all faults.
func (r *Restore) Validate() error { return r.Writer.Validate() }

// restored is the result that the command prints.
type restored struct {
	Partitions   int           `json:"partitions"` // partitions that had to be restored
	Done         int           `json:"done"`
	Cells        int64         `json:"cells"`
	Reservations int64         `json:"reservations"`
	Events       int64         `json:"events"`
	Seconds      float64       `json:"seconds"`
	DryRun       bool          `json:"dry_run,omitempty"`
	Busy         []int         `json:"restored_by_others,omitempty"`
	Refused      []refusedPart `json:"refused,omitempty"`
	Lost         []*lostOfCell `json:"lost,omitempty"`
}

type refusedPart struct {
	Partition int    `json:"partition"`
	Why       string `json:"why"`
}

type lostOfCell struct {
	SKU     int64  `json:"sku_id,string"`
	Sale    uint32 `json:"pool"`
	Events  uint64 `json:"events"`
	Units   int64  `json:"units_at_most"`
	Revoked int    `json:"revoked"`
}

// Run is called by kong.
func (r *Restore) Run(ctx context.Context, c *Console) (err error) {
	if err := r.check(c); err != nil {
		return err
	}
	r.MySQL.ConnsMax = max(r.MySQL.ConnsMax, r.Parallel+4)
	r.Redis.CallTimeout = max(r.Redis.CallTimeout, loadCallTimeout)
	o, _, err := r.openToCompare(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	work := restore.Restore{Vetting: r.vetting(o), Store: o.Stock, Parallel: r.Parallel}
	work.Open = func(ctx context.Context) error {
		_, err := work.Vetting.Open(ctx, o.Stock)
		return err
	}
	plan, err := work.Plan(ctx)
	if err != nil {
		return err
	}
	r.tell(c, &plan)
	if len(plan.Partitions) == 0 || r.DryRun {
		if r.json() {
			return c.JSON(restored{Partitions: len(plan.Partitions), Cells: plan.Cells, DryRun: r.DryRun})
		}
		return nil
	}
	question := fmt.Sprintf("About to write %d partitions of deployment %s anew", len(plan.Partitions), r.Stock.Deployment)
	if err := r.ask(ctx, c, question, "restore"); err != nil {
		return err
	}
	began := time.Now()
	show := restoreProgress{c: c, began: began, shown: began}
	work.Progress = show.tell
	report, err := work.Run(ctx, plan)
	result := resultOf(&report, time.Since(began))
	if r.json() {
		err = errors.Join(err, c.JSON(result))
	} else {
		result.print(c)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w\nWhat is restored stays. To go on, run sluice restore again", err)
	case len(result.Refused) > 0:
		return inPart(fmt.Errorf("%d partitions are not restored", len(result.Refused)))
	}
	return nil
}

// tell says what the restore has to do, and what no restore can help.
func (r *Restore) tell(c *Console, plan *restore.Plan) {
	for _, other := range plan.Other {
		c.Notef("left as it is: %s", other)
	}
	if r.json() {
		return
	}
	if plan.New {
		c.Printf("Nothing is to be restored: Redis is empty, and neither MySQL nor Kafka knows of any stock\n")
		return
	}
	if len(plan.Partitions) == 0 {
		c.Printf("Nothing is to be restored: no partition is empty or has lost a key\n")
		return
	}
	if len(plan.Bare) > 0 {
		c.Printf("hold nothing: %s\n", stock.PartitionsText(plan.Bare))
	}
	if len(plan.Begun) > 0 {
		c.Printf("begun before, and not finished: %s\n", stock.PartitionsText(plan.Begun))
	}
	for _, p := range slices.Sorted(maps.Keys(plan.Torn)) {
		c.Printf("partition %d has lost %s: the rest of it is emptied first\n", p, plan.Torn[p].Lost)
	}
	c.Printf("to restore: %d partitions with %s cells\n", len(plan.Partitions), number(plan.Cells))
	if plan.Waiting > 0 {
		c.Printf("first, persisters have to bring %s messages from Kafka to MySQL\n", number(plan.Waiting))
	}
}

// restoreProgress prints on standard error how far a restore has come.
type restoreProgress struct {
	c            *Console
	began, shown time.Time
	start        time.Time // of the restore itself, after the wait for persisters
}

func (s *restoreProgress) tell(p restore.Progress) {
	now := time.Now()
	if p.Waiting == 0 && s.start.IsZero() {
		s.start = now
	}
	if !s.c.ErrIsTerminal && now.Sub(s.shown) < lineEvery {
		return
	}
	s.shown = now
	if p.Waiting > 0 {
		s.c.Notef("waiting for persisters to bring %s messages from Kafka to MySQL", number(p.Waiting))
		return
	}
	s.c.Notef("restoring: %d of %d partitions, %s", p.Done, p.Partitions, restoreText(&p, now.Sub(s.start)))
}

// restoreText says how fast a restore is, and how long it will take.
func restoreText(p *restore.Progress, taken time.Duration) string {
	seconds := taken.Seconds()
	text := fmt.Sprintf("%s cells, %s reservations, %s events", number(p.Cells), number(p.Records), number(p.Events))
	if seconds <= 0 || p.Cells == 0 {
		return text
	}
	text += fmt.Sprintf(", %s cells/s", number(int64(float64(p.Cells)/seconds)))
	if left := p.CellsAll - p.Cells; left > 0 {
		text += fmt.Sprintf(", about %v left", time.Duration(seconds*float64(left)/float64(p.Cells)*float64(time.Second)).Round(time.Second))
	}
	return text
}

func resultOf(report *restore.Report, taken time.Duration) restored {
	out := restored{
		Partitions: report.Partitions, Done: report.Done, Cells: report.Cells, Reservations: report.Records, Events: report.Events,
		Seconds: taken.Seconds(), Busy: report.Busy,
	}
	for _, p := range slices.Sorted(maps.Keys(report.Refused)) {
		out.Refused = append(out.Refused, refusedPart{p, report.Refused[p]})
	}
	for _, p := range slices.Sorted(maps.Keys(report.Lost)) {
		for _, l := range report.Lost[p] {
			out.Lost = append(out.Lost, &lostOfCell{l.Cell.SKU, l.Cell.Pool, l.Events, l.Units, l.Revoked})
		}
	}
	return out
}

func (r *restored) print(c *Console) {
	c.Printf("restored: %d of %d partitions, %s cells, %s reservations, from %s events in %.1f s\n", r.Done, r.Partitions,
		number(r.Cells), number(r.Reservations), number(r.Events), r.Seconds)
	if len(r.Busy) > 0 {
		c.Printf("restored by others: %s\n", stock.PartitionsText(r.Busy))
	}
	for _, p := range r.Refused {
		c.Printf("partition %d is not restored: %s\n", p.Partition, p.Why)
	}
	for _, l := range r.Lost {
		c.Printf("%v: the ledger lacks %d events: at most %s units have reservations that nobody can name; %d holds are revoked\n",
			cellOf(l.SKU, l.Sale), l.Events, number(l.Units), l.Revoked)
	}
}
