package reconcile_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

var errAway = errors.New("away")

// closed is a partition that is shut as a whole.
var closed = [][]stock.CellState{}

// pages are the cells of partitions, a page a call; nil: the server is away.
type pages [][][]stock.CellState

// asOfMS is the time on the clock of pages.
const asOfMS = 1_800_000_000_000

func (p pages) Now(context.Context) (int64, error) {
	if p[0] == nil {
		return 0, errAway
	}
	return asOfMS, nil
}

func (p pages) Partitions() int { return len(p) }

func (p pages) ShutCells(_ context.Context, partition int, cursor uint64) (found []stock.CellState, next uint64, err error) {
	if p[partition] == nil {
		return nil, 0, errAway
	}
	if len(p[partition]) == 0 {
		return nil, 0, stock.ErrShut
	}
	if next = cursor + 1; next == uint64(len(p[partition])) {
		next = 0
	}
	return p[partition][cursor], next, nil
}

func fenced(sku int64) stock.CellState {
	return stock.CellState{Cell: stock.Cell{SKU: sku}, Loaded: true, Fenced: true}
}

func breached(sku int64) stock.CellState {
	return stock.CellState{Cell: stock.Cell{SKU: sku}, Loaded: true, Breached: true}
}

func TestFindShut(t *testing.T) {
	t.Parallel()
	store := pages{
		{{fenced(1)}, {}, {fenced(1), breached(2)}}, // a scan may find a cell twice
		{{}},
		{{breached(3)}, {fenced(4)}},
	}
	found, err := reconcile.FindShut(t.Context(), store, 3)
	if err != nil {
		t.Fatal(err)
	}
	var some []int64
	for _, c := range found.Some {
		some = append(some, c.Cell.SKU)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, some); diff != "" || found.Fenced != 2 || found.Breached != 2 || found.Total() != 4 {
		t.Errorf("%d fenced, %d breached: %s", found.Fenced, found.Breached, diff)
	}
	if got := found.Show().AsOf; got != asOfMS {
		t.Errorf("as of %d, want %d", got, asOfMS)
	}
	for _, away := range []pages{{nil}, {{{}}, nil}} {
		if _, err := reconcile.FindShut(t.Context(), away, 3); !errors.Is(err, errAway) {
			t.Errorf("a server is away: %v", err)
		}
	}
	found, err = reconcile.FindShut(t.Context(), pages{closed, {{fenced(5)}}, closed}, 3)
	if err != nil || found.Fenced != 1 || !slices.Equal(found.Partitions, []int{0, 2}) {
		t.Errorf("partitions 0 and 2 are shut as a whole: %+v, %v", found, err)
	}
	if _, err := reconcile.FindShut(t.Context(), pages{closed, closed}, 3); !errors.Is(err, stock.ErrShut) {
		t.Errorf("all are shut: %v", err)
	}
}

// TestShutStepsGoOn breaks off after each step, and goes on from there.
func TestShutStepsGoOn(t *testing.T) {
	t.Parallel()
	store := pages{{{fenced(1)}, {fenced(2)}}, {{}}, {{fenced(3)}}}
	var seen []int64
	var places []reconcile.Place
	for at := (reconcile.Place{}); at.Partition < store.Partitions(); {
		for step, err := range reconcile.ShutSteps(t.Context(), store, at) {
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range step.Found {
				seen = append(seen, c.Cell.SKU)
			}
			at = step.Next
			break
		}
		places = append(places, at)
	}
	if diff := cmp.Diff([]int64{1, 2, 3}, seen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]reconcile.Place{{0, 1}, {1, 0}, {2, 0}, {3, 0}}, places); diff != "" {
		t.Error(diff)
	}
}
