package stock

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrTransferRefused tells that a transfer moved nothing. It can be tried again when its reason,
	// which the error tells, is gone.
	ErrTransferRefused = errors.New("transfer refused")
	// ErrTransferMismatch tells that a transfer is refused because its key was used for another number
	// of units.
	ErrTransferMismatch = fmt.Errorf("%w: %v", ErrTransferRefused, VerdictMismatch)
	// ErrInTransit tells that units have left one cell and not arrived in the other. The same
	// transfer has to be repeated until they have.
	ErrInTransit = errors.New("units in transit")
)

// TransferRequest is a transfer of units of avail between two cells of one SKU.
type TransferRequest struct {
	From, To Cell
	Units    int64 // 1 to UnitsMax
	User     int64 // who asks; 0 is a service
	Key      string
	Reason   string // plain text, 1 to ReasonMax bytes
}

// Transfer takes units out of one cell and then brings them into the other, which must exist. A
// crash or an error between the two leaves units in transit, and never doubles them: repeated with
// the same user, cells and key within the retention of reservations, it goes on where it stopped. A
// request that was done already does nothing, and is replayed. Another number of units under the same key
// is refused.
func Transfer(ctx context.Context, s Store, t TransferRequest) (replayed bool, err error) {
	if t.From.SKU != t.To.SKU || t.From == t.To || t.Units < 1 || t.Units > UnitsMax {
		return false, fmt.Errorf("%w: transfer of %d units from %v to %v", ErrProtocol, t.Units, t.From, t.To)
	}
	out, in := TransferIDs(t.User, t.From, t.To, t.Key, s.Partitions())
	if err := t.mayLeave(ctx, s, out); err != nil {
		return false, err
	}
	verdict, err := t.half(ctx, s, out, t.From, AdjustTransferOut, -t.Units)
	if err != nil {
		return false, fmt.Errorf("take %d units out of %v: %w", t.Units, t.From, err)
	}
	if verdict == VerdictMismatch {
		return false, fmt.Errorf("%d units out of %v: %w", t.Units, t.From, ErrTransferMismatch)
	}
	if verdict != VerdictOK && verdict != VerdictReplayed {
		return false, fmt.Errorf("%w: %d units out of %v: %v", ErrTransferRefused, t.Units, t.From, verdict)
	}
	verdict, err = t.half(ctx, s, in, t.To, AdjustTransferIn, t.Units)
	if err != nil {
		return false, fmt.Errorf("%w: bring %d units into %v: %w", ErrInTransit, t.Units, t.To, err)
	}
	if verdict != VerdictOK && verdict != VerdictReplayed {
		return false, fmt.Errorf("%w: %d units into %v: %v", ErrInTransit, t.Units, t.To, verdict)
	}
	return verdict == VerdictReplayed, nil
}

// mayLeave refuses a transfer whose units could not arrive, unless they have left already.
func (t TransferRequest) mayLeave(ctx context.Context, s Store, out ReservationID) error {
	found, _, err := s.Reservations(ctx, []ReservationID{out})
	if err != nil {
		return fmt.Errorf("read transfer: %w", err)
	}
	if found[0].State != StateNone {
		return nil
	}
	states, _, err := s.Cells(ctx, []Cell{t.To})
	if err != nil {
		return fmt.Errorf("read %v: %w", t.To, err)
	}
	to := states[0]
	if verdict := to.Adjust(&Adjustment{Kind: AdjustTransferIn, Delta: t.Units}); verdict != VerdictOK {
		return fmt.Errorf("%w: %d units into %v: %v", ErrTransferRefused, t.Units, t.To, verdict)
	}
	if !to.HasRoom(t.Units) {
		return fmt.Errorf("%w: %v would have more than %d units", ErrTransferRefused, t.To, UnitsMax)
	}
	return nil
}

func (t TransferRequest) half(
	ctx context.Context, s Store, id ReservationID, cell Cell, kind AdjustKind, delta int64,
) (Verdict, error) {
	v := Vector{Op: OpAdjust, Partition: id.Partition(), Requests: []Request{{
		ID:          id,
		Cell:        cell,
		User:        t.User,
		Fingerprint: FingerprintOf(int64(kind), delta),
		Adjustment:  &Adjustment{Kind: kind, Delta: delta, Reason: t.Reason},
	}}}
	s.Do(ctx, &v)
	if v.Err != nil {
		return 0, v.Err
	}
	return v.Outcomes[0].Verdict, nil
}
