package registry_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"sluice/core/registry"
	"sluice/core/stock/redisstock"
)

// taking is a store that calls a function before it takes users.
type taking struct {
	registry.Store

	takes func() error
}

func (t *taking) RegisterAll(ctx context.Context, sets []redisstock.UserSet, users []int64) ([]int, error) {
	if err := t.takes(); err != nil {
		return nil, err
	}
	return t.Store.RegisterAll(ctx, sets, users)
}

// While Redis takes a batch of a load, MySQL gets others, and no more than loadsAtOnce are under way.
func TestLoad(t *testing.T) {
	t.Parallel()
	s, _ := newSale(t, 50)
	const batches, batch, loadsAtOnce = 10, 100, 4
	var added, taken atomic.Int64
	load := registry.New(s.db, &taking{s.store, func() error {
		if under := added.Load() - taken.Load(); under > loadsAtOnce { // Redis takes one after the other
			t.Errorf("%d batches are under way", under)
		}
		taken.Add(1)
		for s.sale(7).Registered < 2*batch && t.Context().Err() == nil { // until MySQL has another batch too
			continue
		}
		return nil
	}}).Load(t.Context(), 7)
	for i := range int64(batches) {
		if !load.Add(users(1+i*batch, batch)) {
			t.Error("it failed")
		}
		added.Add(1)
	}
	got, err := load.Wait()
	if want := (registry.Result{Added: batches*batch - 50, Registered: batches * batch}); got != want || err != nil {
		t.Errorf("%+v, want %+v, error %v", got, want, err)
	}
	s.wantEverywhere(s.sale(7).Sets, batches*batch)
}

// crowded is a store that counts how many calls of it take users at the same time.
type crowded struct {
	registry.Store
	under, most atomic.Int64
}

func (c *crowded) RegisterAll(ctx context.Context, sets []redisstock.UserSet, users []int64) ([]int, error) {
	defer c.under.Add(-1)
	if n := c.under.Add(1); n > 1 {
		c.most.Store(n)
	}
	return c.Store.RegisterAll(ctx, sets, users)
}

// Redis takes the users of all calls of a process one after the other: the scripts leave time for sales between them.
func TestOneCallTakesUsersAtATime(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	store := &crowded{Store: s.store}
	one := registry.New(s.db, store)
	var calls sync.WaitGroup
	for call := range int64(8) {
		calls.Go(func() {
			if _, err := one.Register(t.Context(), 7, users(1+2000*call, 2000)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	s.wantEverywhere(s.sale(7).Sets, 16_000)
	if n := store.most.Load(); n > 0 {
		t.Errorf("%d calls at the same time", n)
	}
}

// A load ends with the first batch that fails. The same users can be loaded once more.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	away := errors.New("away")
	var calls atomic.Int64
	load := registry.New(s.db, &taking{s.store, func() error {
		if calls.Add(1) > 100 {
			return away
		}
		return nil
	}}).Load(t.Context(), 7)
	n := int64(0)
	for load.Add(users(1+n*10, 10)) {
		n++
	}
	if got, err := load.Wait(); !errors.Is(err, away) || got.Registered < 10 {
		t.Errorf("%+v, error %v", got, err)
	}
	again := s.Load(t.Context(), 7)
	for i := range n {
		again.Add(users(1+i*10, 10))
	}
	if got, err := again.Wait(); got.Registered != 10*n || err != nil {
		t.Errorf("again: %+v, want %d users, error %v", got, 10*n, err)
	}
	s.wantEverywhere(s.sale(7).Sets, 10*n)
}
