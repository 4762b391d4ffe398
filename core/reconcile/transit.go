package reconcile

import (
	"fmt"
	"time"

	"sluice/core/stock"
)

// transitMax is how long the halves of a transfer may be apart. A mover of units makes the second half right after the
// first.
const transitMax = time.Minute

// forgetMax is the margin before the end of the retention of a transfer's halves. Within it they are not judged.
// Redis forgets both halves at about the same time, and a sweep reads one partition after the other. So it might find
// one half and miss the other.
const forgetMax = 5 * time.Minute

// Transit is the half of a transfer that took units out of a cell.
type Transit struct {
	stock.Departure
	stock.Position
	To        stock.Cell // where the units were to go; without a SKU: nobody can tell but a sale that has moved them
	SinceMS   int64
	Retention time.Duration // of the records of both halves
	Arrived   bool          // the other half was found
	Forgotten bool          // Redis has no record of this half any more, so a missing other half proves nothing
}

// Other returns the id of the half that brings the units in, except for the partition in it.
func (t *Transit) Other() stock.ReservationID { return otherHalf(t.ID) }

// otherHalf returns the id of the other half of a transfer, except for the partition in it.
func otherHalf(id stock.ReservationID) stock.ReservationID {
	id[stock.ReservationBytes-1] ^= 1
	return id
}

// Remembered reports whether Redis has a record of each finished half, and will keep it for a while.
func (t *Transit) Remembered(nowMS int64) bool {
	return !t.Forgotten && nowMS-t.SinceMS < (t.Retention-forgetMax).Milliseconds()
}

// JudgeTransit returns a finding if units have left a cell and not arrived. It returns nil if they have arrived, if
// they may still arrive, or if Redis may have forgotten that they did.
func JudgeTransit(t *Transit, nowMS int64) *Finding {
	if t.Arrived || nowMS-t.SinceMS < transitMax.Milliseconds() || !t.Remembered(nowMS) {
		return nil
	}
	left := "they left the cell"
	if t.To.SKU != 0 {
		left += " for " + t.To.String()
	}
	f := finding(TransitStuck, t.From, t.Units, Undersell, t.SinceMS, Proof{
		Store: InLedger, Says: left, Epoch: t.Epoch, Seq: t.Seq, Reservation: t.ID.String(), Units: t.Units,
	}, Proof{Store: InRedis, Says: "no record of their arrival", Reservation: t.Other().String()})
	return &f
}

// finishStep makes a step that brings in the units of a transfer.
func finishStep(t *Transit) RepairStep {
	end := TransferEnd{Out: t.ID.String(), Epoch: t.Epoch, Seq: t.Seq}
	expects, does := "the sale that moved the units still has the move under way", "the units arrive where they were to go"
	if t.To.SKU != 0 {
		end.To = &Destination{t.To.Pool, t.To.Bucket}
		expects, does = "Redis still remembers that they left", fmt.Sprintf("%d units arrive in %v", t.Units, t.To)
	}
	return newStep(TransitStuck, t.From, t.Units, Undersell, Act{Transfer: &end}, expects, does)
}
