package stock

import (
	"context"
	"encoding/binary"
)

// Departure is the half of a transfer that has taken units out of a cell, as its event tells of it.
type Departure struct {
	ID          ReservationID
	From        Cell
	Units       int64
	User        int64
	Fingerprint uint32
	Reason      string
}

// departureFingerprint condenses the half of a transfer that takes units out. It contains the destination, unless a
// sale moves the units. For a sale the row has the destination, and an earlier version of the program that finishes the
// move must find the fingerprint that it knows.
func (t *TransferRequest) departureFingerprint() uint32 {
	if t.Scope == ScopeSaleMove {
		return plainFingerprint(t.Units)
	}
	return FingerprintOf(int64(AdjustTransferOut), -t.Units, int64(t.To.Pool), int64(t.To.Bucket))
}

// plainFingerprint returns a fingerprint of a half that takes units out, without their destination.
func plainFingerprint(units int64) uint32 { return FingerprintOf(int64(AdjustTransferOut), -units) }

// Destination returns the one of the SKU's cells that was the destination of the units. It returns false if the
// fingerprint does not tell: a sale or an earlier version of the program has moved the units, or two cells give the
// same fingerprint.
func (d *Departure) Destination(cells []Cell) (to Cell, known bool) {
	if d.Fingerprint == plainFingerprint(d.Units) {
		return Cell{}, false
	}
	for _, c := range cells {
		r := TransferRequest{To: c, Units: d.Units}
		if c.SKU != d.From.SKU || c == d.From || r.departureFingerprint() != d.Fingerprint {
			continue
		}
		if known {
			return Cell{}, false
		}
		to, known = c, true
	}
	return to, known
}

// Arrive brings the units of a cut-off transfer into their destination. It makes the same call as a repetition of the
// transfer, so the units arrive once, whoever brings them. The caller makes sure that the store still remembers both
// halves. After ErrInTransit they have not arrived, or nobody knows whether they have.
func (d *Departure) Arrive(ctx context.Context, s Store, to Cell) error {
	t := transfer{
		TransferRequest: TransferRequest{From: d.From, To: to, Units: d.Units, User: d.User, Reason: d.Reason},
		in:              arrivalID(d.ID, to, s.Partitions()), result: &Transferred{},
	}
	arrive(ctx, s, []*transfer{&t})
	return t.result.Err
}

// arrivalID returns the id of the half that brings units into a cell, from that of the half that took them out.
func arrivalID(out ReservationID, to Cell, partitions int) ReservationID {
	binary.BigEndian.PutUint16(out[:], uint16(to.Partition(partitions)))
	out[ReservationBytes-1] |= 1
	return out
}
