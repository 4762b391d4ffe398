package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/core/local/servicetest"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
)

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
	s, sets := newSale(t, 3000)
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

// More users than one reading of MySQL has come back too.
func TestBringReadsAllPages(t *testing.T) {
	t.Parallel()
	s, sets := newSale(t, registry.UsersMax)
	if _, err := s.Register(t.Context(), 7, users(registry.UsersMax+1, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.ForgetUsers(t.Context(), sets[0]); err != nil {
		t.Fatal(err)
	}
	s.bring(registry.Brought{Users: registry.UsersMax + 3})
	s.wantEverywhere(sets, registry.UsersMax+3)
}

// Of a set that has grown since somebody vouched for it, a loss shows too: nobody who is lost is refused for good.
func TestGrownSetIsVouchedForAnew(t *testing.T) {
	t.Parallel()
	s, sets := newSale(t, 10)
	s.bring(registry.Brought{})
	if _, err := s.Register(t.Context(), 7, users(11, 3)); err != nil {
		t.Fatal(err)
	}
	s.bring(registry.Brought{})
	s.loses(sets[0], 1)
	states, err := s.store.LookAtUsers(t.Context(), sets, s.store.Marks())
	if err != nil {
		t.Fatal(err)
	}
	for i, state := range states {
		if state.Noted != 13 || state.Whole == (i == 0) {
			t.Errorf("set %d of 13 users, of which the first has lost one: %+v", i, state)
		}
	}
}

// bounded is a store that takes nobody, and tells how long it has for that.
type bounded struct {
	registry.Store
	within time.Duration
}

func (b *bounded) RegisterAll(ctx context.Context, _ []redisstock.UserSet, _ []int64) ([]int, error) {
	if end, ends := ctx.Deadline(); ends {
		b.within = time.Until(end)
	}
	return nil, stock.ErrUnknown
}

// The opening of a sale waits for its users for some seconds at most, and opens without them. A sale for everybody has none.
func TestOpeningWaitsForItsUsersNotForLong(t *testing.T) {
	t.Parallel()
	s, sets := newSale(t, 10)
	s.loses(sets[0], 1)
	store := &bounded{Store: s.store}
	if err := registry.New(s.db, store).BringSale(t.Context(), 7); err != nil || store.within <= 0 || store.within > 10*time.Second {
		t.Errorf("it has %v, error %v", store.within, err)
	}
	s.makes(8, false)
	if err := s.BringSale(t.Context(), 8); err != nil {
		t.Errorf("a sale for everybody: %v", err)
	}
}

// A store that trusts nothing may talk to the Redis of another deployment. Nobody is written there.
func TestBringWritesToTrustedDataOnly(t *testing.T) {
	t.Parallel()
	s, _ := newSale(t, 10)
	other, store := storeOn(t, servicetest.Redis(t).Addr, partitions)
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
	s, _ := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
