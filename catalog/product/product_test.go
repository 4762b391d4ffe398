package product_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/product"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{outbox.Tables("product"), task.Table("product"), schedule.Table("product"), replay.Table("product")} {
		if err := product.Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}

// file has products in two databases of two tables.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [{"first": 0, "last": 1023, "database": "a"}],
  "products": [
    {"first": 0, "last": 255, "database": "a", "table": 0}, {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0}, {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

// shop has the products of several processes with the same databases.
type shop struct {
	*product.Products

	t         *testing.T
	databases *place.Databases
	keys      atomic.Int64
	clock     atomic.Int64 // nanoseconds
	sellers   sellers
	media     *objects.Store
}

func newShop(t *testing.T) *shop {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "b.dsn": servicetest.MariaDB(t), "shards.json": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{
		MySQL: db.Config{ConnsMax: 8, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{audit.Schema(), product.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, databases: d, sellers: sellers{open: map[ids.Seller]ids.User{}}}
	s.clock.Store(1)
	s.Products = s.process()
	return s
}

// process are the products of another process.
func (s *shop) process() *product.Products {
	return product.New(product.Config{Databases: s.databases, Sellers: s.sellers, Media: s.media, Now: func() time.Time { return time.Unix(0, s.clock.Load()) }})
}

// by is somebody who asks under a new key.
func (s *shop) by() product.Caller {
	return product.Caller{Author: audit.Author{Actor: "ops:7", Origin: "a test"}, User: 7, Key: fmt.Sprint("k", s.keys.Add(1))}
}

func (s *shop) category(parent ids.Category, name string) product.Category {
	s.t.Helper()
	of, err := s.MakeCategory(s.t.Context(), s.by(), product.Category{Parent: parent, Names: product.Names{"en": name}})
	if err != nil {
		s.t.Fatal(err)
	}
	return of
}

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}

// count counts rows in a place.
func (s *shop) count(p place.Place, table string) (n int) {
	s.t.Helper()
	if err := p.In(p.Writer()).QueryRowContext(s.t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestTreeIsInOnePlace: what is the same for the whole shop has its rows in the place of the first shard alone, with their events and
// acts.
func TestTreeIsInOnePlace(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.category(0, "Clothes")
	if _, err := s.MakeBrand(t.Context(), s.by(), product.Brand{Names: product.Names{"en": "Acme"}}); err != nil {
		t.Fatal(err)
	}
	home := s.databases.At(shard.Shard{Kind: shard.Products}).Name
	for _, p := range s.databases.All(shard.Products) {
		want := 0
		if p.Name == home {
			want = 1
		}
		for _, table := range []string{"categories__", "brands__", "product_replays__ WHERE route = 'make_category'", "product_outbox__ WHERE type = 'brand_changed'", "audit_entries__ WHERE act = 'category.make'"} {
			if got := s.count(p, table); got != want {
				t.Errorf("%s has %d of %s, want %d", p.Name, got, table, want)
			}
		}
	}
}

// TestProcessesMoveTheTree moves categories in several processes at once, at random. Whatever they do, all of them see one tree, and no
// circle was made.
func TestProcessesMoveTheTree(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := newShop(t)
	var all []ids.Category
	for i := range 12 {
		all = append(all, s.category(0, fmt.Sprint("C", i)).ID)
	}
	processes := []*product.Products{s.process(), s.process(), s.process()}
	var circles, moves atomic.Int64
	var moving errgroup.Group
	for n, p := range processes {
		r := rand.New(rand.NewPCG(seed, uint64(n)))
		moving.Go(func() error {
			for range 60 {
				tree, err := p.Tree(t.Context(), 1)
				if err != nil {
					return err
				}
				to, _ := tree.Category(all[r.IntN(len(all))])
				if to.Parent = all[r.IntN(len(all))]; r.IntN(4) == 0 {
					to.Parent = 0
				}
				switch _, err := p.ChangeCategory(t.Context(), s.by(), web.Version(to.Version), to); codeOf(err) {
				case "":
					if err != nil {
						return err
					}
					moves.Add(1)
				case "category_circle":
					circles.Add(1)
				}
			}
			return nil
		})
	}
	if err := moving.Wait(); err != nil {
		t.Fatal(err)
	}
	if circles.Load() == 0 || moves.Load() == 0 {
		t.Errorf("%d moves and %d circles: too few to tell", moves.Load(), circles.Load())
	}
	var first string
	for _, p := range append(processes, s.process()) { // the last one has read nothing yet
		tree, err := p.Tree(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		page, _, err := tree.Below(0, true, 0, 100)
		if err != nil || len(page) != len(all) {
			t.Errorf("%d of %d categories are below the top, %v", len(page), len(all), err)
		}
		if text := fmt.Sprint(page); first == "" {
			first = text
		} else if text != first {
			t.Errorf("one process has %s, another one %s", first, text)
		}
	}
	home := s.databases.At(shard.Shard{Kind: shard.Products})
	if got, want := s.count(home, "product_outbox__"), len(all)+int(moves.Load()); got != want {
		t.Errorf("%d events of %d changes", got, want)
	}
}

// TestOtherProcessesSeeTheTreeWithinASecond: a process asks once a second, and at once for who has written.
func TestOtherProcessesSeeTheTreeWithinASecond(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	other := s.process()
	sees := func(id ids.Category, from db.Position) bool {
		t.Helper()
		tree, err := other.Tree(t.Context(), from)
		if err != nil {
			t.Fatal(err)
		}
		_, ok := tree.Category(id)
		return ok
	}
	first := s.category(0, "Clothes").ID
	if !sees(first, 0) {
		t.Error("a process that has no tree does not see the one that is there")
	}
	second := s.category(first, "Shoes").ID
	if sees(second, 0) {
		t.Error("a process asks for each reading")
	}
	if !sees(second, 1) {
		t.Error("who gives a position does not see what was written")
	}
	third := s.category(first, "Hats").ID
	s.clock.Add(int64(time.Second))
	if !sees(third, 0) {
		t.Error("after a second a process does not see what was written")
	}
	if tree, err := s.Tree(t.Context(), 0); err != nil || len(tree.Path(third)) != 2 {
		t.Errorf("the process that wrote sees %v, %v", tree.Path(third), err)
	}
}

// TestAttributesComeBack: what was written is read as it was, with all names, in all orders of choices.
func TestAttributesComeBack(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	of := s.category(0, "Clothes")
	want := product.Attribute{Code: "colour", Kind: product.KindChoice, Required: true, Names: product.Names{"en": "Colour", "zh-CN": "颜色"}}
	for i := range 100 {
		want.Choices = append(want.Choices, product.Choice{Code: fmt.Sprint("c", 99-i), Names: product.Names{"en": fmt.Sprint("Colour ", i), "de": fmt.Sprint("Farbe ", i)}})
	}
	for _, a := range []product.Attribute{{Code: "length", Kind: product.KindNumber, Unit: "cm", Names: product.Names{"en": "Length"}}, want} {
		var err error
		if of, err = s.SetAttribute(t.Context(), s.by(), of.ID, web.Version(of.Version), a); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := s.process().Tree(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	got := tree.Attributes(of.ID)
	if len(got) != 2 || fmt.Sprint(got[0].Attribute) != fmt.Sprint(want) || got[1].Unit != "cm" {
		t.Errorf("the attributes are %+v", got)
	}
	want.Choices = slices.Clone(want.Choices)
	slices.Reverse(want.Choices)
	if of, err = s.SetAttribute(t.Context(), s.by(), of.ID, web.Version(of.Version), want); err != nil {
		t.Fatal(err)
	}
	if of, err = s.RemoveAttribute(t.Context(), s.by(), of.ID, web.Version(of.Version), "length"); err != nil {
		t.Fatal(err)
	}
	if tree, err = s.Tree(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := tree.Attributes(of.ID); len(got) != 1 || fmt.Sprint(got[0].Attribute) != fmt.Sprint(want) {
		t.Errorf("the attributes are %+v", got)
	}
	home := s.databases.At(shard.Shard{Kind: shard.Products})
	if got := s.count(home, "attribute_names__ WHERE code = 'length'"); got != 0 {
		t.Errorf("%d names of what was removed are left", got)
	}
}

// TestNamesOfBrandsAreTakenOnce makes brands of one name at once. One of them gets it, whatever its capital letters.
func TestNamesOfBrandsAreTakenOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made, taken atomic.Int64
	var making errgroup.Group
	for i := range 8 {
		name := strings.Repeat("a", i) + strings.Repeat("A", 8-i)
		making.Go(func() error {
			_, err := s.MakeBrand(t.Context(), s.by(), product.Brand{Names: product.Names{"en": name, "de": name}})
			switch {
			case err == nil:
				made.Add(1)
			case codeOf(err) == "name_taken":
				taken.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	if err := making.Wait(); err != nil {
		t.Fatal(err)
	}
	if made.Load() != 1 || taken.Load() != 7 {
		t.Errorf("%d have the name, and %d were refused", made.Load(), taken.Load())
	}
}

// A process that goes on while its database is restored knows the tree that comes after it from the one that was lost.
func TestTreeOfARestoredDatabase(t *testing.T) {
	t.Parallel()
	s, ctx := newShop(t), t.Context()
	p := s.databases.At(shard.Shard{Kind: shard.Products})
	in := p.In(p.Writer())
	var before int64
	if err := in.QueryRowContext(ctx, "SELECT revision FROM category_tree__").Scan(&before); err != nil {
		t.Fatal(err)
	}
	lost := s.category(0, "Lost")
	if tree, err := s.Tree(ctx, 1); err != nil {
		t.Fatal(err)
	} else if _, ok := tree.Category(lost.ID); !ok {
		t.Fatal("a category is not in the tree of its maker")
	}
	for _, statement := range []string{"DELETE FROM category_names__", "DELETE FROM categories__", fmt.Sprintf("UPDATE category_tree__ SET revision = %d", before)} {
		if _, err := in.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	of, err := s.process().MakeCategory(ctx, s.by(), product.Category{Names: product.Names{"en": "After"}})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := s.Tree(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, after := tree.Category(of.ID)
	if _, ok := tree.Category(lost.ID); ok || !after {
		t.Errorf("the lost one is there: %v, the one after it: %v", ok, after)
	}
}
