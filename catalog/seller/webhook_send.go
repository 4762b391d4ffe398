package seller

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/webhook"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/telemetry"
)

// How long and how often a delivery is tried. The pauses grow fourfold, so that twelve attempts take two and a half days.
const (
	attemptsMax  = 12
	attemptsTime = 3 * 24 * time.Hour
	pauseFirst   = 5 * time.Second
	pauseMax     = 12 * time.Hour

	restMax = time.Hour // of a webhook between two attempts, however many deliveries wait

	// A webhook is disabled when nothing has arrived for so long, in so many attempts.
	failingTime = 3 * 24 * time.Hour
	failuresMin = 10

	sendingMax    = 32 // deliveries that this process makes at once in a database
	sendingSeller = 8  // of these, those of one seller: others' wait for no slow receiver
	busyMax       = 10 * time.Minute
	noteTime      = 5 * time.Second

	// After a day without attempts a webhook that has failed before begins anew.
	selectSending = "SELECT w.version, w.state, w.sealed, COALESCE(w.before_ends_at > NOW(3), FALSE), w.failures, " +
		"IF(w.rests_until < NOW(3) - INTERVAL 1 DAY, 0, COALESCE(TIMESTAMPDIFF(MICROSECOND, w.failing_since, NOW(3)), 0)), COALESCE(TIMESTAMPDIFF(MICROSECOND, NOW(3), w.rests_until), 0), " +
		"d.event_id, d.type, d.body, d.asked, d.attempts, TIMESTAMPDIFF(MICROSECOND, d.wanted_at, NOW(3)) " +
		"FROM seller_deliveries__ AS d JOIN seller_webhooks__ AS w ON w.seller_id = d.seller_id AND w.webhook_id = d.webhook_id " +
		"WHERE d.delivery_id = ? AND d.state = 'waiting' AND d.asks = ?"
	noteDelivery = "UPDATE seller_deliveries__ SET state = ?, asked = FALSE, attempts = attempts + 1, outcome = ?, status = ?, tried_at = NOW(3), " +
		"due_at = NOW(3) + INTERVAL ? MICROSECOND WHERE delivery_id = ? AND state = 'waiting' AND attempts = ? AND asks = ?"
	dropDelivery = "UPDATE seller_deliveries__ SET state = 'failed', asked = FALSE, outcome = ?, status = NULL, due_at = NULL WHERE delivery_id = ? AND state = 'waiting' AND asks = ?"
	// An attempt says nothing of a webhook that has another version since. Attempts that were under way together count as one.
	webhookWorks = "UPDATE seller_webhooks__ SET failures = 0, failing_since = NULL, rests_until = NULL WHERE seller_id = ? AND webhook_id = ? AND version = ?"
	webhookFails = "UPDATE seller_webhooks__ SET failures = failures + (rests_until IS NULL OR rests_until <= NOW(3)), " +
		"failing_since = IF(failing_since IS NULL OR rests_until < NOW(3) - INTERVAL 1 DAY, NOW(3), failing_since), " +
		"rests_until = NOW(3) + INTERVAL ? MICROSECOND WHERE seller_id = ? AND webhook_id = ? AND version = ?"
	disableFailed = "UPDATE seller_webhooks__ SET state = 'disabled', disabled_for = ?, version = version + 1 WHERE seller_id = ? AND webhook_id = ? AND state = 'active' AND version = ?"
)

// taskSend is the kind of the tasks that send an event to a webhook. It is never renamed.
const taskSend = "send_webhook"

// The outcomes of attempts.
const (
	outcomeDelivered   = "delivered"
	outcomeRefused     = "refused"     // it answered something else than a success
	outcomeGone        = "gone"        // it answered that it wants no more
	outcomeTimeout     = "timeout"     // it did not answer in time
	outcomeUnreachable = "unreachable" // there was no connection, or no answer
	outcomeDisabled    = "disabled"    // nothing was sent, because the webhook is disabled
)

// WebhookOutcomes are the outcomes of attempts that a metric counts.
var WebhookOutcomes = []string{outcomeDelivered, outcomeRefused, outcomeGone, outcomeTimeout, outcomeUnreachable}

// delivering are the data of such a task.
type delivering struct {
	Seller   ids.Seller  `json:"seller_id"`
	Webhook  ids.Webhook `json:"webhook_id"`
	Delivery int64       `json:"delivery_id,string"`
	Asks     int64       `json:"asks,omitzero"` // of the delivery, when the task was made
}

