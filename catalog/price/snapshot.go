package price

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"sluice/catalog/internal/outbox"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

const selectStanding = "SELECT sku_id, market, seller_id, ranges, told_at FROM prices__ WHERE (sku_id, market) IN "

// shardOf is where the prices of a SKU are: in the shard of its product.
func shardOf(sku int64) shard.Shard {
	product, _, _ := ids.ProductOf(sku)
	return shard.OfProduct(product)
}

// ParseSnapshotCursor reads where a page of a snapshot ends. The empty text is the beginning.
func ParseSnapshotCursor(text string) (outbox.Cursor, error) {
	return outbox.ParseCursor(text, func(text string) bool {
		sku, market, _ := strings.Cut(text, "_")
		_, ok := ids.Parse(sku)
		return ok && wordForm.MatchString(market)
	})
}

// Snapshot reads a page of what the last events said of all prices, for who begins to read the topic.
func (p *Pricing) Snapshot(ctx context.Context, after outbox.Cursor, limit int) (page []outbox.Standing, next outbox.Cursor, err error) {
	return outbox.Snapshots(ctx, owner, p.databases.All(shard.Products), topic, after, limit, func(at place.Place, tx *sql.Tx, versions []outbox.Version) ([]outbox.Standing, error) {
		return standing(ctx, at, tx, versions)
	})
}

// standing reads what the last events said, in the snapshot that has their versions.
func standing(ctx context.Context, at place.Place, tx *sql.Tx, versions []outbox.Version) (page []outbox.Standing, err error) {
	if len(versions) == 0 {
		return nil, nil
	}
	var keys []any
	for _, v := range versions {
		text, market, _ := strings.Cut(v.Aggregate, "_")
		sku, _ := ids.Parse(text) // it was written here
		keys = append(keys, sku, market)
	}
	found := map[string]pricesEvent{}
	marks := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(versions)), ", ")
	err = db.Rows(ctx, at.In(tx), func(row *sql.Rows) error {
		var h held
		var ranges []byte
		var told time.Time
		if err := row.Scan(&h.SKU, &h.Market, &h.seller, &ranges, &told); err != nil {
			return err
		}
		prices, err := readRanges(ranges)
		h.Prices = prices
		found[aggregate(h.SKU, h.Market)] = h.event(told)
		return err
	}, selectStanding+"("+marks+")", keys...)
	if err != nil {
		return nil, readError(at, "prices", err)
	}
	for _, v := range versions {
		if e, ok := found[v.Aggregate]; ok {
			page = append(page, outbox.Standing{Aggregate: v.Aggregate, Version: v.Version, Type: e.kind(), Data: e})
		}
	}
	return page, nil
}
