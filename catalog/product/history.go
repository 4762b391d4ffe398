package product

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/stock"
)

const (
	selectSince = "SELECT version, part, was, became, at, actor, reason FROM product_changes__ WHERE product_id = ? AND version > ? ORDER BY version, part LIMIT ?"
	// A seller's people reach rows of their own seller only.
	selectHistory = "SELECT c.version, c.part, c.was, c.became, c.at, c.actor, c.reason FROM products__ AS p JOIN product_changes__ AS c ON c.product_id = p.product_id " +
		"WHERE p.product_id = ? AND p.seller_id = ? AND c.version < ? ORDER BY c.version DESC, c.part LIMIT ?"
)

// changesMax bounds the changes that a restoration undoes, and a page of versions.
const changesMax = 2000

// Restore makes each part of a product what it was as of a version. That is a version too, so it can be undone. SKUs that came
// later are archived, because others may have their ids. A brand that was archived since comes back with a draft, and keeps it from a review.
func (p *Products) Restore(ctx context.Context, by Caller, of ids.Seller, id ids.Product, from web.Version, version int64) (Product, error) {
	return p.change(ctx, by, "restore", of, id, from, version, func(l *locked) error {
		if !restorable(version, l.Version) {
			return &problem.Problem{Kind: unknownVersion}
		}
		since, err := l.c.since(ctx, id, version)
		if err != nil {
			return err
		}
		was := asOf(since)
		if content, ok := was[PartContent]; ok {
			var to Content
			if err := json.Unmarshal(content, &to); err != nil {
				return unreadable(err)
			}
			if err := l.keeps(&to); err != nil {
				return err
			}
			if err := l.keepMedia(ctx, &to); err != nil {
				return err
			}
			if err := to.in(l.tree); err != nil {
				return err
			}
			if err := l.setContent(ctx, to); err != nil {
				return err
			}
		}
		if err := l.restoreTexts(ctx, was); err != nil {
			return err
		}
		return l.restoreSKUs(ctx, was)
	})
}

// restoreTexts removes first what was not there, so that there is room for the others.
func (l *locked) restoreTexts(ctx context.Context, was map[Part]jsontext.Value) error {
	all := map[string]*Text{}
	for part, value := range was {
		locale, ok := strings.CutPrefix(string(part), partText)
		switch {
		case !ok:
		case value != nil:
			all[locale] = new(Text)
			if err := json.Unmarshal(value, all[locale]); err != nil {
				return unreadable(err)
			}
		default:
			if _, has := l.texts[locale]; !has {
				continue
			}
			if err := l.setText(ctx, locale, nil); err != nil {
				return err
			}
		}
	}
	for _, locale := range slices.Sorted(maps.Keys(all)) {
		if err := l.setText(ctx, locale, all[locale]); err != nil {
			return err
		}
	}
	return nil
}

// restoreSKUs looks at all SKUs as they will be, and not one by one: on the way two may have one code.
func (l *locked) restoreSKUs(ctx context.Context, was map[Part]jsontext.Value) error {
	after := slices.Clone(l.skus)
	for part, value := range was {
		number, ok := strings.CutPrefix(string(part), partSKU)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(after) {
			return unreadable(err)
		}
		if after[n].State = StateArchived; value != nil {
			after[n] = SKU{}
			if err := json.Unmarshal(value, &after[n]); err != nil {
				return unreadable(err)
			}
		}
	}
	for n := range after {
		if err := after[n].among(l.tree, &l.Content, after); err != nil {
			return err
		}
	}
	for n := range after {
		if err := l.putSKU(ctx, after[n]); err != nil {
			return err
		}
	}
	return nil
}

func unreadable(err error) error {
	return fmt.Errorf("read a version: %w: %w", stock.ErrNotApplied, err)
}

// since are the changes of a product after a version.
func (c *change) since(ctx context.Context, id ids.Product, version int64) ([]Changed, error) {
	all, err := c.p.changes(ctx, c.in, selectSince, id, version, changesMax+1)
	if err != nil {
		return nil, readError(c.at, "product_changes", err)
	}
	if len(all) > changesMax {
		return nil, errTooMany("a restoration undoes at most %d changes", changesMax)
	}
	return all, nil
}

func (p *Products) changes(ctx context.Context, in db.Queryer, query string, values ...any) (all []Changed, err error) {
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var c Changed
		var was, became []byte
		err := row.Scan(&c.Version, &c.Part, &was, &became, &c.At, &c.Actor, &c.Reason)
		c.Before, c.After = was, became
		all = append(all, c)
		return err
	}, query, values...)
	return all, err
}

// Versions lists what was changed of a product before a version, the newest first: 0 is the end. Next is 0 after the last page.
func (p *Products) Versions(ctx context.Context, by seller.Reader, of ids.Seller, id ids.Product, before int64, limit int) (page []Changed, next int64, err error) {
	if _, err := p.sellers.Admit(ctx, by, of); err != nil {
		return nil, 0, err
	}
	if before == 0 {
		before = 1<<63 - 1
	}
	at := p.atProduct(id)
	all, err := p.changes(ctx, at.In(at.Writer()), selectHistory, id, of, before, limit+1)
	switch {
	case err != nil:
		return nil, 0, readError(at, "product_changes", err)
	case len(all) == 0 && before == 1<<63-1:
		return nil, 0, errUnknownProduct
	case len(all) <= limit:
		return all, 0, nil
	}
	// A version is on one page whole. One that fills a page is cut.
	cut := all[limit].Version
	whole := slices.IndexFunc(all, func(c Changed) bool { return c.Version == cut })
	if whole == 0 {
		return all[:limit], cut, nil
	}
	return all[:whole], cut + 1, nil
}
