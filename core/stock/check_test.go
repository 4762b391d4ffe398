package stock

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestCheckVector(t *testing.T) {
	t.Parallel()
	const partitions = 4
	cell := Cell{SKU: 1}
	take := Request{
		ID: Identity{User: 1, Route: OpReserve, Cell: cell}.ID(partitions), Cell: cell, User: 1, Quantity: QuantityMax,
		Fence: Position{Epoch: 1<<32 - 1, Seq: SeqMax},
	}
	adjust := Adjustment{
		Kind: AdjustPlain, Create: true, Delta: UnitsMax, Reason: strings.Repeat("r", ReasonMax), Fields: FieldHold,
		Settings: Settings{Limit: QuantityMax, OpensAtMS: TimeMaxMS, ClosesAtMS: TimeMaxMS, Hold: HoldMax, Ack: AckLog},
	}
	f := func(name string, op Op, good bool, change func(*Vector, *Request, *Adjustment)) {
		t.Helper()
		a, r := adjust, take
		if op == OpAdjust {
			r.Adjustment = &a
		}
		v := Vector{Op: op, Partition: cell.Partition(partitions), Requests: []Request{r}}
		if change != nil {
			change(&v, &v.Requests[0], &a)
		}
		err := v.Check(partitions)
		if good != (err == nil) || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	for _, op := range []Op{OpReserve, OpDeduct, OpConfirm, OpRelease, OpAdjust} {
		f(op.String(), op, true, nil)
		f("partition below", op, false, func(v *Vector, _ *Request, _ *Adjustment) { v.Partition = -1 })
		f("partition above", op, false, func(v *Vector, _ *Request, _ *Adjustment) { v.Partition = partitions })
		f("no requests", op, false, func(v *Vector, _ *Request, _ *Adjustment) { v.Requests = nil })
		f("full", op, true, func(v *Vector, r *Request, _ *Adjustment) { v.Requests = repeat(*r, VectorMax) })
		f("over full", op, false, func(v *Vector, r *Request, _ *Adjustment) { v.Requests = repeat(*r, VectorMax+1) })
		f("second request", op, false, func(v *Vector, r *Request, _ *Adjustment) {
			v.Requests = repeat(*r, 2)
			v.Requests[1].User = -1
		})
		f("id elsewhere", op, false, func(_ *Vector, r *Request, _ *Adjustment) { r.ID[1] ^= 1 })
		f("user", op, false, func(_ *Vector, r *Request, _ *Adjustment) { r.User = -1 })
		f("cell elsewhere", op, op == OpConfirm, func(_ *Vector, r *Request, _ *Adjustment) {
			for r.Cell.Partition(partitions) == cell.Partition(partitions) {
				r.Cell.SKU++
			}
		})
		f("no cell", op, op == OpConfirm, func(_ *Vector, r *Request, _ *Adjustment) { r.Cell = Cell{} })
		takes := op == OpReserve || op == OpDeduct
		f("no user", op, !takes, func(_ *Vector, r *Request, _ *Adjustment) { r.User = 0 })
		f("no quantity", op, !takes, func(_ *Vector, r *Request, _ *Adjustment) { r.Quantity = 0 })
		f("quantity", op, !takes, func(_ *Vector, r *Request, _ *Adjustment) { r.Quantity = QuantityMax + 1 })
		f("fence", op, !takes, func(_ *Vector, r *Request, _ *Adjustment) { r.Fence.Seq = SeqMax + 1 })
	}
	f("unknown operation", 4, false, nil)

	g := func(name string, good bool, change func(*Adjustment)) {
		t.Helper()
		f(name, OpAdjust, good, func(_ *Vector, _ *Request, a *Adjustment) { change(a) })
	}
	g("kind", false, func(a *Adjustment) { a.Kind = 5 })
	g("transfer", true, func(a *Adjustment) { a.Kind = AdjustTransferIn })
	g("delta", false, func(a *Adjustment) { a.Delta++ })
	g("create with a negative delta", false, func(a *Adjustment) { a.Delta = -1 })
	g("negative delta", true, func(a *Adjustment) { a.Create, a.Delta = false, -UnitsMax })
	g("too negative delta", false, func(a *Adjustment) { a.Create, a.Delta = false, -UnitsMax-1 })
	g("no reason", false, func(a *Adjustment) { a.Reason = "" })
	g("long reason", false, func(a *Adjustment) { a.Reason += "r" })
	g("a reason that runs backwards", false, func(a *Adjustment) { a.Reason = "a\u202eb" })
	g("a reason of no characters", false, func(a *Adjustment) { a.Reason = "a\xff" })
	g("limit", false, func(a *Adjustment) { a.Settings.Limit++ })
	g("negative limit", false, func(a *Adjustment) { a.Settings.Limit = -1 })
	g("opening", false, func(a *Adjustment) { a.Settings.OpensAtMS++ })
	g("closing", false, func(a *Adjustment) { a.Settings.ClosesAtMS++ })
	g("no hold", false, func(a *Adjustment) { a.Settings.Hold = 0 })
	g("shortest hold", true, func(a *Adjustment) { a.Settings.Hold = time.Millisecond })
	g("long hold", false, func(a *Adjustment) { a.Settings.Hold += time.Millisecond })
	g("odd hold", false, func(a *Adjustment) { a.Settings.Hold = time.Second + 1 })
	g("acknowledge level", false, func(a *Adjustment) { a.Settings.Ack++ })
	g("settings that are not set", true, func(a *Adjustment) {
		a.Create, a.Fields, a.Settings = false, FieldFrozen, Settings{Limit: -1, Hold: -1, Ack: 9}
	})
	f("no adjustment", OpAdjust, false, func(_ *Vector, r *Request, _ *Adjustment) { r.Adjustment = nil })
}

func repeat(r Request, n int) []Request {
	requests := make([]Request, n)
	for i := range requests {
		requests[i] = r
	}
	return requests
}

func TestHoldFits(t *testing.T) {
	t.Parallel()
	for hold, want := range map[time.Duration]bool{
		-time.Millisecond: false, 0: false, time.Millisecond - 1: false, time.Millisecond: true, time.Millisecond + 1: false,
		HoldMax: true, HoldMax + time.Millisecond: false,
	} {
		if HoldFits(hold) != want {
			t.Errorf("a hold time of %v fits: %v", hold, !want)
		}
	}
}
