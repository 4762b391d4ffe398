package price_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"
	"go.uber.org/goleak"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/price"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/money"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{outbox.Tables("price"), task.Table("price"), schedule.Table("price"), replay.Table("price")} {
		if err := price.Schema().Makes(statements); err != nil {
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

// mine is the seller of all products, and has the person 11.
const mine ids.Seller = 1

var errNobody = &problem.Problem{Kind: problem.NewKind(problem.Kind{Code: "unknown_seller", Status: 404})}

// shop has the prices of several processes with the same databases. Each product has four SKUs, of which the last one is archived.
type shop struct {
	*price.Pricing

	t         *testing.T
	databases *place.Databases
	keys      atomic.Int64
	suspended atomic.Bool
	untaxed   atomic.Bool // no market has a rate for the products
}

// Admit implements price.Sellers.
func (s *shop) Admit(_ context.Context, by seller.Reader, id ids.Seller) (seller.State, error) {
	switch {
	case id != mine || by.User != 11:
		return "", errNobody
	case s.suspended.Load():
		return seller.StateSuspended, nil
	}
	return seller.StateOpen, nil
}

// GoodsOf implements price.Products.
func (s *shop) GoodsOf(_ context.Context, of ...ids.Product) (map[ids.Product]product.Goods, error) {
	all, tax := map[ids.Product]product.Goods{}, "standard"
	if s.untaxed.Load() {
		tax = "books"
	}
	for _, id := range of {
		if id%1000 != 999 {
			all[id] = product.Goods{
				Seller: mine, Shown: id%1000 != 998, Tax: tax,
				SKUs: []product.State{product.StateActive, product.StateActive, product.StateActive, product.StateArchived},
			}
		}
	}
	return all, nil
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
		MySQL: db.Config{ConnsMax: 12, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{audit.Schema(), price.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	s := &shop{t: t, databases: d}
	sealer, err := price.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s.Pricing = price.New(price.Config{Databases: d, Markets: price.DefaultMarkets(), Sellers: s, Products: s, Sealer: sealer})
	return s
}

// work runs what prices do besides answering, as a process does, until the test ends.
func (s *shop) work() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	of := s.Work()
	w := task.NewWorker(task.Config{
		Owner: of.Name, Places: s.databases.All(of.Kind), Handlers: of.Tasks, SlotsOf: of.SlotsOf, Every: 20 * time.Millisecond,
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	go func() { defer close(done); w.Run(ctx) }()
	s.t.Cleanup(func() { cancel(); <-done })
}

// by is the seller's person, who asks under a new key.
func (s *shop) by() price.Caller {
	return price.Caller{Author: audit.Author{Actor: "shopper:11", Origin: "a test"}, User: 11, Key: fmt.Sprint("k", s.keys.Add(1))}
}

// productIn is a product of a shard.
func productIn(number uint16, n int) ids.Product {
	first, _ := shard.ProductsOf(number)
	return first + ids.Product(n)
}

func skuOf(id ids.Product, n int) int64 {
	sku, _ := ids.SKU(id, n)
	return sku
}

func eur(minor int64) money.Amount {
	c, err := money.In("EUR")
	if err != nil {
		panic(err)
	}
	return money.Amount{Minor: minor, Currency: c}
}

// list is a list price from the change on.
func list(minor int64) price.Wish { return price.Wish{Kind: price.KindList, Price: eur(minor)} }

// set sets prices of the first SKU of a product in Germany.
func (s *shop) set(id ids.Product, from int64, wishes ...price.Wish) (price.Set, error) {
	return s.SetPrices(s.t.Context(), s.by(), mine, id, skuOf(id, 0), "de", web.Version(from), wishes)
}

func (s *shop) mustSet(id ids.Product, from int64, wishes ...price.Wish) price.Set {
	s.t.Helper()
	of, err := s.set(id, from, wishes...)
	if err != nil {
		s.t.Fatal(err)
	}
	return of
}

// again are prices as wishes.
func again(of price.Set) (wishes []price.Wish) {
	for _, r := range of.Prices {
		wishes = append(wishes, price.Wish{ID: r.ID, Kind: r.Kind, Channel: r.Channel, Level: r.Level, Price: r.Price, From: r.From, To: r.To})
	}
	return wishes
}

// now is the time of a product's database.
func (s *shop) now(id ids.Product) (now time.Time) {
	s.t.Helper()
	if err := s.at(id).Writer().QueryRowContext(s.t.Context(), "SELECT NOW(3)").Scan(&now); err != nil {
		s.t.Fatal(err)
	}
	return now
}

func (s *shop) at(id ids.Product) place.Place { return s.databases.At(shard.OfProduct(id)) }

func (s *shop) exec(id ids.Product, statement string, values ...any) {
	s.t.Helper()
	if _, err := s.at(id).In(s.at(id).Writer()).ExecContext(s.t.Context(), statement, values...); err != nil {
		s.t.Fatal(err)
	}
}

// told is an event about prices.
type told struct {
	Version uint64
	At      time.Time    `json:"at"`
	Prices  price.Prices `json:"prices"`
	Written time.Time
}

// events are those of the first SKU of a product in Germany, in their order.
func (s *shop) events(id ids.Product) (all []told) {
	s.t.Helper()
	err := db.Rows(s.t.Context(), s.at(id).In(s.at(id).Writer()), func(row *sql.Rows) error {
		var e told
		var data []byte
		if err := row.Scan(&e.Version, &data, &e.Written); err != nil {
			return err
		}
		err := json.Unmarshal(data, &e)
		all = append(all, e)
		return err
	}, "SELECT version, data, at FROM price_outbox__ WHERE aggregate_id = ? ORDER BY version", fmt.Sprintf("%d_de", skuOf(id, 0)))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// await waits until something is so.
func (s *shop) await(what string, is func() bool) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("after a minute it is not so: %s", what)
		}
	}
}

// codeOf is the code of a refusal.
func codeOf(err error) string {
	if p := new(problem.Problem); errors.As(err, &p) {
		return p.Kind.Code
	}
	return ""
}
