package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Config has what products call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Sellers   Sellers
	Media     *objects.Store // nil: the shop has no pictures
	Now       func() time.Time
}

// Products has the products. It is safe for concurrent use.
type Products struct {
	databases *place.Databases
	sellers   Sellers
	acts      audit.Log
	media     *objects.Store
	now       func() time.Time
	decoding  chan struct{} // pictures
	blocks    blocks
	trees     trees
}

// New makes the products.
func New(cfg Config) *Products {
	p := &Products{databases: cfg.Databases, sellers: cfg.Sellers, media: cfg.Media, now: cfg.Now, decoding: make(chan struct{}, decodingMax)}
	p.trees = trees{now: cfg.Now, read: p.readTree, turn: make(chan struct{}, 1)}
	return p
}

// topic has the events of products. Their aggregate is the product, the category or the brand.
const topic = "sluice.products.v1"

// attemptsMax takes a day at least: so long may a store of objects be away.
const attemptsMax = 60

// Work is what the package does besides answering.
func (p *Products) Work() work.Owner {
	return work.Owner{
		Name: owner, Kind: shard.Products, Topics: []string{topic}, AttemptsMax: attemptsMax,
		Tasks: map[string]task.Handler{taskCheckMedia: p.checkMedia, taskShowMedia: p.showMedia, taskDropMedia: p.dropMedia},
		Times: []work.Time{
			{Item: schedule.Item{Name: timeSweepMedia, Every: 10 * time.Minute, At: 7 * time.Minute}, Everywhere: true, Do: p.sweepMedia},
		},
	}
}

// home is the logical shard that has the categories and the brands. It never changes.
var home = shard.Shard{Kind: shard.Products}

// common is where the rows are that are the same for the whole shop.
func (p *Products) common() place.Place { return p.databases.At(home) }

// atProduct is where the rows of a product are.
func (p *Products) atProduct(id ids.Product) place.Place { return p.databases.At(shard.OfProduct(id)) }

// Caller is who asks for a write.
type Caller struct {
	audit.Author

	User ids.User
	Key  string
}

// change is a transaction that changes something.
type change struct {
	p  *Products
	at place.Place
	tx *sql.Tx
	in place.Conn
	by Caller
	// act is what the audit log gets, behind all else.
	act *audit.Act
}

// once does a write, or finds the answer to the same request of the first time. The fingerprint is of all that the client chose.
func once[T any](ctx context.Context, p *Products, in shard.Shard, by Caller, route string, asked any, do func(*change) (T, error)) (done T, err error) {
	chosen, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil {
		return done, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	of := replay.Request{User: int64(by.User), Route: route, Key: by.Key, Fingerprint: replay.Fingerprint([]byte(by.Actor), chosen)}
	at := p.databases.At(in)
	_, err = at.Write(ctx, "products", func(tx *sql.Tx) error {
		c := &change{p: p, at: at, tx: tx, in: at.In(tx), by: by}
		answer, _, err := replay.Of(owner, at.Suffix).Do(ctx, tx, of, func() (replay.Answer, error) {
			now, err := do(c)
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now, json.Deterministic(true))
			return replay.Answer{Status: 200, Body: body}, err
		})
		if err == nil {
			err = json.Unmarshal(answer.Body, &done)
		}
		if err != nil || c.act == nil { // of a repetition there is no act
			return err
		}
		return p.acts.Append(ctx, c.in, in, *c.act)
	})
	return done, err
}

// Forget deletes the kept answers of an erased user in all places. Versions and the log of privileged acts keep who did what, as an id that is
// nobody's. It may be done again.
func (p *Products) Forget(ctx context.Context, user ids.User) error {
	var faults []error // a place that is away keeps back its own only
	for _, at := range p.databases.All(shard.Products) {
		_, err := replay.Of(owner, at.Suffix).Forget(ctx, at.Writer(), int64(user))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// publish writes an event.
func (c *change) publish(ctx context.Context, aggregate string, what fact) error {
	_, err := outbox.Of(owner, c.at.Suffix).Append(ctx, c.tx, topic, aggregate, what.kind(), what)
	return err
}

// privileged notes what the audit log gets.
func (c *change) privileged(act, object string, changes ...audit.Change) {
	c.act = &audit.Act{Author: c.by.Author, Act: act, Object: object, Changes: changes}
}

// put executes a statement.
func (c *change) put(ctx context.Context, what, statement string, values ...any) error {
	if _, err := c.in.ExecContext(ctx, statement, values...); err != nil {
		return db.WriteError(what, err)
	}
	return nil
}

// drawsMax is how often an id is drawn: a taken one is drawn again.
const drawsMax = 3

// rowsOf are the marks of so many rows of values in a statement, each of so many columns.
func rowsOf(rows, columns int) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", columns), ", ") + ")"
	return strings.TrimSuffix(strings.Repeat(row+", ", rows), ", ")
}

// readError is the error of a reading.
func readError(at place.Place, table string, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("products", table+at.Suffix, err))
}
