package stock

import (
	"fmt"
	"iter"
	"slices"

	"sluice/core/text"
)

// Check fails for a vector that no store may execute. That is a bug of the caller, never a refusal. The error wraps
// ErrProtocol.
func (v *Vector) Check(partitions int) error {
	if v.Partition < 0 || v.Partition >= partitions {
		return fmt.Errorf("%w: partition %d of %d", ErrProtocol, v.Partition, partitions)
	}
	if len(v.Requests) == 0 || len(v.Requests) > VectorMax {
		return fmt.Errorf("%w: %d requests in a vector, want 1 to %d", ErrProtocol, len(v.Requests), VectorMax)
	}
	for i := range v.Requests {
		if fault := v.Requests[i].fault(v.Op, v.Partition, partitions); fault != "" {
			return fmt.Errorf("%w: request %d of %s: %s", ErrProtocol, i, v.Op, fault)
		}
	}
	if v.Op == OpGather || v.Op == OpVoid {
		return v.checkParts()
	}
	return nil
}

// checkParts checks that each part has each cell once, and is at home where its first line is the smallest of the basket.
func (v *Vector) checkParts() error {
	for part := range Parts(v.Requests) {
		home := part[0].Part.Home
		if home != nil && (len(home.Lines) < len(part) || home.ID() != part[0].ID) {
			return fmt.Errorf("%w: part of a basket that is not its own", ErrProtocol)
		}
		for i := range part {
			if slices.ContainsFunc(part[:i], func(r Request) bool { return r.Cell == part[i].Cell }) {
				return fmt.Errorf("%w: two lines of one cell", ErrProtocol)
			}
		}
	}
	return nil
}

// Parts yields the requests of each part of a vector of gather or void.
func Parts(requests []Request) iter.Seq[[]Request] {
	return func(yield func([]Request) bool) {
		for from := 0; from < len(requests); {
			to := from + 1
			for to < len(requests) && requests[to].Part == requests[from].Part {
				to++
			}
			if !yield(requests[from:to:to]) {
				return
			}
			from = to
		}
	}
}

// Check fails for a request that Vector.Check would refuse its vector for.
func (r *Request) Check(op Op, partitions int) error {
	if fault := r.fault(op, r.ID.Partition(), partitions); fault != "" {
		return fmt.Errorf("%w: %s: %s", ErrProtocol, op, fault)
	}
	if r.ID.Partition() >= partitions {
		return fmt.Errorf("%w: partition %d of %d", ErrProtocol, r.ID.Partition(), partitions)
	}
	return nil
}

func (r *Request) fault(op Op, partition, partitions int) string {
	if r.ID.Partition() != partition {
		return "id of another partition"
	}
	if r.User < 0 {
		return "negative user"
	}
	switch op {
	case OpConfirm:
		return ""
	case OpExtend:
		if r.DeadlineMS < 1 || r.DeadlineMS > TimeMaxMS {
			return "deadline out of range"
		}
		return ""
	case OpDecide:
		return r.decideFault()
	case OpReserve, OpRelease, OpDeduct, OpAdjust, OpReturn, OpGather, OpVoid:
	}
	if r.Cell.SKU < 1 {
		return "no SKU"
	}
	if r.Cell.Partition(partitions) != partition {
		return "cell of another partition"
	}
	switch op {
	case OpReserve, OpDeduct:
		return r.takeFault()
	case OpGather, OpVoid:
		if r.Part == nil {
			return "no basket"
		}
		return r.takeFault()
	case OpRelease:
		return ""
	case OpAdjust:
		if r.Adjustment == nil {
			return "no adjustment"
		}
		return r.Adjustment.fault()
	case OpReturn:
		if text.Check(r.Reason, ReasonMax) != nil {
			return "reason missing, too long or not plain text"
		}
		return r.takeFault()
	case OpConfirm, OpExtend, OpDecide: // above
	}
	return "unknown operation"
}

func (r *Request) decideFault() string {
	switch p := r.Part; {
	case p == nil || p.Home == nil || p.Home.ID() != r.ID:
		return "no basket"
	case p.To != BasketHeld && (p.To != BasketRefusing || !p.Refusal.Refused()):
		return "no decision on a basket"
	}
	return ""
}

func (r *Request) takeFault() string {
	switch {
	case r.User == 0:
		return "no user"
	case r.Quantity < 1 || r.Quantity > QuantityMax:
		return "quantity out of range"
	case r.Fence.Seq > SeqMax:
		return "fence out of range"
	}
	return ""
}

func (a *Adjustment) fault() string {
	set := a.Fields
	if a.Create {
		set = ^Fields(0)
	}
	s := &a.Settings
	switch {
	case a.Kind != AdjustPlain && a.Kind != AdjustTransferOut && a.Kind != AdjustTransferIn:
		return "unknown kind of adjustment"
	case a.Delta < -UnitsMax || a.Delta > UnitsMax || a.Create && a.Delta < 0:
		return "delta out of range"
	case text.Check(a.Reason, ReasonMax) != nil:
		return "reason missing, too long or not plain text"
	case set&FieldLimit != 0 && (s.Limit < 0 || s.Limit > QuantityMax):
		return "limit out of range"
	case set&FieldOpensAt != 0 && (s.OpensAtMS < 0 || s.OpensAtMS > TimeMaxMS):
		return "opening out of range"
	case set&FieldClosesAt != 0 && (s.ClosesAtMS < 0 || s.ClosesAtMS > TimeMaxMS):
		return "closing out of range"
	case set&FieldHold != 0 && !HoldFits(s.Hold):
		return "hold time out of range"
	case set&FieldExtendMax != 0 && s.ExtendMax != 0 && !HoldFits(s.ExtendMax):
		return "bound of extensions out of range"
	case set&FieldAck != 0 && s.Ack > AckLog:
		return "unknown acknowledge level"
	}
	return ""
}
