package repair

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/operate"
	"sluice/core/outbox"
	"sluice/core/reconcile"
	"sluice/core/sale"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Lease is how long somebody may take for a step that no persister does. After that, another machine takes it over.
const Lease = 30 * time.Second

// lookPause is the pause between two looks at a step that others do.
const lookPause = 200 * time.Millisecond

// Outcome is the outcome of a step.
type Outcome string

// The outcomes.
const (
	Done    Outcome = "done"
	Refused Outcome = "refused" // nothing was changed
	Pending Outcome = "pending" // somebody is doing it; see the table of repairs
)

// Result is a step with its outcome.
type Result struct {
	reconcile.RepairStep

	Outcome Outcome `json:"outcome"`
	Said    string  `json:"said"`
	By      string  `json:"by,omitzero"`
	Epoch   uint32  `json:"event_epoch,omitzero"` // of the event, if the step made one
	Seq     uint64  `json:"event_seq,omitzero"`
}

// Desk carries plans out.
type Desk struct {
	Store *redisstock.Store
	Books *ledger.Reader
	Sales *sale.Desk
	// Kept yields what Kafka keeps of a partition of the stock, from about a time of Redis on.
	Kept func(ctx context.Context, partition int, sinceMS int64, yield func(*outbox.Message, *event.Batch) error) error
	// Publish brings entries to Kafka, and waits until Kafka has them.
	Publish func(ctx context.Context, entries []stock.Entry) error

	Decision ledger.Decision
	Approval *ledger.Approval // of the plan; nil: nobody had to
	Wait     time.Duration    // how long to wait, per step, for persisters and for other machines
	Lease    time.Duration    // 0: Lease
	Whole    bool             // the plans are of all stock, and contain every step that it needs

	away  map[server]error // servers at which steps of this plan have failed
	quiet bool             // persisters have not done in Wait what the last step that waited for them needs
}

// refusal says why a step is not done: Redis or MySQL is not as the step expects.
type refusal string

func (r refusal) Error() string { return string(r) }

// pending says why a step has not ended yet.
type pending string

func (p pending) Error() string { return string(p) }

// Apply carries a plan out, and reports each step. It stops early only when ctx ends, or if it cannot read or write the
// table of repairs, because then all other steps would fail too. If a step fails otherwise, it stays pending. Later
// steps that need the same partition of Redis, or Kafka too, also stay pending. So one step waits for a server that is
// away, or for persisters of which none runs, and not each. Call it once at a time.
func (d *Desk) Apply(ctx context.Context, p *Plan, told func(*Result)) error {
	if d.Approval != nil {
		if d.Approval.Plan != p.Digest {
			return errors.New("the approval is of another plan")
		}
		if err := d.Books.UseApproval(ctx, d.Approval); err != nil {
			return err
		}
	}
	d.away, d.quiet = map[server]error{}, false
	for i := range p.Steps {
		step := &p.Steps[i]
		result := Result{RepairStep: *step, Outcome: Refused, Said: step.Refused}
		if step.Refused == "" {
			if err := d.applyUnless(ctx, p, step, &result); err != nil {
				return fmt.Errorf("step %v: %w", step.ID, err)
			}
		}
		told(&result)
	}
	if !d.Whole {
		return nil
	}
	planned := map[[sha256.Size]byte]bool{}
	for i := range p.Steps {
		planned[p.Steps[i].ID] = true
	}
	return d.Books.CloseRepairs(ctx, p.MadeAt, d.lease(), planned)
}

func (d *Desk) lease() time.Duration {
	if d.Lease > 0 {
		return d.Lease
	}
	return Lease
}

// server names the server that a step needs beside MySQL: a partition of Redis, or Kafka.
type server int

const kafka server = -1

