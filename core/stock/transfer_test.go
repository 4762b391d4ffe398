package stock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// flaky fails one of its calls, before or after executing it.
type flaky struct {
	*memstock.Store
	calls   int
	failing int  // number of the call that fails
	after   bool // after it was executed
}

var errFlaky = errors.New("flaky")

func (f *flaky) fails(do func()) bool {
	f.calls++
	if f.calls != f.failing {
		do()
		return false
	}
	if f.after {
		do()
	}
	return true
}

func (f *flaky) Do(ctx context.Context, vectors ...*stock.Vector) {
	if f.fails(func() { f.Store.Do(ctx, vectors...) }) {
		for _, v := range vectors {
			v.Outcomes, v.Err = nil, fmt.Errorf("%w: %w", stock.ErrUnknown, errFlaky)
		}
	}
}

func (f *flaky) Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, now int64, err error) {
	if f.fails(func() { states, now, err = f.Store.Cells(ctx, cells) }) {
		return nil, 0, fmt.Errorf("%w: %w", stock.ErrNotApplied, errFlaky)
	}
	return states, now, err
}

func (f *flaky) Reservations(
	ctx context.Context, ids []stock.ReservationID,
) (found []stock.Reservation, now int64, err error) {
	if f.fails(func() { found, now, err = f.Store.Reservations(ctx, ids) }) {
		return nil, 0, fmt.Errorf("%w: %w", stock.ErrNotApplied, errFlaky)
	}
	return found, now, err
}

// transferable is a store with 10 units in the SKU's normal stock and none in a sale's.
func transferable(t *testing.T) (*memstock.Store, stock.TransferRequest) {
	t.Helper()
	store := memstock.New(4, func() int64 { return 1 })
	move := stock.TransferRequest{
		From: stock.Cell{SKU: 1}, To: stock.Cell{SKU: 1, Pool: 5}, Units: 4, User: 7, Key: "a", Reason: "test",
	}
	create(t, store, move.From, 10)
	create(t, store, move.To, 0)
	return store, move
}

func create(t *testing.T, store stock.Store, cell stock.Cell, units int64) {
	t.Helper()
	d := stock.DoAll(t.Context(), store, stock.OpAdjust, []stock.Request{{
		ID:   stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "create"}.ID(store.Partitions()),
		Cell: cell,
		Adjustment: &stock.Adjustment{
			Kind: stock.AdjustPlain, Create: true, Delta: units, Reason: "test",
			Settings: stock.Settings{Hold: stock.HoldDefault},
		},
	}})[0]
	if d.Err != nil || d.Verdict != stock.VerdictOK {
		t.Fatalf("create: %v, %v", d.Verdict, d.Err)
	}
}

func wantAvail(t *testing.T, store stock.Store, cell stock.Cell, want int64) {
	t.Helper()
	states, _, err := store.Cells(t.Context(), []stock.Cell{cell})
	if err != nil {
		t.Fatal(err)
	}
	if s := states[0]; s.Avail != want || s.Total != want {
		t.Errorf("%v has %+v, want %d", cell, s.Balances, want)
	}
}

func TestTransferMovesUnitsOnce(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	for i := range 3 {
		if replayed, err := stock.Transfer(t.Context(), store, move); err != nil || replayed != (i > 0) {
			t.Fatalf("transfer %d: replayed %v, error %v", i, replayed, err)
		}
		wantAvail(t, store, move.From, 6)
		wantAvail(t, store, move.To, 4)
	}
	back := move
	back.From, back.To = move.To, move.From
	if _, err := stock.Transfer(t.Context(), store, back); err != nil {
		t.Fatal(err)
	}
	wantAvail(t, store, move.From, 10)
	wantAvail(t, store, move.To, 0)
}

func TestTransferGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	const calls = 4 // of a transfer: record of the first half, destination, out, in
	for failing := 1; failing <= calls; failing++ {
		for _, after := range []bool{false, true} {
			store, move := transferable(t)
			broken := &flaky{Store: store, failing: failing, after: after}
			_, err := stock.Transfer(t.Context(), broken, move)
			if !errors.Is(err, errFlaky) || errors.Is(err, stock.ErrTransferRefused) {
				t.Fatalf("call %d: error %v", failing, err)
			}
			if inTransit := failing == calls; errors.Is(err, stock.ErrInTransit) != inTransit {
				t.Errorf("call %d: error %v", failing, err)
			}
			states, _, err := store.Cells(t.Context(), []stock.Cell{move.From, move.To})
			if err != nil || states[0].Total+states[1].Total > 10 {
				t.Errorf("call %d: %d units in one cell and %d in the other, error %v", failing, states[0].Total, states[1].Total, err)
			}
			if _, err := stock.Transfer(t.Context(), store, move); err != nil {
				t.Fatalf("again after call %d: %v", failing, err)
			}
			wantAvail(t, store, move.From, 6)
			wantAvail(t, store, move.To, 4)
		}
	}
	store, move := transferable(t)
	whole := &flaky{Store: store}
	if _, err := stock.Transfer(t.Context(), whole, move); err != nil || whole.calls != calls {
		t.Errorf("%d calls, want %d; error %v", whole.calls, calls, err)
	}
}

