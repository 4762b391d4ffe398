package price

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Config has what prices call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Markets   *Markets
	Sellers   Sellers
	Products  Products
	Sealer    *Sealer // of quotes
}

// Pricing has the prices of SKUs. It is safe for concurrent use.
type Pricing struct {
	databases *place.Databases
	markets   *Markets
	sellers   Sellers
	products  Products
	sealer    *Sealer
}

// New makes the pricing.
func New(cfg Config) *Pricing {
	return &Pricing{databases: cfg.Databases, markets: cfg.Markets, sellers: cfg.Sellers, products: cfg.Products, sealer: cfg.Sealer}
}

// topic has the events of prices. Their aggregate is a SKU in a market.
const topic = "sluice.prices.v1"

// tellSlots is how many moments a process tells at once: prices of many SKUs begin at one moment.
const tellSlots = 8

// Work is what the package does besides answering.
func (p *Pricing) Work() work.Owner {
	return work.Owner{
		Name: owner, Kind: shard.Products, Topics: []string{topic},
		Tasks: map[string]task.Handler{taskTell: p.tell}, SlotsOf: map[string]int{taskTell: tellSlots},
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
	at place.Place
	tx *sql.Tx
	in place.Conn
}

// once does a write, or finds the answer to the same request of the first time. The fingerprint is of all that the client chose.
func once[T any](ctx context.Context, p *Pricing, in shard.Shard, by Caller, route string, asked any, do func(change) (T, error)) (done T, err error) {
	chosen, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil {
		return done, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	of := replay.Request{User: int64(by.User), Route: route, Key: by.Key, Fingerprint: replay.Fingerprint([]byte(by.Actor), chosen)}
	at := p.databases.At(in)
	_, err = at.Write(ctx, "prices", func(tx *sql.Tx) error {
		answer, _, err := replay.Of(owner, at.Suffix).Do(ctx, tx, of, func() (replay.Answer, error) {
			now, err := do(change{at, tx, at.In(tx)})
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now, json.Deterministic(true))
			return replay.Answer{Status: 200, Body: body}, err
		})
		if err == nil {
			err = json.Unmarshal(answer.Body, &done)
		}
		return err
	})
	return done, err
}

// Forget deletes the kept answers of an erased user in all places. Versions keep who did what, as an id that is nobody's. It may be done
// again.
func (p *Pricing) Forget(ctx context.Context, user ids.User) error {
	var faults []error // a place that is away keeps back its own only
	for _, at := range p.databases.All(shard.Products) {
		_, err := replay.Of(owner, at.Suffix).Forget(ctx, at.Writer(), int64(user))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

const (
	// There is a row always: it has the time of the database.
	ofSKU        = "SELECT NOW(3), p.seller_id, p.version, p.ranges, p.told_at FROM (SELECT 1 AS one) AS o LEFT JOIN prices__ AS p ON p.sku_id = ? AND p.market = ?"
	lockSKU      = ofSKU + " FOR UPDATE"
	insertPrices = "INSERT INTO prices__ (version, seller_id, ranges, told_at, sku_id, market) VALUES (?, ?, ?, ?, ?, ?)"
	updatePrices = "UPDATE prices__ SET version = ?, seller_id = ?, ranges = ?, told_at = ? WHERE sku_id = ? AND market = ?"
	tellPrices   = "UPDATE prices__ SET told_at = ? WHERE sku_id = ? AND market = ?"
)

// held are the prices of a SKU in a market, as a row has them.
type held struct {
	Set

	seller ids.Seller // 0: there is no row
	told   time.Time  // others know of the moments until then
	now    time.Time  // of the database, and never before told
}

// readSKU reads the prices of a SKU in a market.
func readSKU(ctx context.Context, at place.Place, in place.Conn, query string, sku int64, market string) (h held, err error) {
	h.Set = Set{SKU: sku, Market: market, Version: 1}
	var seller sql.Null[ids.Seller]
	var version sql.NullInt64
	var told sql.NullTime
	var ranges []byte
	if err := in.QueryRowContext(ctx, query, sku, market).Scan(&h.now, &seller, &version, &ranges, &told); err != nil {
		return held{}, readError(at, "prices", err)
	}
	if !seller.Valid {
		return h, nil
	}
	h.seller, h.Version, h.told = seller.V, version.Int64, told.Time
	if h.now.Before(h.told) { // the statement began before another one ended that it waited for
		h.now = h.told
	}
	h.Prices, err = readRanges(ranges)
	return h, err
}

func readRanges(text []byte) (p Prices, err error) {
	if err := json.Unmarshal(text, &p, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("read prices: %w: %w", stock.ErrNotApplied, err)
	}
	return p, nil
}

func writeRanges(p Prices) ([]byte, error) {
	text, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return nil, fmt.Errorf("write prices: %w: %w", stock.ErrNotApplied, err)
	}
	return text, nil
}

// aggregate is a SKU in a market as events have it.
func aggregate(sku int64, market string) string { return strconv.FormatInt(sku, 10) + "_" + market }

// put executes a statement.
func (c change) put(ctx context.Context, what, statement string, values ...any) error {
	if _, err := c.in.ExecContext(ctx, statement, values...); err != nil {
		return db.WriteError(what, err)
	}
	return nil
}

// outboxOf are the events of prices in a place.
func outboxOf(at place.Place) outbox.Outbox { return outbox.Of(owner, at.Suffix) }

// readError is the error of a reading.
func readError(at place.Place, table string, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("prices", table+at.Suffix, err))
}
