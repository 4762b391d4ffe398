package stock

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

var (
	// ErrTransferRefused means that a transfer moved nothing. The error gives the reason. Once that is gone, the
	// transfer can be tried again.
	ErrTransferRefused = errors.New("transfer refused")
	// ErrTransferMismatch means that the key of a transfer was used before for another number of units.
	ErrTransferMismatch = fmt.Errorf("%w: %v", ErrTransferRefused, VerdictMismatch)
	// ErrInTransit means that units have left one cell and not arrived in the other. The caller must repeat the same
	// transfer until they have.
	ErrInTransit = errors.New("units in transit")
	// ErrArrivalRefused is an ErrInTransit: the destination takes no units. The error gives the reason.
	ErrArrivalRefused = fmt.Errorf("%w, because they cannot arrive", ErrInTransit)
)

// TransferRequest is a transfer of units of avail between two cells of one SKU.
type TransferRequest struct {
	From, To Cell
	Units    int64 // 1 to UnitsMax
	User     int64 // who asks; 0 is the program, or a service
	Scope    Scope // of the key
	Key      string
	Reason   string // plain text, 1 to ReasonMax bytes
}

// IDs returns the ids of the two halves of a transfer: out takes the units out of the cell From, and in brings them into
// the cell To. The ids differ only in their partition and in their last bit, so that reconciliation can match them even
// if both cells share a partition. The hashed key contains both cells, because an Identity has no bucket.
func (t TransferRequest) IDs(partitions int) (out, in ReservationID) {
	way := fmt.Sprintf("transfer from %v to %v %s", t.From, t.To, t.Key)
	out = Identity{User: t.User, Route: OpAdjust, Cell: t.From, Scope: t.Scope, Key: way}.ID(partitions)
	out[ReservationBytes-1] &^= 1
	return out, arrivalID(out, t.To, partitions)
}

// Transfer takes units out of one cell and then brings them into the other, which must exist. A crash or an error between
// the two steps leaves units in transit and never doubles them. Repeated with the same user, cells and key within the
// retention of reservations, Transfer goes on where it stopped. If everything was done before, it does nothing and
// reports a replay. It refuses another number of units under the same key.
func Transfer(ctx context.Context, s Store, t TransferRequest) (replayed bool, err error) {
	result := Transfers(ctx, s, []TransferRequest{t})[0]
	return result.Replayed, result.Err
}

// Transferred is the outcome of one transfer.
type Transferred struct {
	Replayed bool // it was done before
	Err      error
}

// Transfers does several transfers, each as Transfer does. It calls the store four times, each time for all of them. A
// transfer that fails does not stop the others.
func Transfers(ctx context.Context, s Store, requests []TransferRequest) []Transferred {
	results := make([]Transferred, len(requests))
	going := make([]*transfer, 0, len(requests))
	for i, r := range requests {
		if r.From.SKU != r.To.SKU || r.From == r.To || r.Units < 1 || r.Units > UnitsMax {
			results[i].Err = fmt.Errorf("%w: transfer of %d units from %v to %v", ErrProtocol, r.Units, r.From, r.To)
			continue
		}
		t := &transfer{TransferRequest: r, departure: r.departureFingerprint(), result: &results[i]}
		t.out, t.in = r.IDs(s.Partitions())
		going = append(going, t)
	}
	for _, step := range []func(context.Context, Store, []*transfer){mayLeave, leave, arrive} {
		if len(going) == 0 {
			break
		}
		step(ctx, s, going)
		going = slices.DeleteFunc(going, func(t *transfer) bool { return t.result.Err != nil })
	}
	return results
}

// transfer is a transfer under way.
type transfer struct {
	TransferRequest
	out, in   ReservationID // its halves
	departure uint32        // fingerprint of the half that takes the units out
	result    *Transferred
}