func TestTransferRefusedMovesNothing(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(*memstock.Store, *stock.TransferRequest)) {
		t.Helper()
		store, move := transferable(t)
		change(store, &move)
		_, err := stock.Transfer(t.Context(), store, move)
		if !errors.Is(err, stock.ErrTransferRefused) || errors.Is(err, stock.ErrInTransit) {
			t.Errorf("%s: error %v", name, err)
		}
		wantAvail(t, store, stock.Cell{SKU: 1}, 10)
	}
	f("more than there is", func(_ *memstock.Store, m *stock.TransferRequest) { m.Units = 11 })
	f("no source", func(_ *memstock.Store, m *stock.TransferRequest) { m.From.Pool = 9 })
	f("no destination", func(_ *memstock.Store, m *stock.TransferRequest) { m.To.Pool = 9 })
	f("fenced destination", func(s *memstock.Store, m *stock.TransferRequest) {
		s.Edit(m.To, func(c *stock.CellState) { c.Fenced = true })
	})
	f("full destination", func(s *memstock.Store, m *stock.TransferRequest) {
		s.Edit(m.To, func(c *stock.CellState) { c.Avail, c.Total = stock.UnitsMax, stock.UnitsMax })
	})
}

func TestTransferUnderTheKeyOfAnother(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	if _, err := stock.Transfer(t.Context(), store, move); err != nil {
		t.Fatal(err)
	}
	move.Units = 1
	_, err := stock.Transfer(t.Context(), store, move)
	if !errors.Is(err, stock.ErrTransferMismatch) || !errors.Is(err, stock.ErrTransferRefused) {
		t.Errorf("error %v", err)
	}
	wantAvail(t, store, move.To, 4)
}

func TestTransferInTransit(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	broken := &flaky{Store: store, failing: 4}
	if _, err := stock.Transfer(t.Context(), broken, move); !errors.Is(err, stock.ErrInTransit) {
		t.Fatalf("error %v", err)
	}
	wantAvail(t, store, move.From, 6)
	store.Edit(move.To, func(c *stock.CellState) { c.Fenced = true })
	_, err := stock.Transfer(t.Context(), store, move)
	if !errors.Is(err, stock.ErrInTransit) || errors.Is(err, stock.ErrTransferRefused) {
		t.Fatalf("error %v: a refusal would mean that nothing moved", err)
	}
	store.Edit(move.To, func(c *stock.CellState) { c.Fenced = false })
	if _, err := stock.Transfer(t.Context(), store, move); err != nil {
		t.Fatal(err)
	}
	wantAvail(t, store, move.To, 4)
}

func TestTransferThatMakesNoSense(t *testing.T) {
	t.Parallel()
	f := func(name string, change func(*stock.TransferRequest)) {
		t.Helper()
		store, move := transferable(t)
		change(&move)
		if _, err := stock.Transfer(t.Context(), store, move); !errors.Is(err, stock.ErrProtocol) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	f("other SKU", func(m *stock.TransferRequest) { m.To.SKU = 2 })
	f("same cell", func(m *stock.TransferRequest) { m.To = m.From })
	f("no units", func(m *stock.TransferRequest) { m.Units = 0 })
	f("negative units", func(m *stock.TransferRequest) { m.Units = -1 })
	f("too many units", func(m *stock.TransferRequest) { m.Units = stock.UnitsMax + 1 })
	f("no reason", func(m *stock.TransferRequest) { m.Reason = "" })
}

// Transfers that are done together fare as they would alone: what is refused to one does not concern the
// others, and a call that fails in the middle leaves what a repetition brings to its end.
func TestTransfersTogether(t *testing.T) {
	t.Parallel()
	const calls = 4
	for failing := range calls + 1 {
		store, move := transferable(t)
		empty := move
		empty.From.SKU, empty.To.SKU = 2, 2
		create(t, store, empty.From, 0)
		create(t, store, empty.To, 0)
		second := move
		second.From.SKU, second.To.SKU = 3, 3
		create(t, store, second.From, 10)
		create(t, store, second.To, 0)
		nonsense := move
		nonsense.Units = 0
		all := []stock.TransferRequest{nonsense, empty, move, second}

		broken := &flaky{Store: store, failing: failing, after: true}
		results := stock.Transfers(t.Context(), broken, all)
		if failing == 0 && broken.calls != calls {
			t.Errorf("%d calls, want %d for all of them", broken.calls, calls)
		}
		for i, r := range results[2:] {
			if errors.Is(r.Err, errFlaky) != (failing > 0) || errors.Is(r.Err, stock.ErrInTransit) != (failing == calls) {
				t.Errorf("call %d: transfer %d: %v", failing, i, r.Err)
			}
		}
		results = stock.Transfers(t.Context(), store, all)
		if !errors.Is(results[0].Err, stock.ErrProtocol) || !errors.Is(results[1].Err, stock.ErrTransferRefused) ||
			results[2].Err != nil || results[3].Err != nil {
			t.Errorf("again after call %d: %+v", failing, results)
		}
		for _, m := range all[2:] {
			wantAvail(t, store, m.From, 6)
			wantAvail(t, store, m.To, 4)
		}
		wantAvail(t, store, empty.From, 0)
	}
}
