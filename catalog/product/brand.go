package product

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
)

const (
	insertBrand      = "INSERT INTO brands__ (brand_id, state) VALUES (?, ?)"
	updateBrand      = "UPDATE brands__ SET state = ?, version = version + 1 WHERE brand_id = ?"
	lockBrand        = "SELECT state, version FROM brands__ WHERE brand_id = ? FOR UPDATE"
	deleteBrandNames = "DELETE FROM brand_names__ WHERE brand_id = ?"
	insertBrandNames = "INSERT INTO brand_names__ (brand_id, locale, name, folded) VALUES "
	selectBrandNames = "SELECT locale, name FROM brand_names__ WHERE brand_id = ?"
	selectTaken      = "SELECT brand_id FROM brand_names__ WHERE locale = ? AND folded = ?"

	joinNames    = " AS b JOIN brand_names__ AS n ON n.brand_id = b.brand_id ORDER BY b.brand_id"
	selectBrand  = "SELECT b.brand_id, b.state, b.version, n.locale, n.name FROM (SELECT brand_id, state, version FROM brands__ WHERE brand_id = ?)" + joinNames
	selectBrands = "SELECT b.brand_id, b.state, b.version, n.locale, n.name FROM " +
		"(SELECT brand_id, state, version FROM brands__ WHERE brand_id > ? ORDER BY brand_id LIMIT ?)" + joinNames
)

// check refuses what no brand can be.
func (b *Brand) check() error {
	if b.State != StateActive && b.State != StateArchived {
		return malformed("/state", "want active or archived")
	}
	if p := b.Names.check("/names"); p != nil {
		return p
	}
	return nil
}

// MakeBrand makes a brand.
func (p *Products) MakeBrand(ctx context.Context, by Caller, of Brand) (Brand, error) {
	of.State, of.Version = StateActive, 1
	if err := of.check(); err != nil {
		return Brand{}, err
	}
	return once(ctx, p, home, by, "make_brand", of, func(c *change) (Brand, error) {
		if err := c.insertBrand(ctx, &of); err != nil {
			return Brand{}, err
		}
		if err := c.nameBrand(ctx, &of); err != nil {
			return Brand{}, err
		}
		c.privileged("brand.make", "brand:"+of.ID.String(), of.Names.changes(nil)...)
		return c.toldBrand(ctx, of)
	})
}

// insertBrand draws the id of a brand.
func (c *change) insertBrand(ctx context.Context, of *Brand) error {
	var err error
	for range drawsMax {
		of.ID = ids.Random[ids.Brand]()
		if err = c.put(ctx, "write brand", insertBrand, of.ID, of.State); !duplicate(err) {
			return err
		}
	}
	return err
}

// ChangeBrand changes the state and the names of a brand.
func (p *Products) ChangeBrand(ctx context.Context, by Caller, from web.Version, to Brand) (Brand, error) {
	if err := to.check(); err != nil {
		return Brand{}, err
	}
	asked := struct {
		From web.Version
		To   Brand
	}{from, to}
	return once(ctx, p, home, by, "change_brand", asked, func(c *change) (Brand, error) {
		before, err := c.lockBrand(ctx, to.ID)
		switch {
		case err != nil:
			return Brand{}, err
		case before.Version != int64(from):
			return Brand{}, web.ErrChanged
		}
		if err := c.put(ctx, "change brand", updateBrand, to.State, to.ID); err != nil {
			return Brand{}, err
		}
		if err := c.put(ctx, "delete names", deleteBrandNames, to.ID); err != nil {
			return Brand{}, err
		}
		if err := c.nameBrand(ctx, &to); err != nil {
			return Brand{}, err
		}
		to.Version = before.Version + 1
		changes := to.Names.changes(before.Names)
		if to.State != before.State {
			changes = append(changes, audit.Change{Name: "state", Before: before.State, After: to.State})
		}
		c.privileged("brand.change", "brand:"+to.ID.String(), changes...)
		return c.toldBrand(ctx, to)
	})
}

