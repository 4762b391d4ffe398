package redisstock_test

import (
	"errors"
	"slices"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// guarded makes a cell of a sale that is for registered users.
func (s *shop) guarded(units int64) stock.Cell {
	s.Helper()
	cell := newCell()
	cell.Pool = uint32(cell.SKU)
	settings := stock.Settings{RegisteredOnly: true}.WithDefaults()
	s.one(stock.OpAdjust, adjustment(cell, "load", stock.Adjustment{Create: true, Delta: units, Settings: settings}))
	return cell
}

// A set is removed some time after its sale has closed. Repeated requests from before get their first answers.
func TestReplayOutlivesARegistration(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.guarded(9)
	of := redisstock.UserSet{Partition: partition(cell), Sale: cell.Pool}
	if n, err := s.Register(t.Context(), of.Partition, of.Sale, []int64{1}); n != 1 || err != nil {
		t.Fatalf("%d users are new, error %v", n, err)
	}
	request := take(stock.OpReserve, cell, 1, 1)
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictOK {
		t.Fatal(got)
	}
	if there, err := s.ForgetUsers(t.Context(), of); !there || err != nil {
		t.Fatalf("there was a set: %v, error %v", there, err)
	}
	if there, err := s.ForgetUsers(t.Context(), of); there || err != nil {
		t.Fatalf("there still was a set: %v, error %v", there, err)
	}
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictReplayed {
		t.Errorf("the same request: %v", got)
	}
	request.ID[9]++
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictUsersMissing {
		t.Errorf("another request: %v", got)
	}
}

// A repetition is answered by its record. Its script asks no set of users: it would fail to ask this one.
func TestRepetitionAsksForNoUser(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.guarded(9)
	of := setOf(cell)
	if n, err := s.Register(t.Context(), of.Partition, of.Sale, []int64{1}); n != 1 || err != nil {
		t.Fatalf("%d users are new, error %v", n, err)
	}
	request := take(stock.OpReserve, cell, 1, 1)
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictOK {
		t.Fatal(got)
	}
	s.must("SET", redisstock.RegisteredKey(of.Partition, of.Sale), "no set")
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictReplayed {
		t.Errorf("the same request: %v", got)
	}
}

// setOf is the set of a sale's cell.
func setOf(cell stock.Cell) redisstock.UserSet {
	return redisstock.UserSet{Partition: partition(cell), Sale: cell.Pool}
}

// wantWhole checks what the store says of a set, and what the scripts say of a user who is not in it.
func (s *shop) wantWhole(cell stock.Cell, users int64, whole bool) {
	s.Helper()
	states, err := s.LookAtUsers(s.Context(), []redisstock.UserSet{setOf(cell)}, s.Marks())
	if err != nil || states[0].Users != users || states[0].Whole != whole {
		s.Errorf("%+v, want %d users, whole: %v, error %v", states, users, whole, err)
	}
	want := stock.VerdictUsersMissing
	if whole {
		want = stock.VerdictNotRegistered
	}
	if got := s.one(stock.OpReserve, take(stock.OpReserve, cell, 99, 1)).Verdict; got != want {
		s.Errorf("a stranger: %v, want %v", got, want)
	}
}

// A set is whole once somebody has vouched for it, until a vetting gives the partition another nonce: before that, users may have
// been lost. Who has asked MySQL before that vetting vouches for nothing.
func TestSetIsWholeUntilTheNextVetting(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := s.guarded(9)
	of, before := setOf(cell), s.Marks()[partition(cell)]
	s.wantWhole(cell, 0, false)
	if _, err := s.Register(t.Context(), of.Partition, of.Sale, []int64{1, 2}); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Vouch(t.Context(), of, before, 3); n != 2 || err != nil {
		t.Errorf("%d users, error %v", n, err)
	}
	s.wantWhole(cell, 2, false)
	if n, err := s.Vouch(t.Context(), of, before, 2); n != 2 || err != nil {
		t.Errorf("%d users, error %v", n, err)
	}
	s.wantWhole(cell, 2, true)

	s.must("SCRIPT", "", "FLUSH")
	s.open()
	s.wantWhole(cell, 2, false)
	if _, err := s.Vouch(t.Context(), of, before, 2); !errors.Is(err, stock.ErrShut) {
		t.Errorf("by an earlier vetting: %v", err)
	}
	if _, err := s.Vouch(t.Context(), of, stock.Mark{}, 2); !errors.Is(err, stock.ErrShut) {
		t.Errorf("by no vetting: %v", err)
	}
	s.wantWhole(cell, 2, false)
	if _, err := s.Vouch(t.Context(), of, s.Marks()[of.Partition], 2); err != nil {
		t.Error(err)
	}
	s.wantWhole(cell, 2, true)

	if there, err := s.ForgetUsers(t.Context(), of); !there || err != nil {
		t.Errorf("there was a set: %v, error %v", there, err)
	}
	s.wantWhole(cell, 0, false)
}

// The calls that count and read users, for a process that brings sets up to date.
func TestSetsOfUsers(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := newCell()
	of := redisstock.UserSet{Partition: partition(cell), Sale: uint32(cell.SKU)}
	users := make([]int64, 700)
	for i := range users {
		users[i] = int64(i+1) << 40
	}
	if added, err := s.Register(t.Context(), of.Partition, of.Sale, users[:600]); added != 600 || err != nil {
		t.Fatalf("%d users are new, error %v", added, err)
	}
	if added, err := s.Register(t.Context(), of.Partition, of.Sale, users[500:]); added != 100 || err != nil {
		t.Errorf("%d users are new, error %v", added, err)
	}
	other := redisstock.UserSet{Partition: of.Partition, Sale: of.Sale + 1}
	if counts, err := s.CountUsers(t.Context(), []redisstock.UserSet{other, of}); !slices.Equal(counts, []int64{0, 700}) || err != nil {
		t.Errorf("counts are %v, error %v", counts, err)
	}
	var found []int64
	err := s.ScanUsers(t.Context(), of, func(user int64) error {
		found = append(found, user)
		return nil
	})
	slices.Sort(found)
	if !slices.Equal(slices.Compact(found), users) || err != nil {
		t.Errorf("found %d users, error %v", len(found), err)
	}
	for _, n := range []int{0, redisstock.RegisterMax + 1} {
		if _, err := s.Register(t.Context(), of.Partition, of.Sale, make([]int64, n)); !errors.Is(err, stock.ErrProtocol) {
			t.Errorf("%d users: %v", n, err)
		}
	}
}

// Nobody adds users to a server that may have lost others: the count would hide it.
func TestShutServerRegistersNobody(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	s.must("SCRIPT", "", "FLUSH")
	if _, err := s.Register(t.Context(), 1, 7, []int64{1}); !errors.Is(err, stock.ErrShut) {
		t.Errorf("without scripts: %v", err)
	}
}
