package seller

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"time"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
)

const (
	askedMax       = 10 // deliveries of a seller that its owners ask for in a minute
	deliveriesLife = 30 // days for which they are kept

	deliveryColumns = "d.delivery_id, d.event_id, d.type, d.at, d.state, d.asked, d.attempts, d.outcome, d.status, d.tried_at, d.due_at, d.asks"

	// The row of the member makes sure that owners read their own seller only. A seller without such a webhook, and a webhook without
	// deliveries, have a row of NULLs.
	selectDeliveries = "SELECT me.role, w.webhook_id, " + deliveryColumns + " FROM seller_members__ AS me " +
		"LEFT JOIN seller_webhooks__ AS w ON w.seller_id = me.seller_id AND w.webhook_id = ? " +
		"LEFT JOIN seller_deliveries__ AS d ON d.seller_id = w.seller_id AND d.webhook_id = w.webhook_id AND d.delivery_id < ? " +
		"WHERE me.seller_id = ? AND me.user_id = ? ORDER BY d.delivery_id DESC LIMIT ?"
	selectDelivery = "SELECT '', d.webhook_id, " + deliveryColumns + " FROM seller_deliveries__ AS d WHERE d.seller_id = ? AND d.webhook_id = ? AND d.event_id = ?"

	countAsked = "SELECT COUNT(*) FROM seller_deliveries__ WHERE seller_id = ? AND asked_at > NOW(3) - INTERVAL 1 MINUTE"
	askAgain   = "UPDATE seller_deliveries__ SET state = 'waiting', asked = TRUE, asked_at = NOW(3), asks = asks + 1, attempts = 0, due_at = NOW(3), wanted_at = NOW(3) WHERE delivery_id = ?"

	sweepDeliveries = "DELETE FROM seller_deliveries__ WHERE wanted_at < NOW(3) - INTERVAL ? DAY LIMIT ?"
)

// The states of a delivery.
const (
	deliveryWaiting   = "waiting"
	deliveryDelivered = "delivered"
	deliveryFailed    = "failed"
)

var (
	unknownDelivery = problem.NewKind(problem.Kind{Code: "unknown_delivery", Status: http.StatusNotFound, Title: "The webhook has no such delivery."})

	errNoDelivery = &problem.Problem{Kind: unknownDelivery}
)

// Delivery is an event that goes to a webhook, and what became of it.
type Delivery struct {
	Event    ids.Event `json:"event_id"`
	Type     string    `json:"type"`
	At       time.Time `json:"at"` // of the event
	State    string    `json:"state"`
	Attempts int       `json:"attempts"` // since it was wanted
	Outcome  string    `json:"outcome"`  // of the last attempt; empty: there was none
	Status   int       `json:"status"`   // that was answered, if it was none of success
	TriedAt  time.Time `json:"tried_at"` // zero: never
	DueAt    time.Time `json:"due_at"`   // of the next attempt; zero: there is none

	id    int64
	asked bool
	asks  int64
}

// Deliveries lists what goes to a webhook of a seller, the newest first, before a delivery: 0 is the end. Next is 0 after the last page.
// It is for owners.
func (s *Sellers) Deliveries(ctx context.Context, user ids.User, id ids.Seller, of ids.Webhook, before int64, limit int) (all []Delivery, next int64, err error) {
	if before == 0 {
		before = 1<<63 - 1
	}
	p, mine, known := s.at(id), "", false
	err = db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		role, webhook, d, err := scanDelivery(row.Scan)
		mine, known = role, webhook
		if d.id != 0 {
			all = append(all, d)
		}
		return err
	}, selectDeliveries, of, before, id, user, limit+1)
	if err != nil {
		return nil, 0, readError(p, err)
	}
	switch err := mayOwn(mine); {
	case err != nil:
		return nil, 0, err
	case !known:
		return nil, 0, errNoWebhook
	case len(all) > limit:
		return all[:limit], all[limit-1].id, nil
	}
	return all, 0, nil
}

// scanDelivery reads a row of a delivery. Its id is 0 if there is none beside the role and the webhook.
func scanDelivery(scan func(...any) error) (role string, webhook bool, d Delivery, err error) {
	var of sql.Null[ids.Webhook]
	var event sql.Null[ids.Event]
	var row, attempts, status, asks sql.NullInt64
	var asked sql.NullBool
	var kind, state, outcome sql.NullString
	var at, tried, due sql.NullTime
	err = scan(&role, &of, &row, &event, &kind, &at, &state, &asked, &attempts, &outcome, &status, &tried, &due, &asks)
	return role, of.Valid, Delivery{
		Event: event.V, Type: kind.String, At: at.Time, State: state.String, Attempts: int(attempts.Int64), Outcome: outcome.String,
		Status: int(status.Int64), TriedAt: tried.Time, DueAt: due.Time, id: row.Int64, asked: asked.Bool, asks: asks.Int64,
	}, err
}

// delivery reads a delivery of a locked seller.
func (c *change) delivery(ctx context.Context, id ids.Seller, of ids.Webhook, event ids.Event) (Delivery, error) {
	_, _, d, err := scanDelivery(c.in.QueryRowContext(ctx, selectDelivery, id, of, event).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d, errNoDelivery
	case err != nil:
		return d, db.WriteError("read a delivery", err)
	}
	return d, nil
}

// Redeliver sends an event to an active webhook again, at once, with all its attempts. One that is asked for already is a success.
func (s *Sellers) Redeliver(ctx context.Context, by Caller, id ids.Seller, of ids.Webhook, event ids.Event) (Delivery, error) {
	asked := struct {
		Of    ids.Webhook
		Event ids.Event
	}{of, event}
	return once(ctx, s, id, by, "redeliver", asked, func(c *change) (Delivery, error) {
		w, err := c.ownedWebhook(ctx, id, of)
		if err != nil {
			return Delivery{}, err
		}
		d, err := c.delivery(ctx, id, of, event)
		if err == nil {
			err = active(&w)
		}
		if err != nil || d.asked {
			return d, err
		}
		if err := c.mayAsk(ctx, id); err != nil {
			return d, err
		}
		if _, err := c.in.ExecContext(ctx, askAgain, d.id); err != nil {
			return d, db.WriteError("ask for a delivery", err)
		}
		if err := c.tasks().Add(ctx, c.tx, taskSend, "", delivering{id, of, d.id, d.asks + 1}, 0); err != nil { // the first one may wait for a later attempt
			return d, err
		}
		return c.delivery(ctx, id, of, event)
	})
}

// forgetDeliveries is the task that deletes old deliveries of a place.
func (s *Sellers) forgetDeliveries(ctx context.Context, t task.Task) error {
	_, err := db.InParts(ctx, t.Place.In(t.Place.Writer()), "forget deliveries", sweepDeliveries, deliveriesLife)
	return err
}
