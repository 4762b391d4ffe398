package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"sluice/core/operate/stockfile"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
)

// failing fails some calls, after or instead of executing them.
type failing struct {
	stock.Store
	fail func(call int) (err error, executed bool)
	call int
}

func (f *failing) Do(ctx context.Context, vectors ...*stock.Vector) {
	f.call++
	err, executed := f.fail(f.call)
	if err == nil || executed {
		f.Store.Do(ctx, vectors...)
	}
	for _, v := range vectors {
		if err != nil {
			v.Err = err
		}
	}
}

// newLoader makes a loader that keeps what it tells of in faults.
func newLoader(store stock.Store, faults *[]Fault) *Loader {
	return &Loader{
		Store:    store,
		Reopen:   func(context.Context) ([]int, error) { return nil, nil },
		Fault:    func(f *Fault) { *faults = append(*faults, *f) },
		Progress: func(int64) {},
	}
}

func linesOf(t *testing.T, file string) *stockfile.Reader {
	t.Helper()
	lines, err := stockfile.NewReader(strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// manyLines is a file of more than two batches, with a wrong line in each.
func manyLines() (file string, right int64) {
	var b strings.Builder
	b.WriteString("sku_id,quantity\n")
	for i := int64(1); i <= 2*batchLines+100; i++ {
		if i%1000 == 0 {
			fmt.Fprintf(&b, "%d,-1\n", i)
			continue
		}
		fmt.Fprintf(&b, "%d,2\n", i)
		right++
	}
	return b.String(), right
}

func TestLoadSurvivesFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file, right := manyLines()
		wrong := int64(8)
		store := memstock.New(64, func() int64 { return 1 })
		var faults []Fault
		reopened := 0
		l := newLoader(&failing{Store: store, fail: func(call int) (error, bool) {
			switch call {
			case 1:
				return stock.ErrUnknown, true // executed, and the answer lost
			case 2:
				return stock.ErrNotApplied, false
			case 4:
				return stock.ErrShut, false
			}
			return nil, true
		}}, &faults)
		l.Reopen = func(context.Context) ([]int, error) { reopened++; return nil, nil }
		got, err := l.Load(t.Context(), linesOf(t, file))
		want := Result{Lines: right + wrong, Loaded: right, Wrong: wrong, Units: 2 * right}
		if diff := cmp.Diff(want, got); err != nil || diff != "" || int64(len(faults)) != wrong || reopened != 1 {
			t.Errorf("%v, %d faults, reopened %d times; -want +got\n%s", err, len(faults), reopened, diff)
		}

		got, err = newLoader(store, &faults).Load(t.Context(), linesOf(t, file))
		want = Result{Lines: right + wrong, Already: right, Wrong: wrong}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("loaded again: %v, -want +got\n%s", err, diff)
		}
	})
}

