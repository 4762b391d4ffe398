package command

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
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/cli/command/stockfile"
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

func newLoading(store stock.Store, faults *[]string) *loading {
	return &loading{
		store:    store,
		reopen:   func(context.Context) ([]int, error) { return nil, nil },
		progress: &progress{c: &Console{Err: io.Discard}, done: func() int64 { return 0 }, now: time.Now},
		fault:    func(err error) { *faults = append(*faults, err.Error()) },
	}
}

var withoutFaults = cmpopts.IgnoreFields(loaded{}, "Faults")

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
		var faults []string
		reopened := 0
		l := newLoading(&failing{Store: store, fail: func(call int) (error, bool) {
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
		l.reopen = func(context.Context) ([]int, error) { reopened++; return nil, nil }
		got, err := l.run(t.Context(), linesOf(t, file))
		want := &loaded{Lines: right + wrong, Loaded: right, Wrong: wrong, Units: 2 * right}
		if diff := cmp.Diff(want, got, withoutFaults); err != nil || diff != "" || int64(len(faults)) != wrong || reopened != 1 {
			t.Errorf("%v, %d faults, reopened %d times; -want +got\n%s", err, len(faults), reopened, diff)
		}

		got, err = newLoading(store, &faults).run(t.Context(), linesOf(t, file))
		want = &loaded{Lines: right + wrong, Already: right, Wrong: wrong}
		if diff := cmp.Diff(want, got, withoutFaults); err != nil || diff != "" {
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
	load := func(file string, dryRun bool) (*loaded, []string) {
		t.Helper()
		var faults []string
		l := newLoading(store, &faults)
		l.dryRun = dryRun
		got, err := l.run(t.Context(), linesOf(t, file))
		if err != nil {
			t.Fatal(err)
		}
		return got, faults
	}
	const file = "sku_id,closes_at,quantity\n1,2027-01-15T08:00:00Z,5\n2,,5\n3,2027-01-15T08:00:01Z,5\n"
	const first = "sku_id,closes_at,quantity\n1,2027-01-15T08:00:00Z,5\n"
	if got, faults := load(first, false); got.Loaded != 1 || len(faults) > 0 {
		t.Fatalf("before it closes: %+v, %q", got, faults)
	}
	nowMS.Store(now)
	if got, faults := load(first, false); got.Already != 1 || len(faults) > 0 {
		t.Errorf("again after it closed: %+v, %q", got, faults)
	}
	nowMS.Store(now + 1000)
	const want = `line 4: column 2, closes_at "2027-01-15T08:00:01Z": it has passed: give a time to come, or none`
	for _, dryRun := range []bool{true, false} {
		if got, faults := load(file, dryRun); got.Wrong != 1 || got.Loaded != 1 || got.Already+got.Exist != 1 || !slices.Equal(faults, []string{want}) {
			t.Errorf("dry run %v: %+v, %q", dryRun, got, faults)
		}
	}
	_, faults := load(`{"sku_id":"4","quantity":5,"closes_at":"2027-01-15T08:00:01Z"}`, false)
	if len(faults) != 1 || !strings.Contains(faults[0], `line 1: closes_at "2027`) {
		t.Errorf("JSON: %q", faults)
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

// What was decided is neither decided nor counted again with what was not.
func TestLoadTriesAgainWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var faults []string
		store := &halfAway{Store: memstock.New(64, func() int64 { return 1 })}
		got, err := newLoading(store, &faults).run(t.Context(), linesOf(t, "sku_id,quantity\n1,2\n2,2\n3,2\n4,2\n5,2\n6,2\n7,2\n8,2\n"))
		if diff := cmp.Diff(&loaded{Lines: 8, Loaded: 8, Units: 16}, got); err != nil || diff != "" || store.decided != 8 || store.refused == 0 {
			t.Errorf("%v, %d lines decided, %d refused; -want +got\n%s", err, store.decided, store.refused, diff)
		}
	})
}

func TestLoadGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var faults []string
		for _, cause := range []error{stock.ErrUnknown, stock.ErrNotApplied, stock.ErrProtocol} {
			store := &failing{Store: memstock.New(64, func() int64 { return 1 }), fail: func(int) (error, bool) { return cause, false }}
			got, err := newLoading(store, &faults).run(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n"))
			if !errors.Is(err, cause) || !strings.Contains(fmt.Sprint(err), "line 2") || got.Loaded != 0 {
				t.Errorf("%v: %+v, %v", cause, got, err)
			}
			if tries := store.call; (tries == 1) != errors.Is(cause, stock.ErrProtocol) || tries > loadTries {
				t.Errorf("%v: %d tries", cause, tries)
			}
		}
	})
}

func TestLoadIsInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		file, _ := manyLines()
		var faults []string
		store := &failing{Store: memstock.New(64, func() int64 { return 1 }), fail: func(int) (error, bool) {
			cancel()
			return stock.ErrNotApplied, false
		}}
		if _, err := newLoading(store, &faults).run(ctx, linesOf(t, file)); ExitCode(err) != ExitInterrupted {
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
	var faults []string
	if _, err := newLoading(memstock.New(1, func() int64 { return 1 }), &faults).run(ctx, lines); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLoadTellsOfVerdicts(t *testing.T) {
	t.Parallel()
	nowMS := int64(1)
	store := memstock.New(64, func() int64 { return nowMS })
	var faults []string
	load := func(file string) *loaded {
		t.Helper()
		got, err := newLoading(store, &faults).run(t.Context(), linesOf(t, file))
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
	want := &loaded{Lines: 4, Loaded: 1, Already: 1, Exist: 1, Wrong: 1, Units: 1}
	if diff := cmp.Diff(want, got, withoutFaults); diff != "" || len(faults) != 1 || !strings.HasPrefix(faults[0], "line 5: SKU 3 was loaded with other values") {
		t.Errorf("faults %q, -want +got\n%s", faults, diff)
	}
}

// A dry run foresees what a load does, but for the values of SKUs that exist.
func TestDryRunForesees(t *testing.T) {
	t.Parallel()
	store := memstock.New(64, func() int64 { return 1 })
	var faults []string
	if _, err := newLoading(store, &faults).run(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n")); err != nil {
		t.Fatal(err)
	}
	l := newLoading(store, &faults)
	l.dryRun = true
	got, err := l.run(t.Context(), linesOf(t, "sku_id,quantity\n1,1\n3,1\n3,1\n3,2\n-3,1\n1,2\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &loaded{Lines: 6, Loaded: 1, Already: 1, Exist: 2, Wrong: 2, Units: 1}
	if diff := cmp.Diff(want, got, withoutFaults); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	var numbers []int
	for _, f := range got.Faults {
		numbers = append(numbers, f.Line)
	}
	if !slices.Contains(numbers, 5) || !slices.Contains(numbers, 6) || len(numbers) != 2 || strings.Contains(got.Faults[0].Error, "line 6") {
		t.Errorf("faults %+v, want one each of lines 5 and 6", got.Faults)
	}
}

func TestResultNamesSomeFaultsOnly(t *testing.T) {
	t.Parallel()
	var faults []string
	got, err := newLoading(memstock.New(64, func() int64 { return 1 }), &faults).
		run(t.Context(), linesOf(t, "sku_id,quantity\n"+strings.Repeat("x,1\n", faultsMax+1)))
	if err != nil || got.Wrong != faultsMax+1 || len(faults) != faultsMax+1 || len(got.Faults) != faultsMax {
		t.Errorf("%v: %d wrong, %d told of, %d named", err, got.Wrong, len(faults), len(got.Faults))
	}
}
