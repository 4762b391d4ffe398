package stock

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestIDsNeverChange has literal values: a shopper who repeats a request after a deploy must find the
// same record.
func TestIDsNeverChange(t *testing.T) {
	t.Parallel()
	f := func(i Identity, partitions int, want string) {
		t.Helper()
		if got := i.ID(partitions).String(); got != want {
			t.Errorf("%+v has the id %s, want %s", i, got, want)
		}
	}
	cell := Cell{SKU: 1001}
	f(Identity{User: 1001, Route: OpReserve, Cell: cell, Key: "key-1"}, 64, "001527632821bb604f5af018cad3271d")
	f(Identity{User: 1001, Route: OpDeduct, Cell: cell, Key: "key-1"}, 64, "0015e8c2f539dbb78c64927d8bd46ebf")
	f(Identity{User: 1, Route: OpAdjust, Cell: Cell{SKU: 1<<63 - 1, Pool: 1<<32 - 1}, Key: strings.Repeat("k", KeyBytesMax)}, 65536, "8a5e01d512bcf0aa960fe0cd3c9a58d8")
	out, in := TransferRequest{From: cell, To: Cell{SKU: 1001, Pool: 5}, User: 7, Scope: ScopeTransfer, Key: "key-1"}.IDs(64)
	g := func(got ReservationID, want string) {
		t.Helper()
		if got.String() != want {
			t.Errorf("transfer id %s, want %s", got, want)
		}
	}
	g(out, "0015ca650698b4639154b28f154ab99c")
	g(in, "0016ca650698b4639154b28f154ab99d")
}

func TestEveryPartOfAnIdentityCounts(t *testing.T) {
	t.Parallel()
	base := Identity{User: 1, Route: OpReserve, Cell: Cell{SKU: 1}, Key: "a"}
	seen := map[ReservationID]string{base.ID(64): "base"}
	f := func(name string, change func(*Identity)) {
		t.Helper()
		i := base
		change(&i)
		id := i.ID(64)
		if other, taken := seen[id]; taken {
			t.Errorf("%s has the id of %s", name, other)
		}
		seen[id] = name
	}
	f("user", func(i *Identity) { i.User = 2 })
	f("route", func(i *Identity) { i.Route = OpDeduct })
	f("scope", func(i *Identity) { i.Scope = ScopeSaleMove })
	f("SKU", func(i *Identity) { i.Cell.SKU = 2 })
	f("pool", func(i *Identity) { i.Cell.Pool = 1 })
	f("key", func(i *Identity) { i.Key = "b" })
	f("longer key", func(i *Identity) { i.Key = "aa" })
	f("no key", func(i *Identity) { i.Key = "" })
}

// A key is its scope's alone, whatever its text: not two scopes and operations share an id.
func TestScopesAreApart(t *testing.T) {
	t.Parallel()
	seen := map[ReservationID]string{}
	for scope := ScopeShop; scope <= ScopeSaleMove; scope++ {
		for _, op := range []Op{OpReserve, OpConfirm, OpRelease, OpDeduct, OpAdjust} {
			id := Identity{User: 1, Route: op, Cell: Cell{SKU: 1}, Scope: scope, Key: "load"}.ID(64)
			name := fmt.Sprintf("scope %d of %v", scope, op)
			if other, taken := seen[id]; taken {
				t.Errorf("%s has the id of %s", name, other)
			}
			seen[id] = name
		}
	}
}

func TestIDsBeginWithTheirPartition(t *testing.T) {
	t.Parallel()
	for sku := range int64(1000) {
		cell := Cell{SKU: 1 + sku}
		if id := (Identity{User: 1, Route: OpReserve, Cell: cell}).ID(64); id.Partition() != cell.Partition(64) {
			t.Fatalf("id %v of a cell in partition %d", id, cell.Partition(64))
		}
	}
}

func TestTransferIDsMatch(t *testing.T) {
	t.Parallel()
	for sku := range int64(500) {
		from, to := Cell{SKU: 1 + sku}, Cell{SKU: 1 + sku, Pool: 3}
		ids := func(from, to Cell) (out, in ReservationID) {
			return TransferRequest{From: from, To: to, User: 1, Key: "a"}.IDs(8)
		}
		out, in := ids(from, to) // few partitions, so that some cells share one
		if out.Partition() != from.Partition(8) || in.Partition() != to.Partition(8) {
			t.Fatalf("partitions %d and %d", out.Partition(), in.Partition())
		}
		last := ReservationBytes - 1
		if out == in || out[last]|1 != in[last] || !bytes.Equal(out[2:last], in[2:last]) {
			t.Fatalf("halves %v and %v do not match", out, in)
		}
		if back, _ := ids(to, from); bytes.Equal(back[2:], out[2:]) {
			t.Fatalf("the way back has the id %v of the way there", back)
		}
		from.Bucket++
		if _, other := ids(from, to); other == in {
			t.Fatalf("units from two buckets arrive under one id %v", in)
		}
	}
}

func TestParseReservationID(t *testing.T) {
	t.Parallel()
	id := Identity{User: 1, Route: OpReserve, Cell: Cell{SKU: 1}, Key: "a"}.ID(64)
	if got, err := ParseReservationID(id.String()); err != nil || got != id {
		t.Errorf("read %v, error %v, want %v", got, err, id)
	}
	for _, text := range []string{
		"", "0", strings.Repeat("0", 31), strings.Repeat("0", 33), strings.Repeat("A", 32), strings.Repeat("g", 32),
		strings.Repeat("0", 31) + "\n", "{" + strings.Repeat("0", 31), strings.Repeat("ä", 16), " " + strings.Repeat("0", 31),
	} {
		if _, err := ParseReservationID(text); !errors.Is(err, ErrReservationID) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func FuzzParseReservationID(f *testing.F) {
	f.Add(strings.Repeat("0a", 16))
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseReservationID(text)
		if err == nil && id.String() != text {
			t.Errorf("%q is read as %v", text, id)
		}
	})
}

func TestStateAt(t *testing.T) {
	t.Parallel()
	f := func(s State, nowMS int64, want State) {
		t.Helper()
		if got := (Reservation{State: s, DeadlineMS: 100}).StateAt(nowMS); got != want {
			t.Errorf("%v at %d is %v, want %v", s, nowMS, got, want)
		}
	}
	f(StateHeld, 99, StateHeld)
	f(StateHeld, 100, StateExpired)
	f(StateConfirmed, 100, StateConfirmed)
	f(StateReleased, 100, StateReleased)
	f(StateNone, 100, StateNone)
}