// A SKU that closed before it is loaded would never sell. Redis' clock tells, and one that is loaded stays so.
func TestLoadRefusesAClosingThatHasPassed(t *testing.T) {
	t.Parallel()
	const now = 1_800_000_000_000 // 2027-01-15T08:00:00Z
	var nowMS atomic.Int64
	nowMS.Store(now - 1)
	store := memstock.New(64, nowMS.Load)
	load := func(file string, dryRun bool) (Result, []Fault) {
		t.Helper()
		var faults []Fault
		l := newLoader(store, &faults)
		l.DryRun = dryRun
		got, err := l.Load(t.Context(), linesOf(t, file))
		if err != nil {
			t.Fatal(err)
		}
		return got, faults
	}
	const file = "sku_id,closes_at,quantity\n1,2027-01-15T08:00:00Z,5\n2,,5\n3,2027-01-15T08:00:01Z,5\n"
	const first = "sku_id,closes_at,quantity\n1,2027-01-15T08:00:00Z,5\n"
	if got, faults := load(first, false); got.Loaded != 1 || len(faults) > 0 {
		t.Fatalf("before it closes: %+v, %+v", got, faults)
	}
	nowMS.Store(now)
	if got, faults := load(first, false); got.Already != 1 || len(faults) > 0 {
		t.Errorf("again after it closed: %+v, %+v", got, faults)
	}
	nowMS.Store(now + 1000)
	const want = `column 2, closes_at "2027-01-15T08:00:01Z": it has passed: give a time to come, or none`
	for _, dryRun := range []bool{true, false} {
		if got, faults := load(file, dryRun); got.Wrong != 1 || got.Loaded != 1 || got.Already+got.Exist != 1 ||
			len(faults) != 1 || faults[0].Why != WhyOver || faults[0].Number != 4 || faults[0].Err.Error() != want {
			t.Errorf("dry run %v: %+v, %+v", dryRun, got, faults)
		}
	}
	_, faults := load(`{"sku_id":"4","quantity":5,"closes_at":"2027-01-15T08:00:01Z"}`, false)
	if len(faults) != 1 || faults[0].Number != 1 || !strings.HasPrefix(faults[0].Err.Error(), `closes_at "2027`) {
		t.Errorf("JSON: %+v", faults)
	}
	states, _, err := store.Cells(t.Context(), []stock.Cell{{SKU: 3}, {SKU: 4}})
	if err != nil || states[0].Loaded || states[1].Loaded {
		t.Errorf("they are loaded: %+v, %v", states, err)
	}
}

// halfAway is a store whose odd partitions take nothing at first.
type halfAway struct {
	stock.Store
	calls, refused, decided int
}

func (h *halfAway) Do(ctx context.Context, vectors ...*stock.Vector) {
	h.calls++
	for _, v := range vectors {
		if v.Partition%2 == 1 && h.calls <= 2 {
			v.Err = stock.ErrNotApplied
			h.refused += len(v.Requests)
			continue
		}
		h.decided += len(v.Requests)
		h.Store.Do(ctx, v)
	}
}

// A second try repeats only the undecided lines, and does not count the others again.
func TestLoadTriesAgainWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var faults []Fault
		store := &halfAway{Store: memstock.New(64, func() int64 { return 1 })}
		got, err := newLoader(store, &faults).Load(t.Context(), linesOf(t, "sku_id,quantity\n1,2\n2,2\n3,2\n4,2\n5,2\n6,2\n7,2\n8,2\n"))
		if diff := cmp.Diff(Result{Lines: 8, Loaded: 8, Units: 16}, got); err != nil || diff != "" || store.decided != 8 || store.refused == 0 {
			t.Errorf("%v, %d lines decided, %d refused; -want +got\n%s", err, store.decided, store.refused, diff)
		}
	})
}

func TestLoadGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var faults []Fault
		for _, cause := range []error{stock.ErrUnknown, stock.ErrNotApplied, stock.ErrProtocol} {
			store := &failing{Store: memstock.New(64, func() int64 { return 1 }), fail: func(int) (error, bool) { return cause, false }}
			got, err := newLoader(store, &faults).Load(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n"))
			if !errors.Is(err, cause) || !strings.Contains(fmt.Sprint(err), "line 2") || got.Loaded != 0 {
				t.Errorf("%v: %+v, %v", cause, got, err)
			}
			if (store.call == 1) != errors.Is(cause, stock.ErrProtocol) || store.call > tries {
				t.Errorf("%v: %d tries", cause, store.call)
			}
		}
	})
}

func TestLoadIsInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		file, _ := manyLines()
		var faults []Fault
		store := &failing{Store: memstock.New(64, func() int64 { return 1 }), fail: func(int) (error, bool) {
			cancel()
			return stock.ErrNotApplied, false
		}}
		if _, err := newLoader(store, &faults).Load(ctx, linesOf(t, file)); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// A load whose input comes from a pipe ends with its context, also while it waits for the next line.
