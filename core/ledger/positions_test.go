package ledger_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ledger"
	"sluice/core/stock"
)

var errEnough = errors.New("enough")

// TestMarksComeFromTheirTables has a cell in each table, letters of each kind, and a reader that stops.
func TestMarksComeFromTheirTables(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.cell(1, 0, 0, 5) // at 1.7
	b.cell(2, 7, 1, 5)
	for n, reason := range ledger.Reasons { // of SKU 5, at 1.n
		b.letter(n, reason, nil, []byte{})
	}
	resolved, whole := b.letter(77, ledger.ReasonRefused, nil, []byte{}), b.letter(78, ledger.ReasonMalformed, nil, []byte{})
	b.exec("UPDATE dead_letters SET resolved_at = NOW() WHERE letter_id = ?", resolved[:])
	b.exec("UPDATE dead_letters SET sku_id = NULL, pool = NULL, bucket = NULL, epoch = NULL, seq = NULL WHERE letter_id = ?", whole[:])

	type event struct {
		Cell     stock.Cell
		Position stock.Position
	}
	at := func(sku int64, pool uint32, bucket uint16, seq uint64) event {
		return event{stock.Cell{SKU: sku, Pool: pool, Bucket: bucket}, stock.Position{Epoch: 1, Seq: seq}}
	}
	var letters, forks []event
	for n, reason := range ledger.Reasons {
		if reason == ledger.ReasonFork {
			forks = append(forks, at(5, 0, 0, uint64(n)))
		} else {
			letters = append(letters, at(5, 0, 0, uint64(n)))
		}
	}
	for name, c := range map[string]struct {
		read func(context.Context, func(stock.Cell, stock.Position) error) error
		want []event
	}{
		"stock":   {b.StockPositions, []event{at(1, 0, 0, 7), at(2, 7, 1, 7)}},
		"letters": {b.LetterPositions, letters},
		"forks":   {b.ForkPositions, forks},
	} {
		var found []event
		err := c.read(t.Context(), func(cell stock.Cell, position stock.Position) error {
			found = append(found, event{cell, position})
			return nil
		})
		slices.SortFunc(found, func(a, b event) int { return int(a.Cell.SKU-b.Cell.SKU) + int(a.Position.Seq) - int(b.Position.Seq) })
		if diff := cmp.Diff(c.want, found); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		calls := 0
		err = c.read(t.Context(), func(stock.Cell, stock.Position) error {
			calls++
			return errEnough
		})
		if err != errEnough || calls != 1 { //nolint:errorlint // it is returned as it is
			t.Errorf("%s: stopped with %v after %d, want %v after 1", name, err, calls, errEnough)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.StockPositions(ended, nil); !errors.Is(err, context.Canceled) || err.Error() == context.Canceled.Error() {
		t.Errorf("without a database: %v, want an error that says what was read", err)
	}
}

// TestAppliedMarks has cells whose mark is where the stock is, behind it, in another epoch, and missing.
func TestAppliedMarks(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	cells := make([]stock.Cell, 6)
	for i := range cells {
		cells[i] = stock.Cell{SKU: int64(1 + i/3), Pool: uint32(i / 2 % 2), Bucket: uint16(i % 3)}
		b.cell(cells[i].SKU, cells[i].Pool, cells[i].Bucket, 5) // at 1.7
	}
	slices.SortFunc(cells, func(a, b stock.Cell) int {
		return int(a.SKU-b.SKU)*100 + (int(a.Pool)-int(b.Pool))*10 + int(a.Bucket) - int(b.Bucket)
	})
	marks := map[stock.Cell]stock.Position{cells[0]: {Epoch: 1, Seq: 7}, cells[1]: {Epoch: 1, Seq: 6}, cells[2]: {Epoch: 2, Seq: 7}, cells[5]: {Epoch: 1, Seq: 7}}
	for c, m := range marks {
		b.exec("INSERT INTO applied_marks (sku_id, pool, bucket, epoch, seq) VALUES (?, ?, ?, ?, ?)", c.SKU, c.Pool, c.Bucket, m.Epoch, m.Seq)
	}
	got, err := b.AppliedMarks(t.Context(), cells[:5])
	delete(marks, cells[5])
	if err != nil || !maps.Equal(got, marks) {
		t.Errorf("marks are %v, %v, want %v", got, err, marks)
	}
	var behind []stock.Cell
	for after := (stock.Cell{}); ; {
		found, err := b.Behind(t.Context(), after, 2)
		if err != nil || len(found) > 2 {
			t.Fatal(found, err)
		}
		behind = append(behind, found...)
		if len(found) < 2 {
			break
		}
		after = found[1]
	}
	if !slices.Equal(behind, cells[1:5]) {
		t.Errorf("behind are %v, want %v", behind, cells[1:5])
	}
	if none, err := b.AppliedMarks(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("of no cells: %v, %v", none, err)
	}
}

// TestHeldBack has dead letters of two cells. One is resolved.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	b := newBooks(t)
	b.letter(1, ledger.ReasonFork, nil, []byte{}) // of SKU 5
	b.letter(2, ledger.ReasonRefused, nil, []byte{})
	other := b.letter(3, ledger.ReasonRefused, nil, []byte{})
	b.exec("UPDATE dead_letters SET sku_id = 6, resolved_at = NOW() WHERE letter_id = ?", other[:])
	asked := []stock.Cell{{SKU: 5}, {SKU: 5, Pool: 1}, {SKU: 6}}
	if held, err := b.HeldBack(t.Context(), asked); err != nil || !slices.Equal(held, asked[:1]) {
		t.Errorf("held back are %v, %v, want %v", held, err, asked[:1])
	}
	if held, err := b.HeldBack(t.Context(), asked[1:]); err != nil || len(held) != 0 {
		t.Errorf("held back are %v, %v, want none", held, err)
	}
	if held, err := b.HeldBack(t.Context(), nil); err != nil || len(held) != 0 {
		t.Errorf("of no cells: %v, %v", held, err)
	}
}
