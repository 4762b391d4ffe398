package registry_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// The users of a sale leave Redis after its retention, and come back before it opens again.
func TestForget(t *testing.T) {
	t.Parallel()
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
	s, sets := newSale(t, 10)
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
