package stock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/seller"
	"sluice/catalog/stock"
	"sluice/core/client"
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
	for _, statements := range []string{outbox.Tables("stock"), task.Table("stock"), schedule.Table("stock"), replay.Table("stock")} {
		if err := stock.Schema().Makes(statements); err != nil {
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

const sel, other = ids.Seller(5), ids.Seller(6)

// shop has the stock of a shop, whose products and sellers are made up.
type shop struct {
	*stock.Stock

	t         *testing.T
	databases *place.Databases
	edge      *edge
	keys      atomic.Int64
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
		MySQL: db.Config{ConnsMax: 16, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{stock.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, databases: d, edge: &edge{cells: map[int64]client.Cell{}, done: map[string]int64{}}}
	s.Stock = stock.New(stock.Config{Databases: d, Sellers: s, Products: s, Edge: s.edge, Metrics: metrics.NewSet()})
	return s
}

// Admit implements stock.Sellers.
func (s *shop) Admit(_ context.Context, by seller.Reader, id ids.Seller) (seller.State, error) {
	if int64(by.User) != int64(id) && by.Key != id {
		return "", &problem.Problem{Kind: problem.NotFound}
	}
	return seller.StateOpen, nil
}

// skuIn is a SKU of a seller in the shard of a quarter: 0 to 3.
func skuIn(t *testing.T, quarter, n int) int64 {
	t.Helper()
	first, _ := shard.ProductsOf(uint16(quarter*256 + 7))
	sku, ok := ids.SKU(first+7, n)
	if !ok {
		t.Fatal("no SKU")
	}
	return sku
}

// Foreign implements stock.Products: SKUs with a number from 100 on are of somebody else.
func (s *shop) Foreign(_ context.Context, _ ids.Seller, skus []int64) (int64, error) {
	for _, sku := range skus {
		if _, n, _ := ids.ProductOf(sku); n >= 100 {
			return sku, nil
		}
	}
	return 0, nil
}

// ShownSKUs implements stock.Products.
func (s *shop) ShownSKUs(context.Context, ids.Product) ([]int64, error) {
	return []int64{skuIn(s.t, 1, 0), skuIn(s.t, 1, 1)}, nil
}

func (s *shop) by() stock.Caller {
	return stock.Caller{
		Author: audit.Author{Actor: "seller_owner:5", Origin: "a test"}, Reader: seller.Reader{User: ids.User(sel)}, Idempotency: fmt.Sprint("k", s.keys.Add(1)),
	}
}

func (s *shop) warehouse(source string) ids.Warehouse {
	s.t.Helper()
	w, err := s.MakeWarehouse(s.t.Context(), s.by(), sel, stock.Warehouse{
		Address: stock.Address{Country: "PT", Divisions: []string{"PT-13"}}, State: stock.WarehouseOpen, Name: "Porto", Source: source,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return w.ID
}

func (s *shop) tell(d stock.Document) stock.Document {
	s.t.Helper()
	got, err := s.Tell(s.t.Context(), s.by(), sel, d)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *shop) show(sku int64) stock.SKUStock {
	s.t.Helper()
	is, err := s.Show(s.t.Context(), seller.Reader{User: ids.User(sel)}, sel, sku)
	if err != nil {
		s.t.Fatal(err)
	}
	return is
}

func (s *shop) onHand(sku int64) (sum int64) {
	s.t.Helper()
	for _, w := range s.show(sku).Shelves {
		sum += w.OnHand
	}
	return sum
}

func (s *shop) refused(err error, kind string) {
	s.t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Kind.Code != kind {
		s.t.Errorf("%v, want %s", err, kind)
	}
}

// work does the tasks of the shop until a condition holds.
func (s *shop) work(until func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	worker := task.NewWorker(task.Config{
		Owner: "stock", Places: s.databases.All(shard.Products), Handlers: s.Work().Tasks, PauseFirst: time.Millisecond, PauseMax: 10 * time.Millisecond,
		Every: 5 * time.Millisecond, AttemptsMax: 1000, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ended := make(chan struct{})
	go func() { defer close(ended); worker.Run(ctx) }()
	for !until() {
		if ctx.Err() != nil {
			s.t.Error("it does not come about")
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-ended
}

// everywhere executes a statement in all places.
func (s *shop) everywhere(statement string) {
	s.t.Helper()
	for _, p := range s.databases.All(shard.Products) {
		if _, err := p.In(p.Writer()).ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(err)
		}
	}
}

func doc(id string, w ids.Warehouse, position int64, lines ...stock.DocumentLine) stock.Document {
	return stock.Document{Source: "erp-1", ID: id, Warehouse: w, Position: position, Lines: lines}
}

// TestWarehouses makes and changes warehouses.
func TestWarehouses(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx := t.Context()
	by := s.by()
	of := stock.Warehouse{Address: stock.Address{Country: "PT", Divisions: []string{"PT-13"}}, State: stock.WarehouseOpen, Name: "Porto", Source: "erp-1", Priority: 3, Cost: 450}
	made, err := s.MakeWarehouse(ctx, by, sel, of)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.MakeWarehouse(ctx, by, sel, of); err != nil || again.ID != made.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	of.ID, of.State, of.Source, of.Country, of.Divisions = made.ID, stock.WarehouseClosed, "other", "DE", nil
	changed, err := s.ChangeWarehouse(ctx, s.by(), sel, 1, of)
	if err != nil || changed.Version != 2 || changed.Source != "erp-1" || changed.State != stock.WarehouseClosed {
		t.Errorf("changed: %+v, %v", changed, err)
	}
	if _, err = s.ChangeWarehouse(ctx, s.by(), sel, 1, of); !errors.Is(err, web.ErrChanged) {
		t.Error(err)
	}
	stranger := s.by()
	stranger.Reader = seller.Reader{User: ids.User(other)}
	_, err = s.ChangeWarehouse(ctx, stranger, other, 2, of)
	s.refused(err, "unknown_warehouse")
	shown, err := s.Warehouse(ctx, seller.Reader{Key: sel}, sel, made.ID)
	if err != nil || shown.Name != "Porto" || len(shown.Divisions) != 0 || shown.Version != 2 {
		t.Errorf("shown: %+v, %v", shown, err)
	}
	if all, err := s.Warehouses(ctx, seller.Reader{User: ids.User(other)}, other); err != nil || len(all) != 0 {
		t.Errorf("of somebody else: %v, %v", all, err)
	}
	s.everywhere("INSERT INTO warehouses__ SELECT seq, 5, 1, 'open', 'x', 'PT', '[]', 0, 0, 'shop', NOW(3) FROM seq_1_to_100")
	_, err = s.MakeWarehouse(ctx, s.by(), sel, stock.Warehouse{Address: stock.Address{Country: "PT"}, State: stock.WarehouseOpen, Name: "One more", Source: "shop"})
	s.refused(err, "too_many")
}

// TestERPIsNeverNettedTwice sends the documents of an ERP in many orders, some twice and at once, about SKUs in all places. What is there
// is what it counted last and what it said behind that.
func TestERPIsNeverNettedTwice(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	for round := range 6 {
		w := s.warehouse("erp-1")
		var skus []int64
		for quarter := range 4 {
			skus = append(skus, skuIn(t, quarter, round))
		}
		all := func(kind stock.Kind, n int64) (lines []stock.DocumentLine) {
			for _, sku := range skus {
				lines = append(lines, stock.DocumentLine{SKU: sku, Kind: kind, Quantity: n})
			}
			return lines
		}
		name := func(id string) string { return fmt.Sprint(id, "-", round) }
		docs := []stock.Document{
			doc(name("in"), w, 1, all(stock.KindReceived, 50)...),
			doc(name("out"), w, 2, all(stock.KindShipped, 10)...),
			doc(name("count"), w, 3, all(stock.KindCounted, 38)...), // two are missing
			doc(name("out2"), w, 4, all(stock.KindShipped, 5)...),
			doc(name("back"), w, 5, all(stock.KindReturned, 1)...),
			doc(name("old"), w, 2, all(stock.KindCounted, 7)...), // somebody counted wrong before
		}
		random.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
		var both errgroup.Group
		for range 2 {
			both.Go(func() error {
				for _, d := range docs {
					d.Lines = slices.Clone(d.Lines)
					if _, err := s.Tell(t.Context(), s.by(), sel, d); err != nil {
						return fmt.Errorf("%s: %w", d.ID, err)
					}
				}
				return nil
			})
		}
		if err := both.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, sku := range skus {
			is := s.show(sku)
			if got := is.Shelves[0]; got.OnHand != 34 || got.Shipped != 15 || got.Returned != 1 || is.Supplied != 48 {
				t.Errorf("order %d: %+v", round, is)
			}
		}
	}
}

// TestDifferences: a count is compared with what was known, and what comes late explains it.
func TestDifferences(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 2, 0)
	line := func(kind stock.Kind, n int64) stock.DocumentLine {
		return stock.DocumentLine{SKU: sku, Kind: kind, Quantity: n}
	}
	differs := func(id string, known, late int64) {
		t.Helper()
		d, err := s.Document(t.Context(), seller.Reader{Key: sel}, sel, "erp-1", id)
		if err != nil || !d.Applied || len(d.Lines) != 1 || d.Lines[0].Known == nil || *d.Lines[0].Known != known || d.Lines[0].Late != late {
			t.Errorf("%s: %+v, %v, want %d known and %d late", id, d, err, known, late)
		}
	}
	s.tell(doc("in", w, 10, line(stock.KindReceived, 50)))
	s.tell(doc("more", w, 30, line(stock.KindReceived, 7))) // is behind the count
	s.tell(doc("count", w, 20, line(stock.KindCounted, 45)))
	differs("count", 50, 0)
	s.tell(doc("out", w, 15, line(stock.KindShipped, 4))) // in the count, and told late
	differs("count", 50, -4)
	if is := s.show(sku); is.Supplied != 56 || s.onHand(sku) != 52 {
		t.Errorf("%+v", is)
	}
	s.tell(doc("again", w, 40, line(stock.KindCounted, 52)))
	differs("again", 52, 0)
	s.tell(doc("early", w, 5, line(stock.KindReceived, 3))) // in the first count, which the second one knows
	differs("count", 50, -4+0)
	differs("again", 52, 0)
	old := s.tell(doc("old", w, 35, line(stock.KindCounted, 1)))
	if old.Lines[0].Known != nil || s.onHand(sku) != 52 {
		t.Errorf("an old count is %+v, and makes %d", old, s.onHand(sku))
	}
}

// TestDocumentsOfOthers: who may not say something of a warehouse is refused, and nothing has changed.
func TestDocumentsOfOthers(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, mine, sku := s.warehouse("erp-1"), s.warehouse("shop"), skuIn(t, 3, 0)
	one := stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 1}
	try := func(want string, edit func(*stock.Document)) {
		t.Helper()
		d := doc("x", w, 1, one)
		edit(&d)
		_, err := s.Tell(t.Context(), s.by(), sel, d)
		s.refused(err, want)
	}
	try("malformed", func(d *stock.Document) { d.Position = 0 })
	try("malformed", func(d *stock.Document) { d.Source, d.Warehouse = "shop", mine })
	try("malformed", func(d *stock.Document) { d.Lines = nil })
	try("malformed", func(d *stock.Document) { d.Lines = append(d.Lines, one) })
	try("malformed", func(d *stock.Document) {
		d.Lines = append(d.Lines, stock.DocumentLine{SKU: sku, Kind: stock.KindCounted})
	})
	try("malformed", func(d *stock.Document) {
		d.Lines = []stock.DocumentLine{{SKU: sku, Kind: stock.KindShipped, Quantity: -1}}
	})
	try("malformed", func(d *stock.Document) { d.Lines = []stock.DocumentLine{{SKU: sku, Kind: "lost", Quantity: 1}} })
	try("malformed", func(d *stock.Document) {
		d.Lines = []stock.DocumentLine{{SKU: sku, Kind: stock.KindReceived, Quantity: 1 << 40}}
	})
	try("unknown_warehouse", func(d *stock.Document) { d.Warehouse = 99 })
	try("wrong_state", func(d *stock.Document) { d.Warehouse = mine })
	try("unknown_sku", func(d *stock.Document) {
		d.Lines = append(d.Lines, stock.DocumentLine{SKU: sku + 100, Kind: "received", Quantity: 1})
	})
	try("unknown_sku", func(d *stock.Document) {
		d.Lines = append(d.Lines, stock.DocumentLine{SKU: 1<<62 + 1, Kind: "received", Quantity: 1})
	})
	if n := s.onHand(sku); n != 0 {
		t.Errorf("%d are there", n)
	}
	s.tell(doc("x", w, 1, one))
	try("mismatch", func(d *stock.Document) { d.Position = 2 })
	try("mismatch", func(d *stock.Document) {
		d.Lines = []stock.DocumentLine{{SKU: skuIn(t, 1, 0), Kind: stock.KindReceived, Quantity: 1}}
	})
	if n := s.onHand(sku) + s.onHand(skuIn(t, 1, 0)); n != 1 {
		t.Errorf("%d are there", n)
	}
	by := s.by()
	by.Reader = seller.Reader{Key: sel}
	_, err := s.Tell(t.Context(), by, sel, stock.Document{Source: "shop", ID: "y", Warehouse: mine, Lines: []stock.DocumentLine{one}})
	s.refused(err, "wrong_state")
	people := s.tell(stock.Document{Source: "shop", ID: "y", Warehouse: mine, Lines: []stock.DocumentLine{one}})
	again := s.tell(stock.Document{Source: "shop", ID: "y", Warehouse: mine, Lines: []stock.DocumentLine{one}})
	if people.Position < 1_600_000_000_000_000 || again.Position != people.Position || s.onHand(sku) != 2 {
		t.Errorf("%+v, again %+v", people, again)
	}
}

// TestDocumentsGoOn: a document whose process ended between its places is brought to the others by a task.
func TestDocumentsGoOn(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w := s.warehouse("erp-1")
	last := s.databases.At(shard.OfProduct(1023 << 40))
	rename := func(from, to string) {
		t.Helper()
		if _, err := last.Writer().ExecContext(t.Context(), "RENAME TABLE "+from+last.Suffix+" TO "+to+last.Suffix); err != nil {
			t.Fatal(err)
		}
	}
	var lines []stock.DocumentLine
	for quarter := range 4 {
		lines = append(lines, stock.DocumentLine{SKU: skuIn(t, quarter, 0), Kind: stock.KindReceived, Quantity: 9})
	}
	rename("stock_units", "away")
	if _, err := s.Tell(t.Context(), s.by(), sel, doc("half", w, 1, lines...)); err == nil {
		t.Fatal("a place is away, and nobody says so")
	}
	rename("away", "stock_units")
	s.everywhere("UPDATE stock_tasks__ SET due_at = NOW(3)")
	s.work(func() bool {
		for _, line := range lines {
			if s.onHand(line.SKU) != 9 {
				return false
			}
		}
		return true
	})
}

// TestPlans: safe stock is kept only if it is to be, and what is sold ahead is on top.
func TestPlans(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 1, 0)
	s.tell(doc("in", w, 1, stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 10}))
	version := web.Version(1)
	plan := func(p stock.Plan, given int64) {
		t.Helper()
		if p.Ahead.Kind == "" {
			p.Ahead.Kind = stock.AheadNone
		}
		by := s.by()
		is, err := s.SetPlan(t.Context(), by, sel, sku, version, p)
		if version++; err != nil || is.Version != int64(version) {
			t.Fatal(is, err)
		}
		if again, err := s.SetPlan(t.Context(), by, sel, sku, version-1, p); err != nil || again.Version != is.Version {
			t.Error(again, err)
		}
		s.work(func() bool { return s.show(sku).Given == given && s.edge.cell(sku).Total == given })
	}
	plan(stock.Plan{Safe: 4}, 10)
	plan(stock.Plan{Safe: 4, Reduces: true}, 6)
	plan(stock.Plan{Safe: 4, Reduces: true, Ahead: stock.Ahead{Kind: stock.AheadBackorder, Units: 5, On: "2026-12-24"}}, 11)
	hints, err := s.Hints(t.Context(), 7)
	if err != nil || len(hints) != 2 || hints[0].Ahead.On != "2026-12-24" || hints[1].Ahead.On != "" {
		t.Errorf("%+v, %v", hints, err)
	}
	plan(stock.Plan{}, 10)
	_, err = s.SetPlan(t.Context(), s.by(), sel, sku, 1, stock.Plan{Ahead: stock.Ahead{Kind: stock.AheadNone}})
	if !errors.Is(err, web.ErrChanged) {
		t.Error(err)
	}
	for _, wrong := range []stock.Plan{
		{Safe: -1},
		{LowAt: new(int64(-1))},
		{Ahead: stock.Ahead{Kind: "soon"}},
		{Ahead: stock.Ahead{Kind: stock.AheadPreorder, On: "2026-12-24"}},
		{Ahead: stock.Ahead{Kind: stock.AheadPreorder, Units: 1, On: "2026-02-30"}},
	} {
		_, err := s.SetPlan(t.Context(), s.by(), sel, sku, version, wrong)
		s.refused(err, "malformed")
	}
	_, err = s.SetPlan(t.Context(), s.by(), sel, sku+100, 1, stock.Plan{Ahead: stock.Ahead{Kind: stock.AheadNone}})
	s.refused(err, "unknown_sku")
}

// TestFewUnitsAreToldOnce: each crossing of the bound is one event, whatever the number of looks and of processes.
func TestFewUnitsAreToldOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 2, 1)
	s.tell(doc("in", w, 1, stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 30}))
	if _, err := s.SetPlan(t.Context(), s.by(), sel, sku, 1, stock.Plan{LowAt: new(int64(10)), Ahead: stock.Ahead{Kind: stock.AheadNone}}); err != nil {
		t.Fatal(err)
	}
	s.work(func() bool { return s.show(sku).Given == 30 })
	if c := s.edge.cell(sku); c.Total != 30 {
		t.Errorf("the cell has got %d", c.Total)
	}
	at := s.databases.At(shard.OfProduct(must(ids.ProductOf(sku))))
	look := func(want int) {
		t.Helper()
		var all errgroup.Group
		for range 3 {
			all.Go(func() error { return s.Work().Times[0].Do(t.Context(), task.Task{Place: at}) })
		}
		if err := all.Wait(); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := at.In(at.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM stock_outbox__").Scan(&n); err != nil || n != want {
			t.Errorf("%d events, %v, want %d", n, err, want)
		}
	}
	look(0)
	s.edge.sell(sku, 20)
	look(1)
	look(1)
	s.edge.sell(sku, -1)
	look(1)
	page, _, err := s.List(t.Context(), seller.Reader{Key: sel}, sel, true, 0, 10)
	if err != nil || len(page) != 1 || page[0].SKU != sku {
		t.Errorf("%+v, %v", page, err)
	}
	s.edge.sell(sku, -5)
	look(2)
	s.edge.sell(sku, 30)
	look(3)
	if err := errors.Join(s.Look(t.Context()), s.Forget(t.Context(), 5)); err != nil {
		t.Error(err)
	}
}

func must(product ids.Product, _ int, _ bool) ids.Product { return product }
