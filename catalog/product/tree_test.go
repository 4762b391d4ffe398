package product

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/core/ids"
	"sluice/core/problem"
)

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}

func mustTree(t *testing.T, all []Category) *Tree {
	t.Helper()
	tree, err := newTree(all)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// naive knows the parents of categories, and asks them one by one.
type naive struct{ all []Category }

func (n *naive) find(id ids.Category) *Category {
	for i := range n.all {
		if n.all[i].ID == id {
			return &n.all[i]
		}
	}
	return nil
}

// path walks to the top. It ends also in a circle.
func (n *naive) path(id ids.Category) (path []ids.Category, circle bool) {
	for c := n.find(id); c != nil; c = n.find(c.Parent) {
		if slices.Contains(path, c.ID) {
			return path, true
		}
		path = append(path, c.ID)
	}
	slices.Reverse(path)
	return path, false
}

// below are all categories on whose path one is, but itself.
func (n *naive) below(id ids.Category) (all []ids.Category) {
	for _, c := range n.all {
		if path, _ := n.path(c.ID); c.ID != id && slices.Contains(path, id) {
			all = append(all, c.ID)
		}
	}
	slices.Sort(all)
	return all
}

// fault is what is wrong with the tree as a whole: the bounds, circles, and codes and names that are there twice.
func (n *naive) fault() string {
	for _, c := range n.all {
		if _, circle := n.path(c.ID); circle {
			return "category_circle"
		}
	}
	for _, c := range n.all {
		path, _ := n.path(c.ID)
		if len(path) > depthMax {
			return "too_many"
		}
		var codes []string
		for _, id := range path {
			for _, a := range n.find(id).Attributes {
				if slices.Contains(codes, a.Code) {
					return "attribute_taken"
				}
				codes = append(codes, a.Code)
			}
		}
		if len(codes) > attributesMax {
			return "too_many"
		}
		for _, other := range n.all {
			if other.ID != c.ID && other.Parent == c.Parent && strings.EqualFold(other.Names["en"], c.Names["en"]) {
				return "name_taken"
			}
		}
	}
	return ""
}

// TestRandomMoves makes and moves categories at random. The tree refuses just what would be wrong in the eyes of one who looks at
// everything again, and what it says of paths and of those below is what a walk finds.
func TestRandomMoves(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	refused := map[string]int{}
	for range 30 {
		n := &naive{}
		next := ids.Category(1)
		for range 120 {
			var parent ids.Category
			if len(n.all) > 0 && r.IntN(5) > 0 {
				parent = n.all[r.IntN(len(n.all))].ID
			}
			tree := mustTree(t, n.all)
			after := &naive{slices.Clone(n.all)}
			var err error
			switch {
			case len(n.all) < 3 || r.IntN(4) == 0:
				c := Category{ID: next, Parent: parent, Position: r.IntN(3), State: StateActive, Names: Names{"en": fmt.Sprint("N", r.IntN(30))}}
				next++
				err = tree.add(&c)
				after.all = append(after.all, c)
			case r.IntN(3) == 0:
				c := after.find(n.all[r.IntN(len(n.all))].ID)
				a := Attribute{Code: fmt.Sprint("a", r.IntN(20)), Kind: KindText, Names: Names{"en": "x"}}
				err = tree.set(c.ID, &a)
				if own(c.Attributes, a.Code) == nil {
					c.Attributes = append(slices.Clone(c.Attributes), a)
					slices.SortFunc(c.Attributes, func(a, b Attribute) int { return strings.Compare(a.Code, b.Code) })
				}
			default:
				c := after.find(n.all[r.IntN(len(n.all))].ID)
				c.Parent, c.Position = parent, r.IntN(3)
				to := *c
				err = tree.change(&to)
			}
			if got, want := codeOf(err), after.fault(); (got == "") != (want == "") || (got == "category_circle") != (want == "category_circle") {
				t.Fatalf("refused as %q, and what came of it has %q: %+v", got, want, after.all)
			}
			if err != nil {
				refused[codeOf(err)]++
				continue
			}
			n = after
			compare(t, n)
		}
	}
	for _, code := range []string{"category_circle", "attribute_taken", "name_taken"} {
		if refused[code] == 0 {
			t.Errorf("nothing was refused as %s", code)
		}
	}
}

// compare holds the tree to what walks find.
func compare(t *testing.T, n *naive) {
	t.Helper()
	tree := mustTree(t, n.all)
	for _, c := range n.all {
		page, more, err := tree.Below(c.ID, true, 0, len(n.all)+1)
		var got []ids.Category
		for _, below := range page {
			got = append(got, below.ID)
		}
		slices.Sort(got)
		if want := n.below(c.ID); err != nil || more || !slices.Equal(got, want) {
			t.Fatalf("below %s are %v, %v, want %v", c.ID, got, err, want)
		}
		var path []ids.Category
		for _, on := range tree.Path(c.ID) {
			path = append(path, on.ID)
		}
		if want, _ := n.path(c.ID); !slices.Equal(path, want) {
			t.Fatalf("the path of %s is %v, want %v", c.ID, path, want)
		}
	}
}

// TestPages: the pages of a list have each category once, in the order of the whole.
func TestPages(t *testing.T) {
	t.Parallel()
	var all []Category
	for id := ids.Category(1); id <= 40; id++ {
		all = append(all, Category{ID: id, Parent: id / 4, Position: int(id % 3), State: StateActive})
	}
	tree := mustTree(t, all)
	for _, of := range []ids.Category{0, 1, 2} {
		for _, deep := range []bool{false, true} {
			whole, _, err := tree.Below(of, deep, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for size := 1; size <= len(whole)+1; size++ {
				var got []Category
				for after, more := ids.Category(0), true; more; {
					var page []Category
					if page, more, err = tree.Below(of, deep, after, size); err != nil || len(page) == 0 || len(page) > size {
						t.Fatalf("a page of %d is %v, %v", size, page, err)
					}
					got, after = append(got, page...), page[len(page)-1].ID
				}
				if len(got) != len(whole) || got[len(got)-1].ID != whole[len(whole)-1].ID {
					t.Errorf("in pages of %d: %v, want %v", size, got, whole)
				}
			}
		}
	}
	if _, _, err := tree.Below(2, false, 40, 10); codeOf(err) != "malformed" {
		t.Errorf("a cursor of another list: %v", err)
	}
	if _, _, err := tree.Below(99, true, 0, 10); codeOf(err) != "unknown_category" {
		t.Errorf("below none: %v", err)
	}
	if page, _, err := tree.Below(40, true, 0, 10); err != nil || len(page) != 0 {
		t.Errorf("below the last one: %v, %v", page, err)
	}
}

// TestTreeHasBounds: a million categories or attributes are refused, and so is what is too deep.
func TestTreeHasBounds(t *testing.T) {
	t.Parallel()
	var chain, wide, full []Category
	for id := ids.Category(1); id <= depthMax; id++ {
		chain = append(chain, Category{ID: id, Parent: id - 1, State: StateActive})
	}
	chain = append(chain, Category{ID: 100}, Category{ID: 101, Parent: 100})
	for id := ids.Category(1); id <= childrenMax; id++ {
		wide = append(wide, Category{ID: id})
	}
	wide = append(wide, Category{ID: 1000, Parent: 1})
	for id := ids.Category(1); id <= categoriesMax; id++ {
		full = append(full, Category{ID: id, Parent: id / 50})
	}
	name := Names{"en": "x"}
	for what, err := range map[string]error{
		"deep":       mustTree(t, chain).add(&Category{ID: 50, Parent: depthMax, Names: name}),
		"moved deep": mustTree(t, chain).change(&Category{ID: 100, Parent: depthMax - 1, Names: name}),
		"wide":       mustTree(t, wide).add(&Category{ID: 2000, Names: name}),
		"moved wide": mustTree(t, wide).change(&Category{ID: 1000, Names: name}),
		"full":       mustTree(t, full).add(&Category{ID: 20_000, Parent: 7000, Names: name}),
	} {
		if codeOf(err) != "too_many" {
			t.Errorf("%s: %v", what, err)
		}
	}
	attributes := func(first, count int) (all []Attribute) {
		for i := first; i < first+count; i++ {
			all = append(all, Attribute{Code: fmt.Sprintf("a%03d", i), Kind: KindText, Names: name})
		}
		return all
	}
	tree := mustTree(t, []Category{
		{ID: 1, Attributes: attributes(0, 30)},
		{ID: 2, Parent: 1, Attributes: attributes(30, 20)},
		{ID: 3, Parent: 2},
		{ID: 4, Attributes: attributes(100, 1)},
	})
	for id := ids.Category(1); id <= 3; id++ {
		if err := tree.set(id, &Attribute{Code: "one_more", Kind: KindText, Names: name}); codeOf(err) != "too_many" {
			t.Errorf("one more attribute for %s: %v", id, err)
		}
	}
	if err := tree.change(&Category{ID: 4, Parent: 3, Names: name}); codeOf(err) != "too_many" {
		t.Errorf("a category with an attribute below those that have all: %v", err)
	}
	var many []Category
	for id := ids.Category(1); id <= attributesAllMax/attributesMax; id++ {
		many = append(many, Category{ID: id, Attributes: attributes(0, attributesMax)})
	}
	many = append(many, Category{ID: 1 << 40})
	if err := mustTree(t, many).set(1<<40, &Attribute{Code: "b", Kind: KindText, Names: name}); codeOf(err) != "too_many" {
		t.Errorf("one more attribute than all may be: %v", err)
	}
}

// TestBrokenTrees: what no write makes is told, and makes nobody wait for ever.
func TestBrokenTrees(t *testing.T) {
	t.Parallel()
	for what, all := range map[string][]Category{
		"circle": {{ID: 1, Parent: 2}, {ID: 2, Parent: 1}},
		"orphan": {{ID: 1, Parent: 2}},
	} {
		if _, err := newTree(all); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// TestAttributesAreInherited: a category has those of the ones above it, and none that is archived above makes it usable.
func TestAttributesAreInherited(t *testing.T) {
	t.Parallel()
	tree := mustTree(t, []Category{
		{ID: 1, State: StateActive, Attributes: []Attribute{{Code: "a"}}}, {ID: 2, Parent: 1, State: StateArchived}, {ID: 3, Parent: 2, State: StateActive, Attributes: []Attribute{{Code: "b"}}},
	})
	got := tree.Attributes(3)
	if len(got) != 2 || got[0].Code != "a" || got[0].From != 1 || got[1].Code != "b" || got[1].From != 3 {
		t.Errorf("the attributes are %+v", got)
	}
	if !tree.Usable(1) || tree.Usable(2) || tree.Usable(3) || tree.Usable(4) {
		t.Error("an archived category hides those below it, and no other")
	}
}

func TestAttributeForms(t *testing.T) {
	t.Parallel()
	good := func() Attribute {
		return Attribute{Code: "size", Kind: KindChoice, Names: Names{"en": "Size"}, Choices: []Choice{{"s", Names{"en": "S"}}, {"m", Names{"en": "M"}}}}
	}
	for pointer, spoil := range map[string]func(*Attribute){
		"":                 func(a *Attribute) { a.Code = "Size" },
		"/kind":            func(a *Attribute) { a.Kind = "colour" },
		"/unit":            func(a *Attribute) { a.Unit = "cm" },
		"/names":           func(a *Attribute) { a.Names = nil },
		"/names/en":        func(a *Attribute) { a.Names = Names{"en": "a\u202eb"} },
		"/choices":         func(a *Attribute) { a.Choices = nil },
		"/choices/1/code":  func(a *Attribute) { a.Choices[1].Code = "s" },
		"/choices/0/names": func(a *Attribute) { a.Choices[0].Names = Names{"english": "S"} },
	} {
		a := good()
		if p := a.check(); p != nil {
			t.Fatal(p)
		}
		spoil(&a)
		if p := a.check(); p == nil || p.Pointer != pointer {
			t.Errorf("at %q: %v", pointer, p)
		}
	}
	before := good()
	for _, follow := range []struct {
		change func(*Attribute)
		fine   bool
	}{
		{func(a *Attribute) { a.Required = true }, true},
		{func(a *Attribute) { a.Choices = append(a.Choices, Choice{"l", Names{"en": "L"}}) }, true},
		{func(a *Attribute) { slices.Reverse(a.Choices) }, true},
		{func(a *Attribute) { a.Choices = a.Choices[:1] }, false},
		{func(a *Attribute) { a.Kind = KindText }, false},
		{func(a *Attribute) { a.Unit = "cm" }, false},
	} {
		a := good()
		follow.change(&a)
		if p := a.follows(&before); (p == nil) != follow.fine {
			t.Errorf("%+v: %v", a, p)
		}
	}
}
