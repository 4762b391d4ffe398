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
	if got := s.one(stock.OpReserve, request).Verdict; got != stock.VerdictNotRegistered {
		t.Errorf("another request: %v", got)
	}
}

// The calls that count, look for and read users, for a process that brings sets up to date.
func TestSetsOfUsers(t *testing.T) {
	t.Parallel()
	s := newShop(t, onServer(t), redisstock.Config{})
	cell := newCell()
	of := redisstock.UserSet{Partition: partition(cell), Sale: uint32(cell.SKU)}
	users := make([]int64, 700)
	for i := range users {
		users[i] = int64(i+1) << 40
	}
	if err := s.RestoreUsers(t.Context(), of, users[:600]); err != nil {
		t.Fatal(err)
	}
	if missing, err := s.MissingUsers(t.Context(), of, users); !slices.Equal(missing, users[600:]) || err != nil {
		t.Errorf("missing are %v, error %v", missing, err)
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
	if err := s.RestoreUsers(t.Context(), redisstock.UserSet{Partition: 1, Sale: 7}, []int64{1}); err != nil {
		t.Errorf("bring back: %v", err)
	}
}
