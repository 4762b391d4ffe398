package seller

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/outbox"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

// The types of events, in Kafka and to webhooks. They are never renamed. Another package that has events of sellers adds its own here and
// tells of them by Announce.
const (
	eventMoved      = "seller_moved"
	eventMember     = "seller_member_set"
	eventKeyMade    = "seller_key_made"
	eventKeyRevoked = "seller_key_revoked"
	eventTest       = "webhook_test" // which goes to webhooks that are tested, whatever they want
)

// eventTypes are those that webhooks may be for.
var eventTypes = []string{eventMoved, eventMember, eventKeyMade, eventKeyRevoked}

const (
	selectListeners = "SELECT webhook_id, NOW(3) FROM seller_webhooks__ WHERE seller_id = ? AND state = 'active' AND (types = '' OR FIND_IN_SET(?, types)) ORDER BY webhook_id"
	selectNow       = "SELECT NOW(3)"
	insertDelivery  = "INSERT INTO seller_deliveries__ (seller_id, webhook_id, event_id, type, at, body, asked, asked_at, due_at, wanted_at) VALUES (?, ?, ?, ?, ?, ?, ?, IF(?, NOW(3), NULL), NOW(3), NOW(3))"
)

// payload is what is sent: a document of Standard Webhooks. It has ids, and nothing personal.
type payload struct {
	Type string    `json:"type"`
	At   time.Time `json:"timestamp"`
	Data happened  `json:"data"`
}

// happened is what an event tells. Versions of one aggregate order its events, because deliveries have no order.
type happened struct {
	Seller    ids.Seller     `json:"seller_id"`
	Aggregate string         `json:"aggregate_id,omitzero"` // a test has none
	Version   uint64         `json:"version,omitzero"`
	Event     jsontext.Value `json:"event"`
}

// Announce has the webhooks of a seller told of an event of another package, which calls it in a task of its own: the rows of the
// seller are in another place. An event that they are told of already is not told again.
func (s *Sellers) Announce(ctx context.Context, id ids.Seller, e outbox.Event) error {
	if !slices.Contains(eventTypes, e.Type) {
		return fmt.Errorf("announce an event: %w: no webhook can be for the type %.80q", stock.ErrNotApplied, e.Type)
	}
	return s.write(ctx, id, Caller{}, func(c *change) error {
		if _, err := c.lock(ctx, id); err != nil {
			return err
		}
		return c.announce(ctx, id, e)
	})
}

// announce writes an event down for each webhook of a locked seller that wants it, in the transaction of its effect: whatever ends this
// process then, it is sent. An event without a time is of this moment.
func (c *change) announce(ctx context.Context, id ids.Seller, e outbox.Event) error {
	var to []ids.Webhook
	now := e.At
	err := db.Rows(ctx, c.in, func(row *sql.Rows) error {
		var of ids.Webhook
		var at time.Time
		err := row.Scan(&of, &at)
		if to = append(to, of); now.IsZero() {
			now = at
		}
		return err
	}, selectListeners, id, e.Type)
	if err != nil {
		return db.WriteError("look for webhooks", err)
	}
	for _, of := range to {
		if e.At = now; err == nil {
			err = c.deliver(ctx, id, of, e, false)
		}
	}
	return err
}

// deliver writes a delivery down, and the task that makes it.
func (c *change) deliver(ctx context.Context, id ids.Seller, of ids.Webhook, e outbox.Event, asked bool) error {
	body, err := json.Marshal(payload{e.Type, e.At.UTC(), happened{id, e.Aggregate, e.Version, e.Data}})
	if err != nil {
		return fmt.Errorf("deliver an event: %w: %w", stock.ErrNotApplied, err)
	}
	done, err := c.in.ExecContext(ctx, insertDelivery, id, of, e.ID, e.Type, e.At, body, asked, asked)
	switch {
	case db.Answer(err) == db.AnswerDuplicate: // it is there already
		return nil
	case err != nil:
		return db.WriteError("write a delivery", err)
	}
	row, err := done.LastInsertId()
	if err != nil {
		return err
	}
	return c.tasks().Add(ctx, c.tx, taskSend, of.String()+"-"+e.ID.String(), delivering{id, of, row, 0}, 0)
}

// mayAsk bounds what the owners of a locked seller ask for, so that nobody has the shop knock at a door again and again.
func (c *change) mayAsk(ctx context.Context, id ids.Seller) error {
	var asked int
	switch err := c.in.QueryRowContext(ctx, countAsked, id).Scan(&asked); {
	case err != nil:
		return db.WriteError("count deliveries", err)
	case asked >= askedMax:
		return wrongState("%d messages were asked for within a minute: wait for one", asked)
	}
	return nil
}

// TestWebhook sends a message to a webhook that is active, so that an owner sees whether it arrives.
func (s *Sellers) TestWebhook(ctx context.Context, by Caller, id ids.Seller, of ids.Webhook) (Delivery, error) {
	return once(ctx, s, id, by, "test_webhook", of, func(c *change) (Delivery, error) {
		w, err := c.ownedWebhook(ctx, id, of)
		if err == nil {
			err = active(&w)
		}
		if err == nil {
			err = c.mayAsk(ctx, id)
		}
		if err != nil {
			return Delivery{}, err
		}
		e := outbox.Event{ID: ids.Random[ids.Event](), Type: eventTest, Data: jsontext.Value("{}")}
		if err := c.in.QueryRowContext(ctx, selectNow).Scan(&e.At); err != nil {
			return Delivery{}, db.WriteError("ask for the time", err)
		}
		if err := c.deliver(ctx, id, of, e, true); err != nil {
			return Delivery{}, err
		}
		return c.delivery(ctx, id, of, e.ID)
	})
}

// active refuses a webhook to which nothing goes.
func active(w *Webhook) error {
	if w.State != webhookActive {
		return wrongState("the webhook is %s", w.State)
	}
	return nil
}
