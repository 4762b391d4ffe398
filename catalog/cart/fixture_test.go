package cart_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/catalog/account"
	"sluice/catalog/cart"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/product"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/local/servicetest"
	"sluice/core/money"
	"sluice/core/place"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// TestBooksAreThoseOfTheShop: the tables that all packages have are the same in each.
func TestBooksAreThoseOfTheShop(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{task.Table("cart"), schedule.Table("cart"), replay.Table("cart")} {
		if err := cart.Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}

// file has users in two databases of two tables.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [
    {"first": 0, "last": 255, "database": "a", "table": 0}, {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0}, {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "values": [{"first": 0, "last": 1023, "database": "a"}],
  "products": [{"first": 0, "last": 1023, "database": "b"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

// others are what carts ask, as a test says it.
type others struct {
	mu     sync.Mutex
	gone   map[int64]bool
	prices map[int64]int64
	free   map[int64]int64
	fault  error // of the edge
	asked  map[string]int
	now    time.Time
}

func (o *others) set(do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	do()
}

// Buyable implements cart.Products.
func (o *others) Buyable(_ context.Context, skus []int64) (map[int64]product.Buyable, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked["products"]++
	sold := map[int64]product.Buyable{}
	for _, sku := range skus {
		if !o.gone[sku] {
			sold[sku] = product.Buyable{Product: 1, Seller: 2, Titles: map[string]string{"en": "Shirt"}, Options: map[string]string{"size": "s"}}
		}
	}
	return sold, nil
}

// Units implements cart.Prices.
func (o *others) Units(_ context.Context, _ ids.User, skus []int64) (map[int64]money.Amount, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked["prices"]++
	eur, err := money.In("EUR")
	units := map[int64]money.Amount{}
	for _, sku := range skus {
		if minor, ok := o.prices[sku]; ok {
			units[sku] = money.Amount{Minor: minor, Currency: eur}
		}
	}
	return units, err
}

// Free implements cart.Stock.
func (o *others) Free(_ context.Context, skus []int64) (map[int64]int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked["edge"]++
	free := map[int64]int64{}
	for _, sku := range skus {
		if n, ok := o.free[sku]; ok {
			free[sku] = n
		}
	}
	return free, o.fault
}

// carts are those of a shop, in one of its processes.
type carts struct {
	*cart.Carts

	t         *testing.T
	databases *place.Databases
	others    *others
	prover    *account.Secret
}

func newCarts(t *testing.T) *carts {
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
	secretFile := filepath.Join(dir, "secret")
	if err := errors.Join(d.Migrate(t.Context(), place.Owners{cart.Schema()}, place.Quiet), account.CreateSecret(secretFile)); err != nil {
		t.Fatal(err)
	}
	secret, err := account.ReadSecret(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	c := &carts{t: t, databases: d, prover: secret, others: &others{gone: map[int64]bool{}, prices: map[int64]int64{}, free: map[int64]int64{}, asked: map[string]int{}, now: began}}
	c.Carts = c.process()
	return c
}

// process are the carts of another process.
func (c *carts) process() *cart.Carts {
	return cart.New(cart.Config{
		Databases: c.databases, Prover: c.prover, Products: c.others, Prices: c.others, Stock: c.others, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { // each line is a second newer than the one before
			c.others.mu.Lock()
			defer c.others.mu.Unlock()
			c.others.now = c.others.now.Add(time.Second)
			return c.others.now
		},
	})
}

// put sets a line as of any version.
func (c *carts) put(of cart.Holder, n, quantity int) cart.Cart {
	c.t.Helper()
	to, err := c.Put(c.t.Context(), of, 0, cart.Line{SKU: skuOf(n), Quantity: quantity})
	if err != nil {
		c.t.Fatal(err)
	}
	return to
}

// guest is one who has put so many units of SKUs 1 and on into a cart.
func (c *carts) guest(quantities ...int) (token cart.GuestToken, of cart.Holder) {
	c.t.Helper()
	token = c.NewGuest()
	of, err := c.OfGuest(token)
	if err != nil {
		c.t.Fatal(err)
	}
	for i, quantity := range quantities {
		c.put(of, i+1, quantity)
	}
	return token, of
}

// has compares what a cart has: quantities by the numbers of SKUs.
func (c *carts) has(of cart.Holder, want map[int]int) cart.Cart {
	c.t.Helper()
	got, err := c.Read(c.t.Context(), of)
	if err != nil {
		c.t.Fatal(err)
	}
	same(c.t, "the cart", quantities(got), want)
	return got
}

func quantities(of cart.Cart) map[int]int {
	all := map[int]int{}
	for _, l := range of.Lines {
		_, n, _ := ids.ProductOf(l.SKU)
		all[n] = l.Quantity
	}
	return all
}

// everywhere executes a statement in all places of users.
func (c *carts) everywhere(statement string, values ...any) (rows int64) {
	c.t.Helper()
	for _, p := range c.databases.All(shard.Users) {
		result, err := p.In(p.Writer()).ExecContext(c.t.Context(), statement, values...)
		if err != nil {
			c.t.Fatal(p.Name, err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			c.t.Fatal(err)
		}
		rows += n
	}
	return rows
}

// count counts rows in all places of users.
func (c *carts) count(query string, values ...any) (rows int) {
	c.t.Helper()
	for _, p := range c.databases.All(shard.Users) {
		var n int
		if err := p.In(p.Writer()).QueryRowContext(c.t.Context(), query, values...).Scan(&n); err != nil && !errors.Is(err, sql.ErrNoRows) {
			c.t.Fatal(p.Name, err)
		}
		rows += n
	}
	return rows
}

// settle does all tasks that wait, as if their time had come.
func (c *carts) settle() {
	c.t.Helper()
	c.everywhere("UPDATE cart_tasks__ SET due_at = NOW(3)")
	worker := task.NewWorker(task.Config{
		Owner: "cart", Places: c.databases.All(shard.Users), Handlers: c.process().Work().Tasks, Every: 20 * time.Millisecond,
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		if left := c.count("SELECT COUNT(*) FROM cart_tasks__"); left > 0 {
			return errors.New("tasks are left")
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		c.t.Fatal(err)
	}
}

// sweep does what is done again and again.
func (c *carts) sweep() {
	c.t.Helper()
	for _, p := range c.databases.All(shard.Users) {
		for _, of := range c.Work().Times {
			if err := of.Do(c.t.Context(), task.Task{Place: p}); err != nil {
				c.t.Error(err)
			}
		}
	}
}