// servers returns those that a step needs. A transfer needs the partition that the units left, and the one where they arrive.
func servers(step *reconcile.RepairStep, partitions int) []server {
	own := server(step.Cell().Partition(partitions))
	switch a := &step.Act; {
	case a.Transfer != nil && a.Transfer.To != nil:
		return []server{own, server(destination(step).Partition(partitions))}
	case a.Shift != nil, a.Record != nil, a.Count != nil, a.Transfer != nil:
		return []server{own}
	case a.Events != nil:
		return []server{kafka}
	}
	return nil
}

// arrivalError is an error where the units of a transfer arrive. The partition that they left may be well.
type arrivalError struct{ error }

func (e arrivalError) Unwrap() error { return e.error }

// failed notes which server a step has failed at. If nobody can tell, later steps try each by itself.
func failed(away map[server]error, step *reconcile.RepairStep, needs []server, err error) {
	switch a := step.Act.Transfer; {
	case len(needs) == 0, a != nil && a.To == nil: // only the sale knows where the units of a move arrive
	case errors.As(err, new(arrivalError)):
		away[needs[1]] = err
	default:
		away[needs[0]] = err
	}
}

// failedError is the error of a step that may be done in part.
type failedError struct{ error }

func (e failedError) Unwrap() error { return e.error }

// applyUnless does one step, unless an earlier step has failed at a server that this one needs. It notes if this one
// fails.
func (d *Desk) applyUnless(ctx context.Context, p *Plan, step *reconcile.RepairStep, result *Result) error {
	needs := servers(step, d.Store.Partitions())
	for _, s := range needs {
		if err := d.away[s]; err != nil {
			result.Outcome, result.Said = Pending, fmt.Sprintf("not begun, because an earlier step failed: %v", err)
			return nil
		}
	}
	err := d.apply(ctx, p, step, result)
	if !errors.As(err, new(failedError)) || ctx.Err() != nil {
		return err
	}
	result.Outcome, result.Said = Pending, err.Error()
	failed(d.away, step, needs, err)
	return nil
}

// apply does one step, unless somebody else is doing it or has done it.
func (d *Desk) apply(ctx context.Context, p *Plan, step *reconcile.RepairStep, result *Result) error {
	act, err := json.Marshal(step.Act)
	if err != nil {
		return err
	}
	claim := ledger.Repair{
		Step: step.ID, Plan: p.Digest, Decision: d.Decision, Type: string(step.Type), Repair: step.Repair,
		Cell: step.Cell(), Units: step.Units, Direction: string(step.Direction), Expects: step.Expects, Does: step.Does, Act: act,
		ByPersister: step.Act.Stock != nil || step.Act.Row != nil,
	}
	if d.Approval != nil {
		claim.Approved = d.Approval.Approver
	}
	wait := d.Wait
	if claim.ByPersister {
		wait = d.patience()
	}
	for end := time.Now().Add(wait); ; {
		row, err := d.Books.ClaimRepair(ctx, &claim, p.MadeAt, d.lease())
		if err != nil {
			return err
		}
		result.By = row.By
		switch {
		case row.Mine() && !row.ByPersister:
			return d.do(ctx, step, &row, result)
		case row.EndedAt != 0:
			d.quiet = d.quiet && !row.ByPersister
			result.tell(&row)
			return nil
		case !time.Now().Before(end):
			result.Outcome, result.Said = Pending, fmt.Sprintf("%s has begun it at %s", row.By, clock(row.ClaimedAt))
			if row.ByPersister {
				result.Said, d.quiet = "no persister has done it yet: is one running?", true
			}
			return nil
		}
		if !lifecycle.Pause(ctx, lookPause) {
			return ctx.Err()
		}
	}
}

// patience returns how long to wait for persisters. After they have kept quiet for Wait, each step gives them a moment only.
// When they do something, later steps wait longer again.
func (d *Desk) patience() time.Duration {
	if d.quiet || d.away[kafka] != nil {
		return min(d.Wait, lookPause)
	}
	return d.Wait
}

func clock(m show.Moment) string {
	text, _ := m.MarshalText() // it never fails
	return string(text)
}

