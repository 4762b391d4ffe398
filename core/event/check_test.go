package event

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"sluice/core/stock"
)

// TestCheck has, for each kind, an event at each of its bounds and one beyond it.
func TestCheck(t *testing.T) {
	t.Parallel()
	const units, most = stock.UnitsMax, stock.QuantityMax
	f := func(k Kind, quantity, delta, avail, held, sold int64, fault string) {
		t.Helper()
		e := Event{
			Kind: k, Quantity: quantity, Change: Change{Delta: delta}, Avail: avail, Held: held, Sold: sold,
			Cell: stock.Cell{SKU: 1001}, Position: stock.Position{Epoch: 1, Seq: 2},
		}
		err := e.Check()
		switch {
		case fault == "" && err != nil:
			t.Errorf("%+v: %v", e, err)
		case fault != "" && (!errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), fault)):
			t.Errorf("%+v: %v, want a word about %q", e, err, fault)
		}
	}
	// The balance that the units of a kind arrive in is given by a function; the two others are 5.
	for kind, balances := range map[Kind]func(arrived int64) (avail, held, sold int64){
		KindReserve: func(n int64) (_, _, _ int64) { return 5, n, 5 },
		KindConfirm: func(n int64) (_, _, _ int64) { return 5, 5, n },
		KindDeduct:  func(n int64) (_, _, _ int64) { return 5, 5, n },
		KindRelease: func(n int64) (_, _, _ int64) { return n, 5, 5 },
		KindExpire:  func(n int64) (_, _, _ int64) { return n, 5, 5 },
		KindRevoke:  func(n int64) (_, _, _ int64) { return n, 5, 5 },
		KindReturn:  func(n int64) (_, _, _ int64) { return n, 5, 5 },
		KindExtend:  func(n int64) (_, _, _ int64) { return 5, n, 5 },
	} {
		of := func(quantity, arrived int64, fault string) {
			t.Helper()
			avail, held, sold := balances(arrived)
			f(kind, quantity, 0, avail, held, sold, fault)
		}
		of(1, 1, "")
		of(7, 7, "")
		of(most, most, "")
		of(1, units-10, "")
		of(1, units-9, "out of range")
		of(0, 7, "quantity 0 out of range")
		of(-1, 7, "quantity -1 out of range")
		of(most+1, most+1, "quantity 1000001 out of range")
		of(7, 6, "7 units moved, but 6 are there")
		of(1, 0, "1 units moved, but 0 are there")
		f(kind, 1, 0, -1, 5, 5, "balances -1, 5, 5 out of range")
		f(kind, 1, 0, 5, -1, 5, "balances 5, -1, 5 out of range")
		f(kind, 1, 0, 5, 5, -1, "balances 5, 5, -1 out of range")
	}
	for _, kind := range []Kind{KindAdjust, KindTransferOut, KindTransferIn} {
		f(kind, 0, 0, 0, 0, 0, "")
		f(kind, 0, 7, 7, 0, 0, "")
		f(kind, 0, units, units, 0, 0, "")
		f(kind, 0, -units, 0, 0, 0, "")
		f(kind, 0, -units-1, 0, 0, 0, "delta -1099511627776")
		f(kind, 0, 7, 6, 5, 5, "delta 7, but 6 avail")
		f(kind, 1, 7, 7, 5, 5, "with a quantity")
		f(kind, -1, 7, 7, 5, 5, "with a quantity")
		f(kind, 0, 0, -1, 5, 5, "out of range")
		f(kind, 0, 0, 5, -1, 5, "out of range")
		f(kind, 0, 0, 5, 5, -1, "out of range")
		f(kind, 0, 0, units, 0, 1, "out of range")
	}
}

func TestCheckOfARebase(t *testing.T) {
	t.Parallel()
	whole := goldens()["rebase"].Events[0]
	if err := whole.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Event){
		"with a seq of its own":      func(e *Event) { e.Seq = 1 },
		"with the seq of its past":   func(e *Event) { e.Seq-- },
		"from two epochs before":     func(e *Event) { e.Epoch = 3 },
		"from its own epoch":         func(e *Event) { e.Epoch = 1 },
		"from an epoch not begun":    func(e *Event) { e.Change.From.Seq, e.Seq = 0, 1 },
		"with a delta":               func(e *Event) { e.Change.Delta = 1 },
		"with a quantity":            func(e *Event) { e.Quantity = 1 },
		"with balances out of range": func(e *Event) { e.Held = -1 },
	} {
		e := whole
		change(&e)
		if err := e.Check(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestFollows(t *testing.T) {
	t.Parallel()
	rebase := goldens()["rebase"].Events[0]
	next := goldens()["reserve"].Events[0] // at epoch 1, seq 2
	for _, c := range []struct {
		event *Event
		last  stock.Position
		want  bool
	}{
		{&next, stock.Position{Epoch: 1, Seq: 1}, true},
		{&next, stock.Position{Epoch: 1, Seq: 2}, false},
		{&next, stock.Position{Epoch: 1, Seq: 0}, false},
		{&next, stock.Position{Epoch: 2, Seq: 1}, false},
		{&rebase, rebase.Change.From, true},
		{&rebase, stock.Position{Epoch: 1, Seq: 999_999}, false},
		{&rebase, stock.Position{Epoch: 2, Seq: 0}, false},
	} {
		if got := c.event.Follows(c.last); got != c.want {
			t.Errorf("%v at %v follows %v: %v", c.event.Kind, c.event.Position, c.last, got)
		}
	}
}

// TestBefore compares the moves of each kind with the table of docs/events.md.
func TestBefore(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind][3]int64{
		KindReserve: {102, 18, 30}, KindConfirm: {100, 22, 28}, KindRelease: {98, 22, 30}, KindExpire: {98, 22, 30},
		KindDeduct: {102, 20, 28}, KindRevoke: {98, 22, 30}, KindReturn: {98, 20, 32}, KindExtend: {100, 20, 30},
		KindAdjust: {93, 20, 30}, KindTransferOut: {93, 20, 30}, KindTransferIn: {93, 20, 30}, KindRebase: {100, 20, 30},
	} {
		e := Event{Kind: kind, Quantity: 2, Avail: 100, Held: 20, Sold: 30}
		if kind.Adjusts() && kind != KindRebase {
			e.Change.Delta = 7
		}
		if avail, held, sold := e.Before(); [3]int64{avail, held, sold} != want {
			t.Errorf("%v found %d, %d, %d, want %v", kind, avail, held, sold, want)
		}
	}
}

// TestVersionIsTheOldest checks the version that a batch of each kind needs, and that readers refuse a newer version.
func TestVersionIsTheOldest(t *testing.T) {
	t.Parallel()
	for name, b := range goldens() {
		data, want := Append(nil, b), byte(1)
		for i := range b.Events {
			if e := &b.Events[i]; e.Kind >= KindRebase || e.Change.Settings.ExtendMax != 0 {
				want = 2
			}
		}
		if data[0] != want {
			t.Errorf("%s has version %d, want %d", name, data[0], want)
		}
		data[0] = 3 - want
		got, err := Decode(data)
		if err == nil && bytes.Equal(Append(nil, got), data) && slices.ContainsFunc(b.Events, func(e Event) bool { return e.Change.Reason != "" }) {
			continue // the beginning of the reason is a bound of extensions, or the other way round
		}
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s with version %d: error %v", name, data[0], err)
		}
	}
}
