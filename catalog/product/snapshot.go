package product

import (
	"context"
	"database/sql"
	"errors"

	"sluice/catalog/internal/outbox"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

const (
	selectStages = "SELECT product_id, seller_id, stage, category_id, brand_id FROM products__ WHERE product_id IN "
	selectBelow  = "SELECT c.category_id, c.parent_id, c.state, n.locale, n.name FROM categories__ AS c JOIN category_names__ AS n " +
		"ON n.category_id = c.category_id WHERE c.category_id IN "
	selectMakers = "SELECT b.brand_id, b.state, n.locale, n.name FROM brands__ AS b JOIN brand_names__ AS n ON n.brand_id = b.brand_id WHERE b.brand_id IN "
)

// fact is what an event says of a product, a category or a brand.
type fact interface{ kind() string }

// ParseSnapshotCursor reads where a page of a snapshot ends. The empty text is the beginning.
func ParseSnapshotCursor(text string) (outbox.Cursor, error) {
	return outbox.ParseCursor(text, isAggregate)
}

// isAggregate reports whether a text is the id of something that has events.
func isAggregate(text string) bool {
	_, err1 := ids.Read[ids.Product](text)
	_, err2 := ids.Read[ids.Category](text)
	_, err3 := ids.Read[ids.Brand](text)
	return err1 == nil || err2 == nil || err3 == nil
}

// Snapshot reads a page of what the last events said of all products, categories and brands, for who begins to read the topic.
func (p *Products) Snapshot(ctx context.Context, after outbox.Cursor, limit int) (page []outbox.Standing, next outbox.Cursor, err error) {
	return outbox.Snapshots(ctx, owner, p.databases.All(shard.Products), topic, after, limit, func(at place.Place, tx *sql.Tx, versions []outbox.Version) ([]outbox.Standing, error) {
		return standing(ctx, at.In(tx), versions)
	})
}

// standing reads what the last events said, in the snapshot that has their versions.
func standing(ctx context.Context, in place.Conn, versions []outbox.Version) (page []outbox.Standing, err error) {
	facts, err := factsOf(ctx, in, versions)
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if of, ok := facts[v.Aggregate]; ok {
			page = append(page, outbox.Standing{Aggregate: v.Aggregate, Version: v.Version, Type: of.kind(), Data: of})
		}
	}
	return page, nil
}

func factsOf(ctx context.Context, in place.Conn, versions []outbox.Version) (map[string]fact, error) {
	var products, categories, brands []any
	for _, v := range versions {
		if id, err := ids.Read[ids.Product](v.Aggregate); err == nil {
			products = append(products, id)
		} else if id, err := ids.Read[ids.Category](v.Aggregate); err == nil {
			categories = append(categories, id)
		} else if id, err := ids.Read[ids.Brand](v.Aggregate); err == nil {
			brands = append(brands, id)
		}
	}
	facts := map[string]fact{}
	err1 := among(ctx, in, selectStages, products, func(row *sql.Rows) error {
		var id ids.Product
		var e productEvent
		var brand sql.Null[ids.Brand]
		err := row.Scan(&id, &e.Seller, &e.Stage, &e.Category, &brand)
		e.Brand = brand.V
		facts[id.String()] = e
		return err
	})
	err2 := among(ctx, in, selectBelow, categories, func(row *sql.Rows) error {
		var id ids.Category
		var locale, name string
		var parent sql.Null[ids.Category]
		e := categoryEvent{Names: Names{}}
		err := row.Scan(&id, &parent, &e.State, &locale, &name)
		e.Parent = parent.V
		if of, ok := facts[id.String()].(categoryEvent); ok {
			e = of
		}
		e.Names[locale] = name
		facts[id.String()] = e
		return err
	})
	err3 := among(ctx, in, selectMakers, brands, func(row *sql.Rows) error {
		var id ids.Brand
		var locale, name string
		e := brandEvent{Names: Names{}}
		err := row.Scan(&id, &e.State, &locale, &name)
		if of, ok := facts[id.String()].(brandEvent); ok {
			e = of
		}
		e.Names[locale] = name
		facts[id.String()] = e
		return err
	})
	return facts, errors.Join(err1, err2, err3)
}
