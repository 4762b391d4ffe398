package registry_test

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/registry"
	"sluice/core/stock/redisstock"
)

// compared has a registry compare the users of all sales.
func (s *shop) compared(by *registry.Registry, want ...registry.Difference) {
	s.t.Helper()
	found, err := by.Compare(s.t.Context(), 0)
	if err != nil || !slices.EqualFunc(found, want, func(a, b registry.Difference) bool { return cmp.Equal(a, b) }) {
		s.t.Errorf("%s, error %v", cmp.Diff(want, found), err)
	}
}

// edit changes a set by hand.
func (s *shop) edit(command string, of redisstock.UserSet, user int64) {
	s.t.Helper()
	key := "{p" + strconv.Itoa(of.Partition) + "}:registered:" + strconv.Itoa(int(of.Sale))
	done := s.client.Do(s.t.Context(), s.client.B().Arbitrary(command).Keys(key).Args(string([]byte{0, 0, 0, 0, 0, 0, 0, byte(user)})).Build())
	if n, err := done.AsInt64(); n != 1 || err != nil {
		s.t.Fatal(n, err)
	}
}

// The comparison finds edits of Redis or MySQL by hand, with the users whom only Redis has.
func TestCompare(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	s.makes(8, false)
	if _, err := s.Register(t.Context(), 7, users(1, 10)); err != nil {
		t.Fatal(err)
	}
	sets := s.sale(7).Sets
	s.compared(s.Registry)
	s.edit("SADD", sets[0], 99)
	s.edit("SREM", sets[1], 3)
	s.compared(s.Registry,
		registry.Difference{Sale: 7, Partition: sets[0].Partition, Has: 11, Rows: 10, Strangers: []int64{99}},
		registry.Difference{Sale: 7, Partition: sets[1].Partition, Has: 9, Rows: 10})
	if found, err := s.Compare(t.Context(), 8); len(found) > 0 || err != nil {
		t.Errorf("another sale: %v, error %v", found, err)
	}
	s.edit("SREM", sets[0], 99)
	s.edit("SADD", sets[1], 3)
	s.compared(s.Registry)
	if _, err := s.db.ExecContext(t.Context(), "DELETE FROM registrations WHERE user_id = 10"); err != nil {
		t.Fatal(err)
	}
	want := []registry.Difference{{Sale: 7, Partition: -1, Has: 10, Rows: 9}}
	for _, of := range sets {
		want = append(want, registry.Difference{Sale: 7, Partition: of.Partition, Has: 10, Rows: 9, Strangers: []int64{10}})
	}
	s.compared(s.Registry, want...)
}

// A difference names some strangers, however many there are.
func TestCompareNamesSomeStrangers(t *testing.T) {
	t.Parallel()
	s, sets := newSale(t, 10)
	for user := range int64(15) {
		s.edit("SADD", sets[0], 100+user)
	}
	found, err := s.Compare(t.Context(), 7)
	if err != nil || len(found) != 1 || found[0].Has != 25 || len(found[0].Strangers) != 10 {
		t.Errorf("%+v, error %v", found, err)
	}
}

// counting is a store that calls a function before it counts users.
type counting struct {
	registry.Store

	counts func()
}

func (c *counting) CountUsers(ctx context.Context, sets []redisstock.UserSet) ([]int64, error) {
	c.counts()
	return c.Store.CountUsers(ctx, sets)
}

// Users who are registered while somebody compares are no difference: neither those who come to Redis after MySQL was read, nor
// those who are in MySQL and on their way to Redis.
func TestCompareBesideALoad(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	s.makes(7, true)
	sets := s.sale(7).Sets
	looks := 0
	s.compared(registry.New(s.db, &counting{s.store, func() {
		looks++
		if _, err := s.Register(t.Context(), 7, users(int64(looks), 1)); err != nil {
			t.Error(err)
		}
	}}))
	if looks != 1 {
		t.Errorf("looked %d times", looks)
	}
	s.edit("SREM", sets[1], 1)
	looks = 0
	s.compared(registry.New(s.db, &counting{s.store, func() {
		if looks++; looks == 2 {
			s.edit("SADD", sets[1], 1)
		}
	}}))
	if looks != 2 {
		t.Errorf("looked %d times", looks)
	}
}