// mayLeave refuses transfers whose units could not arrive. It lets a transfer pass if its units have left already, even
// by an earlier version of the program.
func mayLeave(ctx context.Context, s Store, going []*transfer) {
	ids := make([]ReservationID, len(going))
	for i, t := range going {
		ids[i] = t.out
	}
	found, _, err := s.Reservations(ctx, ids)
	if err != nil {
		fail(going, fmt.Errorf("read transfer: %w", err))
		return
	}
	var fresh []*transfer
	var cells []Cell
	for i, t := range going {
		if found[i].State == StateNone {
			fresh, cells = append(fresh, t), append(cells, t.To)
		} else if plain := plainFingerprint(t.Units); found[i].Fingerprint == plain {
			t.departure = plain
		}
	}
	if len(fresh) == 0 {
		return
	}
	states, _, err := s.Cells(ctx, cells)
	if err != nil {
		fail(fresh, fmt.Errorf("read where units are to arrive: %w", err))
		return
	}
	for i, t := range fresh {
		to := &states[i]
		if verdict := to.Adjust(&Adjustment{Kind: AdjustTransferIn, Delta: t.Units}); verdict != VerdictOK {
			t.result.Err = fmt.Errorf("%w: %d units into %v: %v", ErrTransferRefused, t.Units, t.To, verdict)
		} else if !to.HasRoom(t.Units) {
			t.result.Err = fmt.Errorf("%w: %v would have more than %d units", ErrTransferRefused, t.To, UnitsMax)
		}
	}
}

func fail(going []*transfer, err error) {
	for _, t := range going {
		t.result.Err = err
	}
}

// leave takes units out of the cells that they are to leave.
func leave(ctx context.Context, s Store, going []*transfer) {
	decisions := halves(ctx, s, going, func(t *transfer) Request {
		return t.half(t.out, t.From, t.departure, AdjustTransferOut, -t.Units)
	})
	for i, t := range going {
		switch d := decisions[i]; {
		case d.Err != nil:
			t.result.Err = fmt.Errorf("take %d units out of %v: %w", t.Units, t.From, d.Err)
		case d.Verdict == VerdictMismatch:
			t.result.Err = fmt.Errorf("%d units out of %v: %w", t.Units, t.From, ErrTransferMismatch)
		case d.Verdict.Refused():
			t.result.Err = fmt.Errorf("%w: %d units out of %v: %v", ErrTransferRefused, t.Units, t.From, d.Verdict)
		}
	}
}

// arrive brings units that have left into the cells that they are to arrive in.
func arrive(ctx context.Context, s Store, going []*transfer) {
	decisions := halves(ctx, s, going, func(t *transfer) Request {
		return t.half(t.in, t.To, FingerprintOf(int64(AdjustTransferIn), t.Units), AdjustTransferIn, t.Units)
	})
	for i, t := range going {
		switch d := decisions[i]; {
		case d.Err != nil:
			t.result.Err = fmt.Errorf("%w: bring %d units into %v: %w", ErrInTransit, t.Units, t.To, d.Err)
		case d.Verdict.Refused():
			t.result.Err = fmt.Errorf("%w: %d units into %v: %v", ErrArrivalRefused, t.Units, t.To, d.Verdict)
		default:
			t.result.Replayed = d.Verdict == VerdictReplayed
		}
	}
}

// halves decides one half of each transfer.
func halves(ctx context.Context, s Store, going []*transfer, half func(*transfer) Request) []Decision {
	requests := make([]Request, len(going))
	for i, t := range going {
		requests[i] = half(t)
	}
	return DoAll(ctx, s, OpAdjust, requests)
}

func (t *transfer) half(id ReservationID, cell Cell, fingerprint uint32, kind AdjustKind, delta int64) Request {
	return Request{
		ID:          id,
		Cell:        cell,
		User:        t.User,
		Fingerprint: fingerprint,
		Adjustment:  &Adjustment{Kind: kind, Delta: delta, Reason: t.Reason},
	}
}