// tell takes the result of a step from its row.
func (r *Result) tell(row *ledger.Repair) {
	r.Outcome, r.Said, r.Epoch, r.Seq = Refused, row.Said, row.Epoch, row.Seq
	if row.Done {
		r.Outcome = Done
	}
}

// do does a step that was claimed. Doing it again does no harm.
func (d *Desk) do(ctx context.Context, step *reconcile.RepairStep, row *ledger.Repair, result *Result) error {
	said, at, err := d.act(ctx, step)
	var refused refusal
	var later pending
	switch {
	case err == nil:
		row.Done, row.Said, row.Position = true, said, at
	case errors.As(err, &refused):
		row.Said = refused.Error()
	case errors.As(err, &later):
		result.Outcome, result.Said = Pending, later.Error()
		return nil
	default:
		return failedError{err}
	}
	result.tell(row)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), Lease)
	defer cancel()
	return d.Books.EndRepair(ctx, row, row.Done, row.Said, row.Position)
}

// act does the work of a step. If that made an event, act returns its position.
func (d *Desk) act(ctx context.Context, step *reconcile.RepairStep) (said string, at stock.Position, err error) {
	switch a := &step.Act; {
	case a.Shift != nil:
		return d.shift(ctx, step, a.Shift)
	case a.Record != nil:
		said, err = d.record(ctx, a.Record)
	case a.Count != nil:
		said, err = d.count(ctx, step, a.Count)
	case a.Letter != "":
		said, err = d.replay(ctx, a.Letter)
	case a.Settled != "":
		said, err = d.resolve(ctx, a.Settled)
	case a.Transfer != nil:
		said, err = d.transfer(ctx, step, a.Transfer)
	case a.Events != nil:
		said, err = d.events(ctx, step, a.Events)
	default:
		err = refusal("this program does not know such a step")
	}
	return said, at, err
}

func (d *Desk) record(ctx context.Context, e *reconcile.RecordEdit) (string, error) {
	id, err := stock.ParseReservationID(e.Reservation)
	if err != nil {
		return "", refusal(err.Error())
	}
	found, wanted := e.Found.Reservation(id), e.Wanted.Reservation(id)
	done, err := d.Store.AmendRecord(ctx, &found, &wanted)
	if err == nil && !done {
		err = refusal("the record is not what it was when this was planned")
	}
	return "the record is replaced", err
}

func (d *Desk) count(ctx context.Context, step *reconcile.RepairStep, e *reconcile.CountEdit) (string, error) {
	done, err := d.Store.AmendCount(ctx, step.Cell(), int64(e.User), e.Found, e.Wanted)
	if err == nil && !done {
		err = refusal("the count is not what it was when this was planned")
	}
	return "the count is replaced", err
}

func (d *Desk) replay(ctx context.Context, text string) (string, error) {
	id, err := ledger.ParseLetterID(text)
	if err != nil {
		return "", refusal(err.Error())
	}
	l, _, err := d.Books.AskReplay(ctx, id, d.Decision)
	if errors.Is(err, ledger.ErrNoLetter) || errors.Is(err, ledger.ErrNeverReplay) {
		return "", refusal(err.Error())
	}
	if err == nil {
		l, err = operate.AwaitReplay(ctx, d.Books, l, d.patience())
	}
	if err != nil {
		return "", err
	}
	d.quiet = l.ResolvedAt == 0 && l.ReplayAskedAt != 0
	switch {
	case l.ResolvedAt != 0:
		return l.Resolution, nil
	case l.ReplayAskedAt != 0:
		return "", pending("no persister has applied the letter yet: is one running?")
	}
	return "", refusal("a persister cannot apply it: " + l.ReplayRefusal)
}

func (d *Desk) resolve(ctx context.Context, text string) (string, error) {
	id, err := ledger.ParseLetterID(text)
	if err != nil {
		return "", refusal(err.Error())
	}
	_, _, err = d.Books.Resolve(ctx, id, d.Decision)
	if errors.Is(err, ledger.ErrNoLetter) {
		return "", refusal(err.Error())
	}
	return "the letter is resolved", err
}