func TestLoadDoesNotWaitForItsInput(t *testing.T) {
	t.Parallel()
	input, typed := io.Pipe()
	t.Cleanup(func() { _ = typed.Close() })
	go func() { _, _ = io.WriteString(typed, "sku_id,quantity\n") }()
	lines, err := stockfile.NewReader(input)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var faults []Fault
	if _, err := newLoader(memstock.New(1, func() int64 { return 1 }), &faults).Load(ctx, lines); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLoadTellsOfVerdicts(t *testing.T) {
	t.Parallel()
	nowMS := int64(1)
	store := memstock.New(64, func() int64 { return nowMS })
	var faults []Fault
	load := func(file string) Result {
		t.Helper()
		got, err := newLoader(store, &faults).Load(t.Context(), linesOf(t, file))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	load("sku_id,quantity\n1,1\n")
	nowMS += 2 * store.Retention.Milliseconds() // after which nobody remembers how SKU 1 was loaded
	for p := range 64 {
		if _, err := store.Forget(t.Context(), p, 100); err != nil {
			t.Fatal(err)
		}
	}
	got := load("sku_id,quantity\n1,2\n3,1\n3,1\n3,2\n")
	want := Result{Lines: 4, Loaded: 1, Already: 1, Exist: 1, Wrong: 1, Units: 1}
	if diff := cmp.Diff(want, got); diff != "" || len(faults) != 1 || faults[0] != (Fault{Number: 5, Why: WhyOther, SKU: 3}) {
		t.Errorf("faults %+v, -want +got\n%s", faults, diff)
	}
}

// A dry run foresees what a load does, but for the values of SKUs that exist.
func TestDryRunForesees(t *testing.T) {
	t.Parallel()
	store := memstock.New(64, func() int64 { return 1 })
	var faults []Fault
	if _, err := newLoader(store, &faults).Load(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n")); err != nil {
		t.Fatal(err)
	}
	l := newLoader(store, &faults)
	l.DryRun = true
	got, err := l.Load(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n3,1\n3,1\n3,2\n-3,1\n1,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Result{Lines: 6, Loaded: 1, Already: 1, Exist: 2, Wrong: 2, Units: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	slices.SortFunc(faults, func(a, b Fault) int { return a.Number - b.Number })
	if len(faults) != 2 || faults[0] != (Fault{Number: 5, Why: WhyOther, SKU: 3}) || faults[1].Number != 6 || faults[1].Why != WhyUnreadable {
		t.Errorf("faults %+v, want line 5, of another quantity, and line 6, which names no SKU", faults)
	}
}

// Lines of a partition that is shut are left out, each with its partition, and the others are loaded. A line that the store
// refuses is told of with its verdict.
func TestLoadGoesOnBesideWhatIsShut(t *testing.T) {
	t.Parallel()
	for _, dryRun := range []bool{true, false} {
		var faults []Fault
		store := memstock.New(64, func() int64 { return 1 })
		l := newLoader(store, &faults)
		partition := stock.Cell{SKU: 2}.Partition(64)
		l.DryRun, l.Shut = dryRun, []int{partition}
		got, err := l.Load(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n2,1\n"))
		want := Result{Lines: 2, Loaded: 1, Shut: 1, Units: 1}
		if diff := cmp.Diff(want, got); err != nil || diff != "" || len(faults) != 1 || faults[0] != (Fault{Number: 3, Why: WhyShut, SKU: 2, Partition: partition}) {
			t.Errorf("dry run %v: %v, faults %+v, -want +got\n%s", dryRun, err, faults, diff)
		}
	}
}

func TestLoadTellsOfRefusals(t *testing.T) {
	t.Parallel()
	var faults []Fault
	got, err := newLoader(refusing{memstock.New(1, func() int64 { return 1 })}, &faults).Load(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n"))
	if err != nil || got.Wrong != 1 || len(faults) != 1 || faults[0] != (Fault{Number: 2, Why: WhyRefused, SKU: 1, Verdict: stock.VerdictBackpressure}) {
		t.Errorf("%+v, %v, faults %+v", got, err, faults)
	}
}

// refusing is a store whose outbox is full.
type refusing struct{ stock.Store }

func (refusing) Do(_ context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		v.Outcomes = make([]stock.Outcome, len(v.Requests))
		for i := range v.Outcomes {
			v.Outcomes[i].Verdict = stock.VerdictBackpressure
		}
	}
}