// lockBrand locks a brand until the transaction ends.
func (c *change) lockBrand(ctx context.Context, id ids.Brand) (Brand, error) {
	of := Brand{ID: id, Names: Names{}}
	err := c.in.QueryRowContext(ctx, lockBrand, id).Scan(&of.State, &of.Version)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Brand{}, errUnknownBrand
	case err != nil:
		return Brand{}, db.WriteError("lock brand", err)
	}
	err = db.Rows(ctx, c.in, func(row *sql.Rows) error {
		var locale, name string
		err := row.Scan(&locale, &name)
		of.Names[locale] = name
		return err
	}, selectBrandNames, id)
	if err != nil {
		return Brand{}, readError(c.at, "brand_names", err)
	}
	return of, nil
}

// nameBrand writes the names of a brand that has none. No two brands have one name in a locale.
func (c *change) nameBrand(ctx context.Context, of *Brand) error {
	locales := of.Names.locales() // in one order, so that two who write the same names wait for each other
	var values []any
	for _, locale := range locales {
		values = append(values, of.ID, locale, of.Names[locale], []byte(fold(of.Names[locale])))
	}
	_, err := c.in.ExecContext(ctx, insertBrandNames+rowsOf(len(locales), 4), values...)
	switch {
	case err == nil:
		return nil
	case !duplicate(err):
		return db.WriteError("write names", err)
	}
	for _, locale := range locales {
		var other ids.Brand
		err := c.in.QueryRowContext(ctx, selectTaken, locale, []byte(fold(of.Names[locale]))).Scan(&other)
		switch {
		case err == nil && other != of.ID:
			return errNameTaken(locale)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return readError(c.at, "brand_names", err)
		}
	}
	return errNameTaken(locales[0]) // it was given back since
}

// toldBrand tells others of a brand.
func (c *change) toldBrand(ctx context.Context, of Brand) (Brand, error) {
	return of, c.publish(ctx, of.ID.String(), brandEvent{of.State, of.Names})
}

// brandEvent tells others what a brand is.
type brandEvent struct {
	State State `json:"state"`
	Names Names `json:"names"`
}

func (brandEvent) kind() string { return "brand_changed" }

// Brand shows a brand as of a position, or as of later.
func (p *Products) Brand(ctx context.Context, id ids.Brand, from db.Position) (Brand, error) {
	read := func(from db.Position) ([]Brand, error) { return p.brands(ctx, from, selectBrand, id) }
	found, err := read(from)
	if err == nil && len(found) == 0 && from != db.Never {
		found, err = read(db.Never) // a new one is not in a reader yet
	}
	switch {
	case err != nil:
		return Brand{}, err
	case len(found) == 0:
		return Brand{}, errUnknownBrand
	}
	return found[0], nil
}

// Brands lists brands after one, by their ids. More says that there are others behind them. The list is as of now: edges keep it until
// an event of a brand, and it has no version by which they could tell that a reader is behind the event.
func (p *Products) Brands(ctx context.Context, after ids.Brand, limit int) (page []Brand, more bool, err error) {
	page, err = p.brands(ctx, db.Never, selectBrands, int64(after), limit+1)
	if len(page) > limit {
		return page[:limit], true, err
	}
	return page, false, err
}

func (p *Products) brands(ctx context.Context, from db.Position, query string, values ...any) ([]Brand, error) {
	at := p.common()
	all, err := place.Read(ctx, at, from, func(in place.Conn) (all []Brand, err error) {
		err = db.Rows(ctx, in, func(row *sql.Rows) error {
			var b Brand
			var locale, name string
			if err := row.Scan(&b.ID, &b.State, &b.Version, &locale, &name); err != nil {
				return err
			}
			if len(all) == 0 || all[len(all)-1].ID != b.ID {
				b.Names = Names{}
				all = append(all, b)
			}
			all[len(all)-1].Names[locale] = name
			return nil
		}, query, values...)
		return all, err
	})
	if err != nil {
		return nil, readError(at, "brands", err)
	}
	return all, nil
}

// locales are those that have a name, in their order.
func (n Names) locales() (all []string) {
	for locale := range n {
		all = append(all, locale)
	}
	slices.Sort(all)
	return all
}

// changes are what the audit log says of names.
func (n Names) changes(before Names) (all []audit.Change) {
	merged := Names{}
	for _, of := range []Names{before, n} {
		for locale := range of {
			merged[locale] = ""
		}
	}
	for _, locale := range merged.locales() {
		change := audit.Change{Name: "name." + locale}
		if name, had := before[locale]; had {
			change.Before = name
		}
		if name, has := n[locale]; has {
			change.After = name
		}
		if change.Before != change.After {
			all = append(all, change)
		}
	}
	return all
}
