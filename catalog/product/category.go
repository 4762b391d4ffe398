package product

import (
	"context"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
)

const (
	insertCategory = "INSERT INTO categories__ (category_id, parent_id, position, state) VALUES (?, ?, ?, ?)"
	updateCategory = "UPDATE categories__ SET parent_id = ?, position = ?, state = ?, version = version + 1 WHERE category_id = ? AND version = ?"
	touchCategory  = "UPDATE categories__ SET version = version + 1 WHERE category_id = ? AND version = ?"
	deleteNames    = "DELETE FROM category_names__ WHERE category_id = ?"
	insertNames    = "INSERT INTO category_names__ (category_id, locale, name) VALUES "

	putAttribute     = "INSERT INTO attributes__ (category_id, code, kind, unit, required) VALUES (?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE required = VALUES(required)"
	deleteAttribute  = "DELETE FROM attributes__ WHERE category_id = ? AND code = ?"
	deleteAttrNames  = "DELETE FROM attribute_names__ WHERE category_id = ? AND code = ?"
	insertAttrNames  = "INSERT INTO attribute_names__ (category_id, code, n, choice, locale, name) VALUES "
	attributeColumns = 6
)

// check refuses what no category can be.
func (c *Category) check() error {
	switch {
	case c.Position < 0 || c.Position > positionMax:
		return malformed("/position", "want 0 to %d", positionMax)
	case c.State != StateActive && c.State != StateArchived:
		return malformed("/state", "want active or archived")
	}
	if p := c.Names.check("/names"); p != nil {
		return p
	}
	return nil
}

// MakeCategory makes a category, below those that are there.
func (p *Products) MakeCategory(ctx context.Context, by Caller, of Category) (Category, error) {
	of.State, of.Version = StateActive, 1
	if err := of.check(); err != nil {
		return Category{}, err
	}
	return p.once(ctx, by, "make_category", of, func(c *change) (Category, error) {
		t, err := c.tree(ctx)
		if err != nil {
			return Category{}, err
		}
		for of.ID = ids.Random[ids.Category](); ; of.ID = ids.Random[ids.Category]() {
			if _, taken := t.Category(of.ID); !taken {
				break
			}
		}
		if err := t.add(&of); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "write category", insertCategory, of.ID, orNull(of.Parent), of.Position, of.State); err != nil {
			return Category{}, err
		}
		if err := c.name(ctx, &of); err != nil {
			return Category{}, err
		}
		c.privileged("category.make", "category:"+of.ID.String(), of.changes(nil)...)
		return c.told(ctx, of)
	})
}

// ChangeCategory changes the place, the state and the names of a category. What is below moves along.
func (p *Products) ChangeCategory(ctx context.Context, by Caller, from web.Version, to Category) (Category, error) {
	if err := to.check(); err != nil {
		return Category{}, err
	}
	return p.once(ctx, by, "change_category", asked[Category]{to.ID, from, to}, func(c *change) (Category, error) {
		t, before, err := c.category(ctx, to.ID, from)
		if err != nil {
			return Category{}, err
		}
		if err := t.change(&to); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "change category", updateCategory, orNull(to.Parent), to.Position, to.State, to.ID, before.Version); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "delete names", deleteNames, to.ID); err != nil {
			return Category{}, err
		}
		if err := c.name(ctx, &to); err != nil {
			return Category{}, err
		}
		to.Version, to.Attributes = before.Version+1, before.Attributes
		c.privileged("category.change", "category:"+to.ID.String(), to.changes(&before)...)
		return c.told(ctx, to)
	})
}

// SetAttribute gives a category an attribute, or changes one.
func (p *Products) SetAttribute(ctx context.Context, by Caller, id ids.Category, from web.Version, a Attribute) (Category, error) {
	if problem := a.check(); problem != nil {
		return Category{}, problem
	}
	return p.once(ctx, by, "set_attribute", asked[Attribute]{id, from, a}, func(c *change) (Category, error) {
		t, of, err := c.category(ctx, id, from)
		if err != nil {
			return Category{}, err
		}
		if err := t.set(id, &a); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "write attribute", putAttribute, id, a.Code, a.Kind, a.Unit, a.Required); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "delete names", deleteAttrNames, id, a.Code); err != nil {
			return Category{}, err
		}
		values := names(nil, a.Names, id, a.Code, 0, "")
		for i, choice := range a.Choices {
			values = names(values, choice.Names, id, a.Code, i+1, choice.Code)
		}
		if err := c.put(ctx, "write names", insertAttrNames+rowsOf(len(values)/attributeColumns, attributeColumns), values...); err != nil {
			return Category{}, err
		}
		c.privileged("category.set_attribute", "category:"+id.String(),
			audit.Change{Name: "attribute", After: a.Code}, audit.Change{Name: "kind", After: a.Kind}, audit.Change{Name: "required", After: a.Required})
		return c.touch(ctx, of)
	})
}

