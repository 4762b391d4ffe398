package stock_test

import (
	"errors"
	"testing"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// cutOff does the first half of a transfer, and returns its departure.
func cutOff(t *testing.T, store *memstock.Store, move stock.TransferRequest) stock.Departure {
	t.Helper()
	if _, err := stock.Transfer(t.Context(), &flaky{Store: store, failing: 4}, move); !errors.Is(err, stock.ErrInTransit) {
		t.Fatalf("error %v", err)
	}
	return departed(t, store, move)
}

func departed(t *testing.T, store *memstock.Store, move stock.TransferRequest) stock.Departure {
	t.Helper()
	out, _ := move.IDs(store.Partitions())
	found, _, err := store.Reservations(t.Context(), []stock.ReservationID{out})
	if err != nil || found[0].State != stock.StateAdjusted {
		t.Fatalf("%+v, error %v", found, err)
	}
	return stock.Departure{
		ID: out, From: move.From, Units: move.Units, User: move.User, Fingerprint: found[0].Fingerprint, Reason: move.Reason,
	}
}

// A process that knows the event of the first half of a transfer can finish it. The units arrive once, even if the
// transfer's own caller finishes it too.
func TestTransferIsFinishedByItsDeparture(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	half := cutOff(t, store, move)
	cells := []stock.Cell{{SKU: 1}, {SKU: 1, Bucket: 1}, {SKU: 1, Pool: 4}, {SKU: 2, Pool: 5}, {SKU: 1, Pool: 5, Bucket: 1}, move.To, {SKU: 1, Pool: 6}}
	to, known := half.Destination(cells)
	if to != move.To || !known {
		t.Fatalf("to %v, %v", to, known)
	}
	for range 2 {
		if err := half.Arrive(t.Context(), store, to); err != nil {
			t.Fatal(err)
		}
		wantAvail(t, store, move.To, 4)
	}
	if replayed, err := stock.Transfer(t.Context(), store, move); err != nil || !replayed {
		t.Errorf("replayed %v, error %v", replayed, err)
	}
	wantAvail(t, store, move.From, 6)
	wantAvail(t, store, move.To, 4)
}

func TestDepartureWithoutADestination(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	move.Scope = stock.ScopeSaleMove // earlier versions finish it, so it has the fingerprint that they know
	half := cutOff(t, store, move)
	if to, known := half.Destination([]stock.Cell{move.To}); known {
		t.Errorf("of a sale: %v", to)
	}

	store, move = transferable(t)
	half = cutOff(t, store, move)
	if to, known := half.Destination([]stock.Cell{move.From, {SKU: 1, Pool: 6}}); known {
		t.Errorf("it is not there: %v", to)
	}
	other := half
	other.Units++
	if to, known := other.Destination([]stock.Cell{move.To}); known {
		t.Errorf("of other units: %v", to)
	}

	twins := []stock.Cell{{SKU: 1, Pool: 4005698716}, {SKU: 1, Pool: 1506653717, Bucket: 1}}
	half.Fingerprint = stock.FingerprintOf(int64(stock.AdjustTransferOut), -4, 4005698716, 0)
	for _, cell := range twins {
		if to, known := half.Destination([]stock.Cell{cell, move.To}); to != cell || !known {
			t.Errorf("alone: %v, %v", to, known)
		}
	}
	if to, known := half.Destination(append(twins, move.To)); known || to != (stock.Cell{}) {
		t.Errorf("two look alike, and it went to %v", to)
	}
}

// A transfer that an earlier version of the program has begun goes on, and one of other units under its key is refused.
func TestTransferThatAnEarlierVersionBegan(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	out, _ := move.IDs(store.Partitions())
	begun := stock.DoAll(t.Context(), store, stock.OpAdjust, []stock.Request{{
		ID: out, Cell: move.From, User: move.User, Fingerprint: stock.FingerprintOf(int64(stock.AdjustTransferOut), -move.Units),
		Adjustment: &stock.Adjustment{Kind: stock.AdjustTransferOut, Delta: -move.Units, Reason: move.Reason},
	}})[0]
	if begun.Err != nil || begun.Verdict != stock.VerdictOK {
		t.Fatalf("%+v", begun)
	}
	half := departed(t, store, move)
	if to, known := half.Destination([]stock.Cell{move.To}); known {
		t.Errorf("it does not tell its destination, and is %v", to)
	}
	other := move
	other.Units = 5
	if _, err := stock.Transfer(t.Context(), store, other); !errors.Is(err, stock.ErrTransferMismatch) {
		t.Errorf("other units: %v", err)
	}
	for i := range 2 {
		if replayed, err := stock.Transfer(t.Context(), store, move); err != nil || replayed != (i > 0) {
			t.Fatalf("replayed %v, error %v", replayed, err)
		}
	}
	wantAvail(t, store, move.From, 6)
	wantAvail(t, store, move.To, 4)
}

// Units that their cell does not take stay in transit. The error says that nothing failed.
func TestArrivalRefused(t *testing.T) {
	t.Parallel()
	store, move := transferable(t)
	half := cutOff(t, store, move)
	store.Edit(move.To, func(c *stock.CellState) { c.Fenced = true })
	if err := half.Arrive(t.Context(), store, move.To); !errors.Is(err, stock.ErrArrivalRefused) || !errors.Is(err, stock.ErrInTransit) {
		t.Errorf("error %v", err)
	}
	store.Edit(move.To, func(c *stock.CellState) { c.Fenced = false })
	for _, after := range []bool{false, true} {
		err := half.Arrive(t.Context(), &flaky{Store: store, failing: 1, after: after}, move.To)
		if !errors.Is(err, errFlaky) || !errors.Is(err, stock.ErrInTransit) || errors.Is(err, stock.ErrArrivalRefused) {
			t.Errorf("error %v", err)
		}
	}
	if err := half.Arrive(t.Context(), store, move.To); err != nil {
		t.Error(err)
	}
	wantAvail(t, store, move.To, 4)
}
