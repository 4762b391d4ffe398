package product

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Category is a category, as it is kept. Those at the top have the parent 0.
type Category struct {
	ID         ids.Category `json:"category_id,omitzero"`
	Parent     ids.Category `json:"parent_id,omitzero"`
	Position   int          `json:"position"` // among those with the same parent
	State      State        `json:"state"`
	Version    int64        `json:"version"` // how often it was changed
	Names      Names        `json:"names"`
	Attributes []Attribute  `json:"-"` // of its own, by code
}

// The bounds of the tree. A process has all of it in memory, and a page of a category shows all its attributes.
const (
	categoriesMax    = 10_000
	depthMax         = 8     // a category at the top has the depth 1
	childrenMax      = 500   // with the same parent
	attributesMax    = 50    // of a category, with those of the categories above it
	attributesAllMax = 5_000 // of all categories
	positionMax      = 9_999
)

// Tree is the tree of all categories. It does not change: a write makes another one.
type Tree struct {
	// order has each category before those below it, which come at once behind it: so all below one are a part of order.
	order      []*node
	byID       map[ids.Category]*node
	top        []*node
	attributes int
}

type node struct {
	Category

	up       *node // nil at the top
	children []*node
	depth    int
	at, end  int // its part of order, with itself
}

// newTree makes a tree of categories in any order.
func newTree(all []Category) (*Tree, error) {
	t := &Tree{byID: make(map[ids.Category]*node, len(all)), order: make([]*node, 0, len(all))}
	for i := range all {
		t.byID[all[i].ID] = &node{Category: all[i]}
		t.attributes += len(all[i].Attributes)
	}
	for i := range all {
		n := t.byID[all[i].ID]
		if n.Parent == 0 {
			t.top = append(t.top, n)
			continue
		}
		if n.up = t.byID[n.Parent]; n.up == nil {
			return nil, fmt.Errorf("category %s is below %s, which is not there", n.ID, n.Parent)
		}
		n.up.children = append(n.up.children, n)
	}
	t.lay(t.top, 1)
	if len(t.order) != len(all) {
		return nil, fmt.Errorf("%d of %d categories are below none at the top", len(all)-len(t.order), len(all))
	}
	return t, nil
}

// lay puts categories with one parent, and those below them, into their order.
func (t *Tree) lay(siblings []*node, depth int) {
	slices.SortFunc(siblings, func(a, b *node) int { return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID)) })
	for _, n := range siblings {
		n.depth, n.at = depth, len(t.order)
		t.order = append(t.order, n)
		t.lay(n.children, depth+1)
		n.end = len(t.order)
	}
}

// Category finds a category.
func (t *Tree) Category(id ids.Category) (Category, bool) {
	n := t.byID[id]
	if n == nil {
		return Category{}, false
	}
	return n.Category, true
}

// Path is a category with those above it, the one at the top first. It is empty if there is no such category.
func (t *Tree) Path(id ids.Category) []Category {
	n := t.byID[id]
	if n == nil {
		return nil
	}
	path := make([]Category, n.depth)
	for ; n != nil; n = n.up {
		path[n.depth-1] = n.Category
	}
	return path
}

// Below are the categories below one, 0 is above those at the top: those with this parent in their order, or all, each before those
// below it. It asks for none that is not near the page.
func (t *Tree) Below(of ids.Category, deep bool, after ids.Category, limit int) (page []Category, more bool, err error) {
	all := t.siblings(of)
	from := t.byID[of]
	switch {
	case of != 0 && from == nil:
		return nil, false, errUnknownCategory
	case deep && of == 0:
		all = t.order
	case deep:
		all = t.order[from.at+1 : from.end]
	}
	if after != 0 {
		i := slices.Index(all, t.byID[after])
		if i < 0 {
			return nil, false, malformed("", "the cursor is not one of this list")
		}
		all = all[i+1:]
	}
	for _, n := range all[:min(limit, len(all))] {
		page = append(page, n.Category)
	}
	return page, len(all) > limit, nil
}

// Children is how many categories have this one for their parent.
func (t *Tree) Children(of ids.Category) int { return len(t.siblings(of)) }

// Depth is how many categories the path of one has.
func (t *Tree) Depth(id ids.Category) int { return len(t.Path(id)) }

// Usable reports whether products may be in a category: neither it nor one above it is archived.
func (t *Tree) Usable(id ids.Category) bool {
	path := t.Path(id)
	return len(path) > 0 && !slices.ContainsFunc(path, func(c Category) bool { return c.State != StateActive })
}

// Inherited is an attribute of a category, and the category that it is of.
type Inherited struct {
	Attribute

	From ids.Category
}

// Attributes are those of a category, with those of the categories above it, which come first.
func (t *Tree) Attributes(id ids.Category) (all []Inherited) {
	for _, c := range t.Path(id) {
		for _, a := range c.Attributes {
			all = append(all, Inherited{a, c.ID})
		}
	}
	return all
}