// outgoing is a delivery that is due.
type outgoing struct {
	delivering

	version     int64 // of the webhook
	state       string
	sealed      []byte
	before      bool
	failures    int
	failing     time.Duration // for how long it has failed
	rests       time.Duration // for how long nothing is sent
	event       ids.Event
	kind        string
	body        []byte
	asked       bool
	attempts    int
	wantedSince time.Duration
}

// sendWebhook is the task that sends an event to a webhook once, and notes what becomes of that. It is tried again by the bounds above: no
// receiver makes a task fail.
func (s *Sellers) sendWebhook(ctx context.Context, t task.Task) error {
	var of delivering
	if err := t.Into(&of); err != nil {
		return task.Permanent(err)
	}
	d, err := s.due(ctx, of)
	switch {
	case errors.Is(err, sql.ErrNoRows): // it was sent, or its webhook is gone
		return nil
	case err != nil:
		return err
	case d.state != webhookActive:
		return s.drop(ctx, t, of)
	case d.rests > 0 && !d.asked:
		return s.later(ctx, t, d.rests+rand.N(d.rests/8+time.Second)) //nolint:gosec // G404: needs no secrecy
	}
	if !s.line.enter(of.Seller) {
		wait := min(max(d.wantedSince/4, time.Second), busyMax)
		return s.later(ctx, t, wait/2+rand.N(wait)) //nolint:gosec // G404: needs no secrecy
	}
	defer s.line.leave(of.Seller)
	sent, err := s.attempt(ctx, &d)
	if err != nil {
		return err
	}
	return s.note(ctx, t, &d, sent)
}

// due reads a delivery that waits, as long as its webhook is there.
func (s *Sellers) due(ctx context.Context, of delivering) (d outgoing, err error) {
	p := s.at(of.Seller)
	d.delivering = of
	var failing, rests, wanted int64
	err = p.In(p.Writer()).QueryRowContext(ctx, selectSending, of.Delivery, of.Asks).Scan(
		&d.version, &d.state, &d.sealed, &d.before, &d.failures, &failing, &rests, &d.event, &d.kind, &d.body, &d.asked, &d.attempts, &wanted)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return d, readError(p, err)
	}
	d.failing, d.rests, d.wantedSince = micros(failing), micros(rests), micros(wanted)
	return d, err
}

func micros(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// result is what became of an attempt.
type result struct {
	outcome string
	status  int
	wait    time.Duration // that the receiver asks for
}

// attempt sends a delivery once. An error means that nothing was sent.
func (s *Sellers) attempt(ctx context.Context, d *outgoing) (result, error) {
	w, err := s.openWebhook(d.Seller, d.Webhook, d.sealed)
	if err != nil {
		return result{}, err
	}
	began := time.Now()
	err = s.sender.Send(ctx, webhook.Message{URL: w.URL, ID: d.event.String(), At: began, Body: d.body, Secrets: w.secrets(d.before)})
	if ctx.Err() != nil && err != nil { // this process ends
		return result{}, ctx.Err()
	}
	of := outcomeOf(err)
	s.sends.saw(of.outcome, began)
	return of, nil
}

// outcomeOf is what became of an attempt by its error. It tells owners no more: where their names lead inside is not theirs to learn.
func outcomeOf(err error) result {
	answered := new(webhook.AnswerError)
	var late net.Error
	switch {
	case err == nil:
		return result{outcome: outcomeDelivered}
	case errors.Is(err, webhook.ErrGone):
		return result{outcome: outcomeGone, status: 410}
	case errors.As(err, &answered):
		return result{outcomeRefused, answered.Status, min(answered.RetryAfter, pauseMax)}
	case errors.As(err, &late) && late.Timeout():
		return result{outcome: outcomeTimeout}
	}
	return result{outcome: outcomeUnreachable}
}

// pauseAfter is the time until the next attempt after so many that failed.
func pauseAfter(attempts, factor int, most time.Duration) time.Duration {
	pause := pauseFirst
	for i := 1; i < attempts && pause < most; i++ {
		pause = time.Duration(factor) * pause
	}
	return min(pause, most)
}

// note writes down what became of an attempt, with the end of the task or its next time. It does so also when the process is to end: else
// the receiver has the event once more.
func (s *Sellers) note(ctx context.Context, t task.Task, d *outgoing, of result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTime)
	defer cancel()
	state, pause := deliveryDelivered, time.Duration(0)
	if of.outcome != outcomeDelivered {
		state, pause = deliveryWaiting, max(pauseAfter(d.attempts+1, 4, pauseMax), of.wait)
		pause = pause*7/8 + rand.N(pause/4) //nolint:gosec // G404: needs no secrecy
		if d.kind == eventTest || d.attempts+1 >= attemptsMax || d.wantedSince >= attemptsTime {
			state = deliveryFailed
		}
	}
	var due, status any
	if state == deliveryWaiting {
		due = pause.Microseconds()
	}
	if of.status != 0 {
		status = of.status
	}
	_, err := t.Place.Write(ctx, "an attempt at a webhook", func(tx *sql.Tx) error {
		in := t.Place.In(tx)
		if _, err := in.ExecContext(ctx, noteDelivery, state, of.outcome, status, due, d.Delivery, d.attempts, d.Asks); err != nil {
			return db.WriteError("note an attempt", err)
		}
		var err error
		switch {
		case state != deliveryDelivered:
			rest := max(pauseAfter(d.failures+1, 2, restMax), min(of.wait, restMax))
			_, err = in.ExecContext(ctx, webhookFails, rest.Microseconds(), d.Seller, d.Webhook, d.version)
		case d.failures > 0:
			_, err = in.ExecContext(ctx, webhookWorks, d.Seller, d.Webhook, d.version)
		}
		switch {
		case err != nil:
			return db.WriteError("note how a webhook is", err)
		case state == deliveryWaiting:
			return t.Later(ctx, tx, pause)
		}
		return t.Finish(ctx, tx)
	})
	switch {
	case err != nil:
		return err
	case of.outcome == outcomeGone:
		return s.disable(ctx, d, disabledGone)
	case state != deliveryDelivered && d.failures+1 >= failuresMin && d.failing >= failingTime:
		return s.disable(ctx, d, disabledFailures)
	}
	return nil
}

