package stock

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/replay"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Sellers is what stock asks of sellers. *seller.Sellers is one.
type Sellers interface {
	// Admit tells the state of a seller to its people and its systems. For others it has a problem: there is no such seller.
	Admit(ctx context.Context, by seller.Reader, id ids.Seller) (seller.State, error)
}

// Products is what stock asks of products. *product.Products is one.
type Products interface {
	// Foreign returns a SKU of a list that is none of a seller, or 0. All of them are of products in one place.
	Foreign(ctx context.Context, of ids.Seller, skus []int64) (int64, error)
	// ShownSKUs are the active SKUs of a product that is listed. For others it has a problem.
	ShownSKUs(ctx context.Context, id ids.Product) ([]int64, error)
}

// Config has what stock calls.
type Config struct {
	Databases *place.Databases // the caller closes them
	Sellers   Sellers
	Products  Products
	Edge      Edge // nil: nobody gives cells anything, and tasks wait
	Metrics   *metrics.Set
}

// Stock has the stock. It is safe for concurrent use.
type Stock struct {
	databases *place.Databases
	sellers   Sellers
	products  Products
	edge      Edge

	low, short atomic.Int64
}

// New makes the stock, and its metrics if there is a set for them.
func New(cfg Config) *Stock {
	s := &Stock{databases: cfg.Databases, sellers: cfg.Sellers, products: cfg.Products, edge: cfg.Edge}
	if cfg.Metrics != nil {
		cfg.Metrics.NewGauge("sluice_catalog_stock_low_cells", func() float64 { return float64(s.low.Load()) })
		cfg.Metrics.NewGauge("sluice_catalog_stock_short_units", func() float64 { return float64(s.short.Load()) })
	}
	return s
}

// Caller is who asks for a write: a user, or a system by a key of a seller.
type Caller struct {
	audit.Author
	seller.Reader

	Idempotency string
}

// shardOfSeller is where the warehouses of a seller are.
func shardOfSeller(id ids.Seller) shard.Shard {
	return shard.Shard{Kind: shard.Products, Number: shard.OfValue(id.String()).Number}
}

func (s *Stock) atSeller(id ids.Seller) place.Place { return s.databases.At(shardOfSeller(id)) }

// atSKU is where a SKU is, if it is one of a product.
func (s *Stock) atSKU(sku int64) (place.Place, bool) {
	product, _, ok := ids.ProductOf(sku)
	if !ok {
		return place.Place{}, false
	}
	return s.databases.At(shard.OfProduct(product)), true
}

// works refuses whoever may not change something of a seller.
func (s *Stock) works(ctx context.Context, by Caller, id ids.Seller) error {
	state, err := s.sellers.Admit(ctx, by.Reader, id)
	if err == nil && !seller.Means(state).Listed {
		err = wrongState("the seller is %s", state)
	}
	return err
}

// change is a transaction that changes something.
type change struct {
	at place.Place
	tx *sql.Tx
	in place.Conn
	by Caller
}

// write runs a transaction in a place.
func (s *Stock) write(ctx context.Context, at place.Place, by Caller, do func(*change) error) error {
	_, err := at.Write(ctx, "stock", func(tx *sql.Tx) error { return do(&change{at: at, tx: tx, in: at.In(tx), by: by}) })
	return err
}

// once does a write of a user, or finds the answer to the same request of the first time.
func once[T any](ctx context.Context, s *Stock, at place.Place, by Caller, route string, asked any, do func(*change) (T, error)) (done T, err error) {
	chosen, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil {
		return done, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	of := replay.Request{User: int64(by.User), Route: route, Key: by.Idempotency, Fingerprint: replay.Fingerprint([]byte(by.Actor), chosen)}
	err = s.write(ctx, at, by, func(c *change) error {
		answer, _, err := replay.Of(owner, at.Suffix).Do(ctx, c.tx, of, func() (replay.Answer, error) {
			now, err := do(c)
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now, json.Deterministic(true))
			return replay.Answer{Status: http200, Body: body}, err
		})
		if err == nil {
			err = json.Unmarshal(answer.Body, &done)
		}
		return err
	})
	return done, err
}

const http200 = 200

// Forget deletes the kept answers of an erased user in all places. Moves keep who did what, as an id that is nobody's. It may be done
// again.
func (s *Stock) Forget(ctx context.Context, user ids.User) error {
	var faults []error // a place that is away keeps back its own only
	for _, at := range s.databases.All(shard.Products) {
		_, err := replay.Of(owner, at.Suffix).Forget(ctx, at.Writer(), int64(user))
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// put executes a statement.
func (c *change) put(ctx context.Context, what, statement string, values ...any) (changed int64, err error) {
	done, err := c.in.ExecContext(ctx, statement, values...)
	if err != nil {
		return 0, db.WriteError(what, err)
	}
	if changed, err = done.RowsAffected(); err != nil {
		return 0, db.WriteError(what, err)
	}
	return changed, nil
}

// marks are those of so many values in a list of a statement.
func marks(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")" }

// readError is the error of a reading.
func readError(at place.Place, table string, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("stock", table+at.Suffix, err))
}

// isRefusal reports whether an error is an answer to the client, and no trouble.
func isRefusal(err error) bool {
	var p *problem.Problem
	return errors.As(err, &p)
}
