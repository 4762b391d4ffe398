package redisstock

import (
	"context"
	"strconv"

	"sluice/core/stock"
)

// Shift moves the counters of a cell by a difference that no event explains, and moves the cell from an epoch into
// the next one. That is an event, a rebase. Other events do not change the difference, so the cell may sell
// meanwhile. If the cell was shut because its counters do not add up, it is open afterwards.
type Shift struct {
	ID                stock.ReservationID // a shift with the same id happens once
	Cell              stock.Cell
	Epoch             uint32
	Avail, Held, Sold int64
	Reason            string
}

// Shifted is the outcome of a shift.
type Shifted int64

// The outcomes of a shift.
const (
	ShiftRefused  Shifted = 0 // the cell is not there, or fenced, or in another epoch
	ShiftDone     Shifted = 1
	ShiftReplayed Shifted = 2 // it was done before
	ShiftNegative Shifted = 3 // it was not done, because a counter would be negative
)

// Shift does a shift, and returns the position of its event.
func (s *Store) Shift(ctx context.Context, r *Shift) (became Shifted, at stock.Position, err error) {
	partition := r.Cell.Partition(len(s.partitions))
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		trusted := s.marks.of(partition)
		if trusted.Nonce == 0 {
			return untrusted("shift")
		}
		number := func(n int64) string { return strconv.FormatInt(n, 10) }
		head := string([]byte{2, byte(partition >> 8), byte(partition)})
		answer, err := s.client.Do(ctx, s.client.B().Eval().Script(s.upkeep.shift).Numkeys(5).Key(k.mark, k.cells, k.res, k.gone, k.outbox).
			Arg(string(appendMark(nil, trusted)), head, number(s.cfg.Retention.Milliseconds()), text(r.Cell.Append(nil)), number(int64(r.Epoch)),
				number(r.Avail), number(r.Held), number(r.Sold), string(r.ID[:]), r.Reason).Build()).AsIntSlice()
		if err != nil {
			return wrap("shift", err)
		}
		if len(answer) != 3 {
			return wrapProtocol("shift", elementsError(len(answer)))
		}
		s.marks.saw(partition, stock.Mark{Nonce: trusted.Nonce, Effects: uint64(answer[2])})
		became, at = Shifted(answer[0]), stock.Position{Epoch: r.Epoch + 1, Seq: uint64(answer[1])}
		return nil
	})
	return became, at, err
}