// later puts a delivery off, which is no attempt.
func (s *Sellers) later(ctx context.Context, t task.Task, after time.Duration) error {
	return db.Write(ctx, t.Place.Writer(), "a later delivery", func(tx *sql.Tx) error { return t.Later(ctx, tx, after) })
}

// drop gives a delivery up whose webhook is disabled.
func (s *Sellers) drop(ctx context.Context, t task.Task, of delivering) error {
	return db.Write(ctx, t.Place.Writer(), "a delivery that is dropped", func(tx *sql.Tx) error {
		if _, err := t.Place.In(tx).ExecContext(ctx, dropDelivery, outcomeDisabled, of.Delivery, of.Asks); err != nil {
			return db.WriteError("drop a delivery", err)
		}
		return t.Finish(ctx, tx)
	})
}

// theShop is who disables a webhook that fails.
var theShop = Caller{Author: audit.Author{Actor: "shop"}}

// disable disables a webhook that has failed for long, or wants no more, and has the owners told.
func (s *Sellers) disable(ctx context.Context, of *outgoing, why string) error {
	disabled := false
	err := s.write(ctx, of.Seller, theShop, func(c *change) error {
		if _, err := c.lock(ctx, of.Seller); err != nil {
			return err
		}
		done, err := c.in.ExecContext(ctx, disableFailed, why, of.Seller, of.Webhook, of.version)
		if err != nil {
			return db.WriteError("disable a webhook", err)
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		disabled = true
		return c.didWebhook(ctx, of.Seller, of.Webhook, actDisableWebhook, templateWebhookDisabled)
	})
	if err == nil && disabled {
		s.sends.disabled[why].Inc()
	}
	return err
}

// line bounds how many deliveries of a seller this process makes at once.
type line struct {
	mu sync.Mutex
	of map[ids.Seller]int
}

func (l *line) enter(id ids.Seller) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[id] >= sendingSeller {
		return false
	}
	l.of[id]++
	return true
}

func (l *line) leave(id ids.Seller) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[id]--; l.of[id] == 0 {
		delete(l.of, id)
	}
}

// sends are the metrics of deliveries.
type sends struct {
	outcomes map[string]*metrics.Counter
	disabled map[string]*metrics.Counter
	seconds  *metrics.PrometheusHistogram
}

func newSends(set *metrics.Set) sends {
	set = cmp.Or(set, metrics.NewSet())
	m := sends{outcomes: map[string]*metrics.Counter{}, disabled: map[string]*metrics.Counter{}}
	m.seconds = telemetry.Seconds(set, "sluice_catalog_webhook_attempt_seconds")
	for _, outcome := range WebhookOutcomes {
		m.outcomes[outcome] = set.NewCounter(fmt.Sprintf("sluice_catalog_webhook_attempts_total{outcome=%q}", outcome))
	}
	for _, why := range []string{disabledFailures, disabledGone} {
		m.disabled[why] = set.NewCounter(fmt.Sprintf("sluice_catalog_webhook_disabled_webhooks_total{reason=%q}", why))
	}
	return m
}

func (m *sends) saw(outcome string, began time.Time) {
	m.outcomes[outcome].Inc()
	m.seconds.UpdateDuration(began)
}