func (t *Tree) siblings(parent ids.Category) []*node {
	if parent == 0 {
		return t.top
	}
	if n := t.byID[parent]; n != nil {
		return n.children
	}
	return nil
}

// add refuses a category that the tree cannot take.
func (t *Tree) add(c *Category) error {
	if len(t.order) >= categoriesMax {
		return errTooMany("a shop has at most %d categories", categoriesMax)
	}
	if err := t.hold(c.Parent, 1); err != nil {
		return err
	}
	return t.named(c)
}

// change refuses a change of a category of the tree: its place, its names. What is below moves along.
func (t *Tree) change(to *Category) error {
	n := t.byID[to.ID]
	if n == nil {
		return errUnknownCategory
	}
	if to.Parent != n.Parent {
		if err := t.move(n, to.Parent); err != nil {
			return err
		}
	}
	return t.named(to)
}

// move refuses another place for a category and what is below it.
func (t *Tree) move(n *node, to ids.Category) error {
	if p := t.byID[to]; p != nil && n.at <= p.at && p.at < n.end {
		return errCircle
	}
	height, inherits := 1, 0
	for _, below := range t.order[n.at:n.end] {
		height = max(height, below.depth-n.depth+1)
		inherits = max(inherits, below.attributesTo(n))
	}
	if err := t.hold(to, height); err != nil {
		return err
	}
	above := t.Attributes(to)
	if len(above)+inherits > attributesMax {
		return errTooMany("a category has at most %d attributes, with those of the categories above it", attributesMax)
	}
	taken := map[string]bool{}
	for _, a := range above {
		taken[a.Code] = true
	}
	for _, below := range t.order[n.at:n.end] {
		for _, a := range below.Attributes {
			if taken[a.Code] {
				return &problem.Problem{Kind: attributeTaken, Pointer: "/parent_id", Detail: a.Code}
			}
		}
	}
	return nil
}

// attributesTo counts the attributes from a category up to one above it, with both.
func (n *node) attributesTo(above *node) (count int) {
	for at := n; ; at = at.up {
		count += len(at.Attributes)
		if at == above {
			return count
		}
	}
}

// hold refuses a place below a category for another one, with so many steps as that has.
func (t *Tree) hold(parent ids.Category, height int) error {
	depth := 0
	if parent != 0 {
		p := t.byID[parent]
		if p == nil {
			return errUnknownParent
		}
		depth = p.depth
	}
	switch {
	case depth+height > depthMax:
		return errTooMany("categories are at most %d deep", depthMax)
	case len(t.siblings(parent)) >= childrenMax:
		return errTooMany("at most %d categories have the same parent", childrenMax)
	}
	return nil
}

// fold is a name without its capital letters: those make no other name.
func fold(name string) string { return strings.ToLower(name) }

// named refuses a name that another one with the same parent has.
func (t *Tree) named(c *Category) error {
	for _, locale := range slices.Sorted(maps.Keys(c.Names)) {
		for _, other := range t.siblings(c.Parent) {
			if other.ID != c.ID && fold(other.Names[locale]) == fold(c.Names[locale]) {
				return errNameTaken(locale)
			}
		}
	}
	return nil
}

// set refuses an attribute for a category.
func (t *Tree) set(id ids.Category, a *Attribute) error {
	n := t.byID[id]
	if n == nil {
		return errUnknownCategory
	}
	if before := own(n.Attributes, a.Code); before != nil {
		if p := a.follows(before); p != nil {
			return p
		}
		return nil
	}
	for up := n.up; up != nil; up = up.up {
		if own(up.Attributes, a.Code) != nil {
			return &problem.Problem{Kind: attributeTaken, Detail: "by " + up.ID.String()}
		}
	}
	most := 0
	for _, below := range t.order[n.at:n.end] {
		if below != n && own(below.Attributes, a.Code) != nil {
			return &problem.Problem{Kind: attributeTaken, Detail: "by " + below.ID.String()}
		}
		most = max(most, below.attributesTo(n))
	}
	above := 0
	if n.up != nil {
		above = len(t.Attributes(n.up.ID))
	}
	switch {
	case above+most+1 > attributesMax:
		return errTooMany("a category has at most %d attributes, with those of the categories above it", attributesMax)
	case t.attributes >= attributesAllMax:
		return errTooMany("all categories have at most %d attributes", attributesAllMax)
	}
	return nil
}

// own is an attribute of those of one category, or nil.
func own(of []Attribute, code string) *Attribute {
	i, ok := slices.BinarySearchFunc(of, code, func(a Attribute, code string) int { return cmp.Compare(a.Code, code) })
	if !ok {
		return nil
	}
	return &of[i]
}
