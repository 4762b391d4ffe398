package product

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

const (
	selectRevision   = "SELECT revision FROM category_tree__ WHERE id = 1"
	lockRevision     = selectRevision + " FOR UPDATE"
	nameRevision     = "UPDATE category_tree__ SET revision = ? WHERE id = 1"
	selectCategories = "SELECT category_id, COALESCE(parent_id, 0), position, state, version FROM categories__"
	selectNames      = "SELECT category_id, locale, name FROM category_names__"
	selectAttributes = "SELECT category_id, code, kind, unit, required FROM attributes__ ORDER BY category_id, code"
	selectAttrNames  = "SELECT category_id, code, n, choice, locale, name FROM attribute_names__ ORDER BY category_id, code, n"
)

const (
	// treeLife is how long a process believes that its tree is the one of now.
	treeLife = time.Second
	// readWithin bounds the reading of a tree.
	readWithin = 30 * time.Second
)

// held is a tree, and which one it is.
type held struct {
	*Tree

	revision int64
}

// trees keep the last tree that was read. Whether it is the one of now, one short statement tells.
type trees struct {
	now  func() time.Time
	read func(context.Context, held) (held, error)
	turn chan struct{} // of who reads: the others wait

	mu     sync.Mutex
	last   held
	asked  time.Time // when last was the one of now
	doubts int       // of those who want the tree of now, so far
	sure   int       // last was read behind so many of them
	wrote  int       // the last one of a write of this process, which is everybody's
}

// get returns the last tree, and whether that does for a doubt; 0: whoever has none. Who reads another one gives doubts to put.
func (t *trees) get(doubt int) (last held, fresh bool, doubts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last, t.last.Tree != nil && t.sure >= max(doubt, t.wrote) && t.now().Sub(t.asked) < treeLife, t.doubts
}

// put keeps a tree that was the one of now when it was asked for, behind so many doubts.
func (t *trees) put(now held, asked time.Time, doubts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last, t.asked, t.sure = now, asked, doubts
}

// doubt is one of somebody who wants the tree of now: a reading that begins after it answers it, and those before. That of others goes on
// with the last one.
func (t *trees) doubt() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubts++
	return t.doubts
}

// written is the doubt of a write: whoever reads from then on wants a tree that has it.
func (t *trees) written() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.doubts++
	t.wrote = t.doubts
}

// Tree is the tree of categories, at most a second old. Who gives a position has the one of now: the tree is read where it is
// written.
func (p *Products) Tree(ctx context.Context, from db.Position) (*Tree, error) {
	t := &p.trees
	doubt := 0
	if from > 0 {
		doubt = t.doubt()
	}
	if last, fresh, _ := t.get(doubt); fresh {
		return last.Tree, nil
	}
	select {
	case t.turn <- struct{}{}:
		defer func() { <-t.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, ctx.Err())
	}
	last, fresh, doubts := t.get(doubt)
	if fresh {
		return last.Tree, nil
	}
	asked := t.now()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), readWithin) // who waits next has it, though the first one has gone
	defer cancel()
	now, err := t.read(within, last)
	if err != nil {
		return nil, err
	}
	t.put(now, asked, doubts)
	return now.Tree, nil
}

// readTree reads the tree, unless it is the one that the process has. Its rows are of one moment.
func (p *Products) readTree(ctx context.Context, last held) (now held, err error) {
	at := p.common()
	tx, err := at.Writer().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return held{}, readError(at, "category_tree", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	in := at.In(tx)
	if err := in.QueryRowContext(ctx, selectRevision).Scan(&now.revision); err != nil {
		return held{}, readError(at, "category_tree", err)
	}
	if now.revision == last.revision {
		return last, nil
	}
	now.Tree, err = load(ctx, at, in)
	return now, err
}

// tree is the tree as it is, which nobody else changes before the transaction ends.
func (c *change) tree(ctx context.Context) (*Tree, error) {
	var revision int64
	if err := c.in.QueryRowContext(ctx, lockRevision).Scan(&revision); err != nil {
		return nil, readError(c.at, "category_tree", err)
	}
	if last, _, _ := c.p.trees.get(0); last.revision == revision {
		return last.Tree, nil
	}
	return load(ctx, c.at, c.in)
}

// renames makes the tree another one. Its name is drawn: a count would name two trees alike once the database is restored.
func (c *change) renames(ctx context.Context) error {
	return c.put(ctx, "name a tree", nameRevision, ids.Random[int64]())
}

// load reads all categories.
func load(ctx context.Context, at place.Place, in place.Conn) (*Tree, error) {
	var all []Category
	index := map[ids.Category]int{}
	err := db.Rows(ctx, in, func(row *sql.Rows) error {
		c := Category{Names: Names{}}
		var parent int64
		err := row.Scan(&c.ID, &parent, &c.Position, &c.State, &c.Version)
		c.Parent, index[c.ID] = ids.Category(parent), len(all)
		all = append(all, c)
		return err
	}, selectCategories)
	if err != nil {
		return nil, readError(at, "categories", err)
	}
	of := func(id ids.Category) (*Category, error) {
		i, ok := index[id]
		if !ok {
			return nil, fmt.Errorf("category %s is not there, and something of it is", id)
		}
		return &all[i], nil
	}
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Category
		var locale, name string
		if err := row.Scan(&id, &locale, &name); err != nil {
			return err
		}
		c, err := of(id)
		if err == nil {
			c.Names[locale] = name
		}
		return err
	}, selectNames)
	if err != nil {
		return nil, readError(at, "category_names", err)
	}
	if err := loadAttributes(ctx, at, in, of); err != nil {
		return nil, err
	}
	t, err := newTree(all)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return t, nil
}

// loadAttributes reads the attributes of all categories, each in the order of their codes.
func loadAttributes(ctx context.Context, at place.Place, in place.Conn, of func(ids.Category) (*Category, error)) error {
	err := db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Category
		a := Attribute{Names: Names{}}
		if err := row.Scan(&id, &a.Code, &a.Kind, &a.Unit, &a.Required); err != nil {
			return err
		}
		c, err := of(id)
		if err == nil {
			c.Attributes = append(c.Attributes, a)
		}
		return err
	}, selectAttributes)
	if err != nil {
		return readError(at, "attributes", err)
	}
	err = db.Rows(ctx, in, func(row *sql.Rows) error {
		var id ids.Category
		var code, choice, locale, name string
		var n int
		if err := row.Scan(&id, &code, &n, &choice, &locale, &name); err != nil {
			return err
		}
		c, err := of(id)
		if err != nil {
			return err
		}
		a := own(c.Attributes, code)
		switch {
		case a == nil:
			return fmt.Errorf("category %s has no attribute %s, and a name of it", id, code)
		case n == 0:
			a.Names[locale] = name
			return nil
		case n == len(a.Choices)+1:
			a.Choices = append(a.Choices, Choice{Code: choice, Names: Names{}})
		}
		a.Choices[n-1].Names[locale] = name
		return nil
	}, selectAttrNames)
	if err != nil {
		return readError(at, "attribute_names", err)
	}
	return nil
}