// RemoveAttribute takes an attribute from a category. Products that have a value of it keep that, and nobody asks for it any more.
func (p *Products) RemoveAttribute(ctx context.Context, by Caller, id ids.Category, from web.Version, code string) (Category, error) {
	return p.once(ctx, by, "remove_attribute", asked[string]{id, from, code}, func(c *change) (Category, error) {
		_, of, err := c.category(ctx, id, from)
		switch {
		case err != nil:
			return Category{}, err
		case own(of.Attributes, code) == nil:
			return Category{}, errUnknownAttribute
		}
		if err := c.put(ctx, "delete attribute", deleteAttribute, id, code); err != nil {
			return Category{}, err
		}
		if err := c.put(ctx, "delete names", deleteAttrNames, id, code); err != nil {
			return Category{}, err
		}
		c.privileged("category.remove_attribute", "category:"+id.String(), audit.Change{Name: "attribute", Before: code})
		return c.touch(ctx, of)
	})
}

// asked is what a client chose for a category.
type asked[T any] struct {
	ID   ids.Category
	From web.Version
	To   T
}

// once changes the tree, or finds what the same request did the first time.
func (p *Products) once(ctx context.Context, by Caller, route string, asked any, do func(*change) (Category, error)) (Category, error) {
	defer p.trees.written() // also if nobody knows whether it was done
	return once(ctx, p, home, by, route, asked, do)
}

// category finds the category to change, in the tree that is locked.
func (c *change) category(ctx context.Context, id ids.Category, from web.Version) (*Tree, Category, error) {
	t, err := c.tree(ctx)
	if err != nil {
		return nil, Category{}, err
	}
	of, ok := t.Category(id)
	switch {
	case !ok:
		return nil, Category{}, errUnknownCategory
	case of.Version != int64(from):
		return nil, Category{}, web.ErrChanged
	}
	return t, of, nil
}

// name writes the names of a category that has none.
func (c *change) name(ctx context.Context, of *Category) error {
	var values []any
	for locale, name := range of.Names {
		values = append(values, of.ID, locale, name)
	}
	return c.put(ctx, "write names", insertNames+rowsOf(len(of.Names), 3), values...)
}

// touch counts a change of what a category has.
func (c *change) touch(ctx context.Context, of Category) (Category, error) {
	if err := c.put(ctx, "count a category", touchCategory, of.ID, of.Version); err != nil {
		return Category{}, err
	}
	of.Version++
	return c.told(ctx, of)
}

// told counts the tree, and tells others of a category.
func (c *change) told(ctx context.Context, of Category) (Category, error) {
	if err := c.renames(ctx); err != nil {
		return Category{}, err
	}
	return of, c.publish(ctx, of.ID.String(), categoryEvent{of.Parent, of.State, of.Names})
}

// categoryEvent tells others what a category is. Which attributes it has, they ask.
type categoryEvent struct {
	Parent ids.Category `json:"parent_id,omitzero"`
	State  State        `json:"state"`
	Names  Names        `json:"names"`
}

func (categoryEvent) kind() string { return "category_changed" }

// changes are what the audit log says of a category: all of one that is new, else what is another.
func (c *Category) changes(before *Category) (all []audit.Change) {
	was := func(value any) any {
		if before == nil {
			return nil
		}
		return value
	}
	if before == nil {
		before = &Category{}
	}
	if before.Parent != c.Parent {
		all = append(all, audit.Change{Name: "parent", Before: orNone(before.Parent), After: orNone(c.Parent)})
	}
	if before.Position != c.Position {
		all = append(all, audit.Change{Name: "position", Before: was(before.Position), After: c.Position})
	}
	if before.State != c.State {
		all = append(all, audit.Change{Name: "state", Before: was(before.State), After: c.State})
	}
	return append(all, c.Names.changes(before.Names)...)
}

// orNone is the id of a parent in the audit log.
func orNone(id ids.Category) any {
	if id == 0 {
		return nil
	}
	return id.String()
}

// orNull is the id of a parent in SQL.
func orNull(id ids.Category) any {
	if id == 0 {
		return nil
	}
	return int64(id)
}

// names appends the values of rows of names.
func names(values []any, of Names, before ...any) []any {
	for locale, name := range of {
		values = append(append(values, before...), locale, name)
	}
	return values
}

// duplicate reports whether a statement was refused because a unique value is taken.
func duplicate(err error) bool { return db.Answer(err) == db.AnswerDuplicate }
