package stock

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

// topic has the events of SKUs, which are their aggregates.
const topic = "sluice.skus.v1"

const (
	selectWatched = "SELECT sku_id, seller_id, low_at, low FROM stock_skus__ WHERE low_at IS NOT NULL AND sku_id > ? ORDER BY sku_id LIMIT 100"
	crossLow      = "UPDATE stock_skus__ SET low = ? WHERE sku_id = ? AND low = ? AND low_at = ?"
	countLow      = "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM stock_skus__ WHERE low LIMIT 100000) AS few), (SELECT COALESCE(SUM(short), 0) FROM stock_skus__ WHERE short > 0)"
)

// watchEvery is the time between two looks at how many units are free.
const watchEvery = time.Minute

// attemptsMax takes longer than the 12 hours for which the outcome of a step may be unknown: 14 hours at least.
const attemptsMax = 40

// givers is how many tasks that ask edges run at once in each database: they wait without a connection.
const givers = 16

// Work is what the package does besides answering.
func (s *Stock) Work() work.Owner {
	of := work.Owner{Name: owner, Kind: shard.Products, Topics: []string{topic}, AttemptsMax: attemptsMax, SlotsOf: map[string]int{taskCell: givers}}
	if s == nil { // nobody does it
		return of
	}
	of.Tasks = map[string]task.Handler{taskDocument: s.applyDocument}
	if s.edge != nil {
		of.Tasks[taskCell] = s.giveCells
		of.Times = []work.Time{{Item: schedule.Item{Name: "watch_low", Every: watchEvery}, Everywhere: true, Do: s.watchLow}}
	}
	return of
}

// watched is a SKU of which somebody wants to be told when few units are free.
type watched struct {
	sku    int64
	seller ids.Seller
	bound  int64
	low    bool
}

// lowEvent tells others that few units are free, or enough again.
type lowEvent struct {
	Seller ids.Seller `json:"seller_id"`
	Avail  int64      `json:"avail"`
	Bound  int64      `json:"low_at"`
}

// watchLow asks the edge how many units are free of the SKUs of a place for which there is a bound, and tells once of each crossing.
func (s *Stock) watchLow(ctx context.Context, t task.Task) error {
	for after := int64(0); ; {
		var page []watched
		err := db.Rows(ctx, t.Place.In(t.Place.Writer()), func(row *sql.Rows) error {
			var w watched
			err := row.Scan(&w.sku, &w.seller, &w.bound, &w.low)
			page = append(page, w)
			return err
		}, selectWatched, after)
		if err != nil || len(page) == 0 {
			return err
		}
		skus := make([]int64, len(page))
		for i, w := range page {
			skus[i] = w.sku
		}
		after = skus[len(skus)-1]
		found, err := s.edge.Stocks(ctx, skus, 0)
		if err != nil {
			return err
		}
		avail := map[int64]int64{}
		for _, of := range found { // those that were never loaded are not among them
			avail[of.SKU] = of.Avail
		}
		var faults []error
		for _, w := range page {
			if free, loaded := avail[w.sku]; loaded {
				if now := crossing(w.low, w.bound, free); now != w.low {
					faults = append(faults, s.cross(ctx, t, w, free))
				}
			}
		}
		if err := errors.Join(faults...); err != nil {
			return err
		}
	}
}

// cross notes a crossing and tells of it, unless another process has.
func (s *Stock) cross(ctx context.Context, t task.Task, w watched, avail int64) error {
	return s.write(ctx, t.Place, Caller{}, func(c *change) error {
		n, err := c.put(ctx, "note a crossing", crossLow, !w.low, w.sku, w.low, w.bound)
		if err != nil || n == 0 {
			return err
		}
		kind := "stock_low"
		if w.low {
			kind = "stock_enough"
		}
		_, err = outbox.Of(owner, c.at.Suffix).Append(ctx, c.tx, topic, strconv.FormatInt(w.sku, 10), kind, lowEvent{w.seller, avail, w.bound})
		return err
	})
}

// Look counts the SKUs of which few units are free, and the units that cells have too many, for the gauges.
func (s *Stock) Look(ctx context.Context) error {
	var low, short int64
	for _, at := range s.databases.All(shard.Products) {
		var l, u int64
		if err := at.In(at.Writer()).QueryRowContext(ctx, countLow).Scan(&l, &u); err != nil {
			return readError(at, "stock_skus", err)
		}
		low, short = low+l, short+u
	}
	s.low.Store(low)
	s.short.Store(short)
	return nil
}
