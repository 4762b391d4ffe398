package registry_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
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

func newShop(t *testing.T) *shop {
	t.Helper()
	books := persistertest.Database(t)
	client, err := rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	store, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
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

// bring brings users, and checks what that did.
func (s *shop) bring(want registry.Brought) {
	s.t.Helper()
	if done, err := s.Bring(s.t.Context()); done != want || err != nil {
		s.t.Fatalf("%+v, want %+v, error %v", done, want, err)
	}
}

// restart has the server lose its scripts, as a restart does.
func (s *shop) restart() {
	s.t.Helper()
	if err := s.client.Do(s.t.Context(), s.client.B().ScriptFlush().Build()).Error(); err != nil {
		s.t.Fatal(err)
	}
}

// loses has a set lose so many of its users.
func (s *shop) loses(of redisstock.UserSet, n int64) {
	s.t.Helper()
	key := fmt.Sprintf("{p%d}:registered:%d", of.Partition, of.Sale)
	if gone, err := s.client.Do(s.t.Context(), s.client.B().Spop().Key(key).Count(n).Build()).AsStrSlice(); int64(len(gone)) != n || err != nil {
		s.t.Fatalf("%d users, want %d, error %v", len(gone), n, err)
	}
}

// reserves has users reserve a unit of SKU 1 of a sale, and checks the verdicts.
func (s *shop) reserves(id uint32, want map[int64]stock.Verdict) {
	s.t.Helper()
	cell := stock.Cell{SKU: 1, Pool: id}
	for user, verdict := range want {
		v := &stock.Vector{Op: stock.OpReserve, Partition: cell.Partition(partitions), Requests: []stock.Request{{
			ID: stock.Identity{Route: stock.OpReserve, Cell: cell, User: user, Key: "k"}.ID(partitions), Cell: cell, User: user, Quantity: 1,
		}}}
		if s.store.Do(s.t.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != verdict {
			s.t.Errorf("user %d: %+v, want %v, error %v", user, v.Outcomes, verdict, v.Err)
		}
	}
}

// opens opens a sale for sure: its cells have been open for long.
func (s *shop) opens(id uint32) {
	s.t.Helper()
	if _, err := s.desk.Open(s.t.Context(), id, sale.Call{}, sale.Opening{}); err != nil {
		s.t.Fatal(err)
	}
	time.Sleep(sale.LeadTime + 100*time.Millisecond) // by Redis' clock, which a test cannot move
}

// What Redis has lost of the users comes back from MySQL, once the server is vetted.
func TestBring(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 3000)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.bring(registry.Brought{})
	if _, err := s.store.ForgetUsers(t.Context(), sets[0]); err != nil {
		t.Fatal(err)
	}
	s.loses(sets[1], 40)
	s.restart()
	if done, err := s.Bring(t.Context()); done.Users != 0 || !errors.Is(err, stock.ErrShut) {
		t.Fatalf("%+v on a shut server, error %v", done, err)
	}
	redistest.Open(t, s.client, partitions, s.store)
	s.bring(registry.Brought{Users: 3040})
	s.wantEverywhere(sets, 3000)
	// A call that dies between MySQL and Redis leaves its users to the next vetting, or to two looks.
	s.restart()
	if _, err := s.Register(t.Context(), 7, users(5001, 2)); !errors.Is(err, stock.ErrUnknown) || errors.Is(err, stock.ErrShut) {
		t.Fatalf("on a shut server: %v", err)
	}
	redistest.Open(t, s.client, partitions, s.store)
	s.bring(registry.Brought{Users: 2 * int64(len(sets))})
	s.wantEverywhere(sets, 3002)
	s.bring(registry.Brought{})
}

// A store that trusts nothing may talk to the Redis of another deployment. Nobody is written there.
func TestBringWritesToTrustedDataOnly(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	other, err := rueidis.NewClient(redis.Options([]string{servicetest.Redis(t).Addr}, "", ""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	store, err := redisstock.New(other, redisstock.Config{Partitions: partitions, CallTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	foreign := registry.New(s.db, store)
	if done, err := foreign.Bring(t.Context()); done.Users != 0 || err != nil {
		t.Errorf("%+v, error %v", done, err)
	}
	if err := foreign.BringSale(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if n, err := other.Do(t.Context(), other.B().Dbsize().Build()).AsInt64(); n != 0 || err != nil {
		t.Errorf("%d keys, error %v", n, err)
	}
}

// Between a vetting and the return of the users, those who are lost are not refused for good, and all others are served.
func TestLostUsersAreNotRefusedForGood(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	s.opens(7)
	s.reserves(7, map[int64]stock.Verdict{1: stock.VerdictOK, 11: stock.VerdictNotRegistered})
	of := redisstock.UserSet{Partition: stock.Cell{SKU: 1, Pool: 7}.Partition(partitions), Sale: 7}
	if _, err := s.store.ForgetUsers(t.Context(), of); err != nil {
		t.Fatal(err)
	}
	s.restart()
	redistest.Open(t, s.client, partitions, s.store)
	s.reserves(7, map[int64]stock.Verdict{1: stock.VerdictReplayed, 2: stock.VerdictUsersMissing, 11: stock.VerdictUsersMissing})
	s.bring(registry.Brought{Users: 10})
	s.reserves(7, map[int64]stock.Verdict{2: stock.VerdictOK, 11: stock.VerdictNotRegistered})
}

// What a registration is about to add, nobody brings: only a set that lacks as many at two looks, and has not grown between them,
// lacks them for good.
func TestBringLeavesRegistrationsAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	sets := s.sale(7).Sets
	late := registry.New(s.db, lateStore{s.store})
	s.bring(registry.Brought{})
	for from := int64(1); from < 30; from += 10 { // each look finds users who are on their way
		if _, err := late.Register(t.Context(), 7, users(from, 10)); !errors.Is(err, stock.ErrUnknown) {
			t.Fatal(err)
		}
		s.bring(registry.Brought{})
		if _, err := s.Register(t.Context(), 7, users(from, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := late.Register(t.Context(), 7, users(101, 2)); !errors.Is(err, stock.ErrUnknown) {
		t.Fatal(err)
	}
	s.bring(registry.Brought{})
	s.bring(registry.Brought{Users: 2 * int64(len(sets))})
	s.wantEverywhere(sets, 32)
	s.bring(registry.Brought{})
}

// lateStore is a store that dies before it registers anybody.
type lateStore struct{ registry.Store }

func (lateStore) RegisterAll(context.Context, []redisstock.UserSet, []int64) ([]int, error) {
	return nil, stock.ErrUnknown
}

// One process of all brings users at a time.
func TestOneBringsAtATime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.bring(registry.Brought{})
	for _, of := range sets {
		s.loses(of, 1)
	}
	var once sync.Once
	other := registry.New(s.db, &hooked{Store: s.store, registered: func() {
		once.Do(func() { s.bring(registry.Brought{}) })
	}})
	if done, err := other.Bring(t.Context()); done.Users != int64(len(sets)) || err != nil {
		t.Fatalf("%+v, error %v", done, err)
	}
	s.wantEverywhere(sets, 10)
}

// Where a server is away, the users of the other ones come back all the same.
func TestBringGoesOnWithoutSomeSets(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.bring(registry.Brought{})
	for _, of := range sets {
		s.loses(of, 1)
	}
	away := sets[1].Partition
	some := registry.New(s.db, &awayStore{s.store, away})
	if done, err := some.Bring(t.Context()); done.Users != int64(len(sets)-1) || !errors.Is(err, stock.ErrUnreached) {
		t.Fatalf("%+v, error %v", done, err)
	}
	if err := some.BringSale(t.Context(), 7); err != nil {
		t.Errorf("a sale cannot be opened: %v", err)
	}
	s.bring(registry.Brought{Users: 1})
	s.wantEverywhere(sets, 10)
}

// Where a server is away, MySQL has the users of a registration already. So its error does not say that nothing was done.
func TestRegistrationWithoutSomeSetsIsUnknown(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	sets := s.sale(7).Sets
	some := registry.New(s.db, &awayStore{s.store, sets[1].Partition})
	_, err := some.Register(t.Context(), 7, users(1, 10))
	if !errors.Is(err, stock.ErrUnknown) || errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("%v, want %v", err, stock.ErrUnknown)
	}
	if got := s.sale(7).Registered; got != 10 {
		t.Errorf("MySQL has %d users", got)
	}
}

// awayStore is a store that reaches all servers but that of a partition.
type awayStore struct {
	registry.Store
	partition int
}

func (s *awayStore) RegisterAll(ctx context.Context, sets []redisstock.UserSet, users []int64) ([]int, error) {
	added, err := s.Store.RegisterAll(ctx, slices.DeleteFunc(slices.Clone(sets), s.isAway), users)
	if i := slices.IndexFunc(sets, s.isAway); i >= 0 {
		added, err = slices.Insert(added, i, -1), errors.Join(err, stock.ErrUnreached)
	}
	return added, err
}

func (s *awayStore) CountUsers(ctx context.Context, sets []redisstock.UserSet) ([]int64, error) {
	if slices.ContainsFunc(sets, s.isAway) {
		return nil, stock.ErrUnreached
	}
	return s.Store.CountUsers(ctx, sets)
}

func (s *awayStore) ForgetUsers(ctx context.Context, of redisstock.UserSet) (bool, error) {
	if s.isAway(of) {
		return false, stock.ErrUnreached
	}
	return s.Store.ForgetUsers(ctx, of)
}

func (s *awayStore) isAway(of redisstock.UserSet) bool { return of.Partition == s.partition }

// changes changes rows of MySQL.
func (s *shop) changes(statements ...string) {
	s.t.Helper()
	for _, statement := range statements {
		if _, err := s.db.ExecContext(s.t.Context(), statement); err != nil {
			s.t.Fatal(err)
		}
	}
}

// Rows that somebody has deleted count no longer, so that nobody looks for them for ever.
func TestDeletedRows(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.bring(registry.Brought{})
	s.changes("DELETE FROM registrations WHERE user_id > 8")
	s.bring(registry.Brought{}) // nothing shows it
	for _, of := range sets[1:] {
		if _, err := s.store.ForgetUsers(t.Context(), of); err != nil {
			t.Fatal(err)
		}
	}
	s.bring(registry.Brought{Users: 8 * int64(len(sets)-1), Gone: 2})
	if got := s.sale(7).Registered; got != 8 {
		t.Errorf("MySQL counts %d users", got)
	}
	s.bring(registry.Brought{Strangers: 2}) // of the set that was not lost
	s.bring(registry.Brought{})
	s.wantEverywhere(sets[1:], 8)
}

// A set may have users whom a MySQL that was set back does not have. Their number hides nobody who is missing.
func TestStrangersHideNobody(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	n := int64(len(sets))
	s.bring(registry.Brought{})
	s.changes("DELETE FROM registrations WHERE user_id > 6", "UPDATE sales SET registered = 6")
	s.bring(registry.Brought{Strangers: 4 * n})
	s.bring(registry.Brought{})
	if _, err := s.Register(t.Context(), 7, users(100, 1)); err != nil {
		t.Fatal(err)
	}
	s.bring(registry.Brought{}) // there are as many strangers as before
	late := registry.New(s.db, lateStore{s.store})
	if _, err := late.Register(t.Context(), 7, users(101, 2)); !errors.Is(err, stock.ErrUnknown) {
		t.Fatal(err)
	}
	s.bring(registry.Brought{Users: 2 * n, Strangers: 2 * n})
	s.wantEverywhere(sets, 13)
}

// The users of a sale leave Redis after its retention, and come back before it opens again.
func TestForget(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.forget(s.Registry, time.Hour, 0) // it never closes
	s.close(7)
	s.forget(s.Registry, -time.Minute, 0)
	s.wantEverywhere(sets, 10)
	s.forget(s.Registry, time.Minute, 1)
	s.wantEverywhere(sets, 0)
	s.bring(registry.Brought{})
	s.forget(s.Registry, time.Minute, 0)
	if got, err := s.Register(t.Context(), 7, users(11, 1)); err != nil || got.Registered != 11 {
		t.Fatalf("%+v, error %v", got, err)
	}
	s.wantEverywhere(sets, 0)
	if _, err := s.desk.Open(t.Context(), 7, sale.Call{}, sale.Opening{}); err != nil {
		t.Fatal(err)
	}
	s.wantEverywhere(sets, 11)
	if s.sale(7).ID != 7 {
		t.Error("the sale that opened again is still forgotten")
	}
}

// While a server is away, no set of the sale is removed from the other ones: everything would be filled again.
func TestForgetWaitsForAllSets(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.close(7)
	nowMS, err := s.store.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	some := registry.New(s.db, &awayStore{s.store, sets[1].Partition})
	if n, err := some.Forget(t.Context(), nowMS+time.Minute.Milliseconds()); n != 0 || !errors.Is(err, stock.ErrUnreached) {
		t.Errorf("forgot %d sales, error %v", n, err)
	}
	s.wantEverywhere(sets, 10)
	s.bring(registry.Brought{})
	s.forget(s.Registry, time.Minute, 1)
	s.wantEverywhere(sets, 0)
}

// The users of a forgotten sale stay out of Redis if an opening is refused, or is an old one that is repeated: nobody would
// remove them again.
func TestRefusedOpeningBringsNobody(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	old := sale.Call{User: 1, Key: "opens"}
	if _, err := s.desk.Open(t.Context(), 7, old, sale.Opening{}); err != nil {
		t.Fatal(err)
	}
	s.close(7)
	s.forget(s.Registry, time.Minute, 1)
	if _, err := s.desk.Open(t.Context(), 7, old, sale.Opening{}); err != nil {
		t.Fatal(err)
	}
	s.wantEverywhere(sets, 0)
	if _, err := s.desk.Empty(t.Context(), 7, sale.Call{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.desk.Open(t.Context(), 7, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrNotFilled) {
		t.Fatalf("opened without its stock: %v", err)
	}
	s.wantEverywhere(sets, 0)
}

// hooked is a store that calls functions at some steps.
type hooked struct {
	registry.Store

	partitions, forgets, forgot, registered, vouched func()
}

func (h *hooked) Vouch(ctx context.Context, of redisstock.UserSet, trusted stock.Mark, users int64) (int64, error) {
	there, err := h.Store.Vouch(ctx, of, trusted, users)
	if h.vouched != nil {
		h.vouched()
	}
	return there, err
}

func (h *hooked) Partitions() int {
	if h.partitions != nil {
		h.partitions()
	}
	return h.Store.Partitions()
}

func (h *hooked) ForgetUsers(ctx context.Context, of redisstock.UserSet) (bool, error) {
	if h.forgets != nil {
		h.forgets()
	}
	there, err := h.Store.ForgetUsers(ctx, of)
	if h.forgot != nil {
		h.forgot()
	}
	return there, err
}

func (h *hooked) RegisterAll(ctx context.Context, sets []redisstock.UserSet, users []int64) ([]int, error) {
	added, err := h.Store.RegisterAll(ctx, sets, users)
	if h.registered != nil {
		h.registered()
	}
	return added, err
}

// If an edge brings users while another one forgets the sale, the users do not stay in Redis.
func TestBringWhileForgetting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.close(7)
	brought, done := make(chan struct{}, 1), make(chan error, 1)
	other := registry.New(s.db, &hooked{Store: s.store, registered: func() { brought <- struct{}{} }})
	var gone atomic.Int64
	s.forget(registry.New(s.db, &hooked{Store: s.store, forgot: func() {
		if gone.Add(1) != int64(len(sets)) {
			return
		}
		go func() {
			_, err := other.Bring(t.Context())
			done <- err
		}()
		<-brought // in all sets, by one pipeline
	}}), time.Minute, 1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s.wantEverywhere(sets, 0)
	if got := s.sale(7); got.ID != 0 {
		t.Errorf("%+v: MySQL says that Redis keeps its users", got)
	}
}

// If an edge vouches for the empty sets of a sale while another one forgets the sale, no note of them stays: it would say later that
// a set which is being filled has all users.
func TestVouchWhileForgetting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	sets := s.sale(7).Sets
	s.bring(registry.Brought{})
	s.close(7)
	vouched, done := make(chan struct{}, len(sets)), make(chan error, 1)
	other := registry.New(s.db, &hooked{Store: s.store, vouched: func() { vouched <- struct{}{} }})
	var gone atomic.Int64
	s.forget(registry.New(s.db, &hooked{Store: s.store, forgot: func() {
		if gone.Add(1) != int64(len(sets)) {
			return
		}
		go func() {
			_, err := other.Bring(t.Context())
			done <- err
		}()
		for range sets {
			<-vouched
		}
	}}), time.Minute, 1)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	states, err := s.store.LookAtUsers(t.Context(), sets, s.store.Marks())
	if err != nil || slices.ContainsFunc(states, func(state redisstock.SetState) bool { return state.Whole }) {
		t.Errorf("%+v, error %v", states, err)
	}
}

// A sale that opens while its users are forgotten has them when it is open.
func TestOpenWhileForgetting(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.close(7)
	opened := make(chan struct{})
	var once sync.Once
	s.forget(registry.New(s.db, &hooked{Store: s.store, forgets: func() {
		once.Do(func() {
			go func() {
				defer close(opened)
				if _, err := s.desk.Open(t.Context(), 7, sale.Call{}, sale.Opening{}); err != nil {
					t.Error(err)
				}
			}()
			s.opensOrWaits(opened)
		})
	}}), time.Minute, 1)
	<-opened
	s.wantEverywhere(sets, 10)
}

// opensOrWaits returns when a sale is open, or its opening waits for another transaction.
func (s *shop) opensOrWaits(opened <-chan struct{}) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for waiting := 0; waiting == 0; {
		select {
		case <-opened:
			return
		case <-tick.C:
		}
		err := s.db.QueryRowContext(s.t.Context(), "SELECT COUNT(*) FROM information_schema.innodb_lock_waits").Scan(&waiting)
		if err != nil {
			s.t.Error(err)
			return
		}
	}
}

// A user who is registered while the sale opens again is in Redis too.
func TestRegisterWhileOpening(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.close(7)
	s.forget(s.Registry, time.Minute, 1)
	var once sync.Once
	opening := registry.New(s.db, &hooked{Store: s.store, partitions: func() { // the sale's row is read by then
		once.Do(func() {
			if _, err := s.desk.Open(t.Context(), 7, sale.Call{}, sale.Opening{}); err != nil {
				t.Error(err)
			}
		})
	}})
	if got, err := opening.Register(t.Context(), 7, users(11, 1)); err != nil || got.Registered != 11 {
		t.Fatalf("%+v, error %v", got, err)
	}
	s.wantEverywhere(sets, 11)
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
