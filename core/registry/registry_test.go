package registry_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

const partitions = 8

// shop is a MySQL and a Redis with some SKUs, and a desk of sales.
type shop struct {
	*registry.Registry

	t      *testing.T
	db     *sql.DB
	client rueidis.Client
	store  *redisstock.Store
	desk   *sale.Desk
}

// storeOn returns a store on a Redis.
func storeOn(t testing.TB, addr string, partitions int) (rueidis.Client, *redisstock.Store) {
	t.Helper()
	client, err := rueidis.NewClient(redis.Options([]string{addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return client, store
}

func newShop(t *testing.T) *shop {
	t.Helper()
	books := persistertest.Database(t)
	client, store := storeOn(t, servicetest.Redis(t).Addr, partitions)
	redistest.Open(t, client, partitions, store)
	users := registry.New(books, store)
	s := &shop{
		Registry: users, t: t, db: books, client: client, store: store,
		desk: sale.NewDesk(store, books, time.Hour).Bringing(users.BringSale),
	}
	for sku := range int64(20) {
		cell := stock.Cell{SKU: sku + 1}
		a := &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Delta: 100, Settings: stock.Settings{}.WithDefaults(), Reason: "load"}
		v := &stock.Vector{Op: stock.OpAdjust, Partition: cell.Partition(partitions), Requests: []stock.Request{{
			ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions), Cell: cell, Adjustment: a,
		}}}
		if store.Do(t.Context(), v); v.Err != nil {
			t.Fatal(v.Err)
		}
	}
	return s
}

// makes makes a sale of all SKUs, which are in several partitions.
func (s *shop) makes(id uint32, registeredOnly bool) {
	s.t.Helper()
	p := sale.Plan{ID: id, Name: "test", Hold: time.Minute, RegisteredOnly: registeredOnly, ExtendMax: time.Second}
	for sku := range int64(20) {
		p.Items = append(p.Items, sale.Allotment{SKU: sku + 1, Quantity: 10})
	}
	if _, err := s.desk.Create(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

// sale returns a sale whose users Redis has, and the zero Sale for any other.
func (s *shop) sale(id uint32) registry.Sale {
	s.t.Helper()
	sales, err := s.Sales(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, found := range sales {
		if found.ID == id {
			return found
		}
	}
	return registry.Sale{}
}

// newSale makes a shop with sale 7, for registered users, and registers the first n users for it. It returns the sets of the sale.
func newSale(t *testing.T, n int64) (s *shop, sets []redisstock.UserSet) {
	t.Helper()
	s = newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, n)); err != nil {
		t.Fatal(err)
	}
	return s, s.sale(7).Sets
}

// wantEverywhere checks how many users each set of a sale has, and that there are several sets.
func (s *shop) wantEverywhere(sets []redisstock.UserSet, want int64) {
	s.t.Helper()
	counts, err := s.store.CountUsers(s.t.Context(), sets)
	if err != nil || len(counts) < 2 || slices.Min(counts) != want || slices.Max(counts) != want {
		s.t.Fatalf("sets have %v users, want %d in each; error %v", counts, want, err)
	}
}

func (s *shop) close(id uint32) {
	s.t.Helper()
	if _, err := s.desk.Close(s.t.Context(), id, sale.Call{}, time.Time{}); err != nil {
		s.t.Fatal(err)
	}
}

// forget has a registry forget sales, as if it were later, and checks how many.
func (s *shop) forget(by *registry.Registry, later time.Duration, want int) {
	s.t.Helper()
	nowMS, err := s.store.Now(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if n, err := by.Forget(s.t.Context(), nowMS+later.Milliseconds()); n != want || err != nil {
		s.t.Fatalf("forgot %d sales, want %d, error %v", n, want, err)
	}
}

func users(from, n int64) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = from + int64(i)
	}
	return list
}

// A user who is registered by any number of calls at once is in MySQL once, and in every set of the sale.
func TestRegister(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	s.makes(8, false)
	if got, err := s.Register(t.Context(), 7, []int64{5, 3, 5}); err != nil || got != (registry.Result{Added: 2, Registered: 2}) {
		t.Fatalf("%+v, error %v", got, err)
	}
	if got, err := s.Register(t.Context(), 7, []int64{3, 9}); err != nil || got != (registry.Result{Added: 1, Registered: 3}) {
		t.Fatalf("again: %+v, error %v", got, err)
	}
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			if _, err := s.Register(t.Context(), 7, users(1, 2500)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	s.wantEverywhere(s.sale(7).Sets, 2500)
	if got := s.sale(7).Registered; got != 2500 {
		t.Errorf("MySQL has %d users", got)
	}
	for want, call := range map[error]func() (registry.Result, error){
		sale.ErrNotFound:      func() (registry.Result, error) { return s.Register(t.Context(), 9, users(1, 1)) },
		registry.ErrOpenToAll: func() (registry.Result, error) { return s.Register(t.Context(), 8, users(1, 1)) },
		registry.ErrUsers:     func() (registry.Result, error) { return s.Register(t.Context(), 7, []int64{1, 0}) },
	} {
		if _, err := call(); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, err := s.Register(t.Context(), 7, users(1, registry.UsersMax+1)); !errors.Is(err, registry.ErrUsers) {
		t.Errorf("too many: %v", err)
	}
}

// The SKUs of a sale are read once: they never change.
func TestSetsAreReadOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	sets := s.sale(7).Sets
	if _, err := s.db.ExecContext(t.Context(), "DELETE FROM sale_items"); err != nil {
		t.Fatal(err)
	}
	if got := s.sale(7).Sets; len(got) < 2 || !slices.Equal(got, sets) {
		t.Errorf("sets %v, before %v", got, sets)
	}
}

// A plan keeps its demand and its bound of extensions, in MySQL and in every cell, and its pool is in the list of pools.
func TestPlanReachesCellsAndPools(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	shown, err := s.desk.Show(t.Context(), 7)
	if err != nil || !shown.RegisteredOnly || shown.ExtendMax != time.Second {
		t.Fatalf("%+v, error %v", shown.Plan, err)
	}
	for _, item := range shown.Stock {
		if c := item.Cell; !c.RegisteredOnly || c.ExtendMax != time.Second {
			t.Errorf("cell %+v", c)
		}
	}
	s.wantPool()
}

// wantPool checks the list of pools: normal stock, and that of sale 7.
func (s *shop) wantPool() {
	s.t.Helper()
	books := ledger.New(s.db, func(context.Context) (int64, int64) { return 0, 0 })
	pools, err := books.Pools(s.t.Context(), 0, 10)
	if want := []ledger.Pool{{}, {ID: 7, Sale: 7}}; err != nil || !slices.Equal(pools, want) {
		s.t.Errorf("pools are %+v, want %+v, error %v", pools, want, err)
	}
}

// A sale that an edge has made which is older than the list of pools is in the list once it opens.
func TestOpeningListsThePool(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, false)
	s.changes("DELETE FROM pools WHERE pool = 7")
	if _, err := s.desk.Open(t.Context(), 7, sale.Call{}, sale.Opening{}); err != nil {
		t.Fatal(err)
	}
	s.wantPool()
}
