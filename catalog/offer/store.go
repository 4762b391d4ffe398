package offer

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Config has what offers call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Sellers   Sellers
	Goods     Goods
}

// Offers has the offers. It is safe for concurrent use.
type Offers struct {
	databases *place.Databases
	sellers   Sellers
	goods     Goods
	acts      audit.Log
}

// New makes the offers.
func New(cfg Config) *Offers {
	return &Offers{databases: cfg.Databases, sellers: cfg.Sellers, goods: cfg.Goods}
}

// topic has the events of offers.
const topic = "sluice.offers.v1"

// Work is what the package does besides answering.
func (o *Offers) Work() work.Owner {
	return work.Owner{Name: owner, Kind: shard.Values, Topics: []string{topic}}
}

// shardOf is where the rows of an offer are: the last bits of its id say it.
func shardOf(id ids.Offer) shard.Shard {
	return shard.Shard{Kind: shard.Values, Number: uint16(id & (shard.Count - 1))}
}

// shardOfNew is where a new offer is: a repetition of the request finds the place of the first one.
func shardOfNew(of ids.Seller, by Caller) shard.Shard {
	return shard.OfValue(fmt.Sprintf("%s %d %s", of, by.User, by.Key))
}

// drawn draws an id of a shard.
func drawn(in shard.Shard) ids.Offer {
	for {
		var random [8]byte
		_, _ = rand.Read(random[:]) // it never fails
		high := int64(binary.BigEndian.Uint64(random[:]) >> 1 &^ (shard.Count - 1))
		if high > 0 {
			return ids.Offer(high | int64(in.Number))
		}
	}
}

// Caller is who asks for a write.
type Caller struct {
	audit.Author

	User ids.User
	Key  string
}

// change is a transaction that changes something.
type change struct {
	o  *Offers
	at place.Place
	tx *sql.Tx
	in place.Conn
	by Caller
	// act is what the audit log gets, behind all else.
	act *audit.Act
}

// once does a write, or finds the answer to the same request of the first time. The fingerprint is of all that the client chose.
func once(ctx context.Context, o *Offers, in shard.Shard, by Caller, route string, asked any, do func(*change) (Offer, error)) (done Offer, err error) {
	chosen, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil {
		return Offer{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	of := replay.Request{User: int64(by.User), Route: route, Key: by.Key, Fingerprint: replay.Fingerprint([]byte(by.Actor), chosen)}
	at := o.databases.At(in)
	_, err = at.Write(ctx, "offers", func(tx *sql.Tx) error {
		c := &change{o: o, at: at, tx: tx, in: at.In(tx), by: by}
		answer, _, err := replay.Of(owner, at.Suffix).Do(ctx, tx, of, func() (replay.Answer, error) {
			now, err := do(c)
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now, json.Deterministic(true))
			return replay.Answer{Status: 200, Body: body}, err
		})
		if err == nil {
			done = Offer{}
			err = json.Unmarshal(answer.Body, &done)
		}
		if err != nil || c.act == nil { // of a repetition there is no act
			return err
		}
		return o.acts.Append(ctx, c.in, in, *c.act)
	})
	return done, err
}

// Forget deletes the kept answers of an erased user in all places. Moves and the log of privileged acts keep who did what, as an id that is
// nobody's. It may be done again.
func (o *Offers) Forget(ctx context.Context, user ids.User) error {
	var faults []error // a place that is away keeps back its own only
	for _, at := range o.databases.All(shard.Values) {
		_, err := replay.Of(owner, at.Suffix).Forget(ctx, at.Writer(), int64(user))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// put executes a statement.
func (c *change) put(ctx context.Context, what, statement string, values ...any) error {
	if _, err := c.in.ExecContext(ctx, statement, values...); err != nil {
		return db.WriteError(what, err)
	}
	return nil
}

// publish tells others of a version of an offer.
func (c *change) publish(ctx context.Context, of *Offer) error {
	e := event{Seller: of.Seller, Stage: of.Stage}
	if shown(of.Stage) {
		e.Content = &of.Content
	}
	_, err := outbox.Of(owner, c.at.Suffix).Append(ctx, c.tx, topic, of.ID.String(), eventType, e)
	return err
}

const eventType = "offer_changed"

// event tells others what an offer is. What shoppers do not see is in no event.
type event struct {
	Seller  ids.Seller `json:"seller_id"`
	Stage   Stage      `json:"stage"`
	Content *Content   `json:"content,omitempty"`
}

// readError is the error of a reading.
func readError(at place.Place, table string, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("offers", table+at.Suffix, err))
}
