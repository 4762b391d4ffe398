package redisstock

import (
	"context"
	"encoding/binary"
	"strconv"

	"sluice/core/stock"
)

// AmendRecord replaces the record of a reservation that differs from its last event. A record with the state none
// stands for no record. If the record is neither the one that the caller found nor the one that it wants, AmendRecord
// changes nothing and returns false. It lists a held record by its deadline, so that a sweep ends it. It lists any
// other by the end of its retention.
func (s *Store) AmendRecord(ctx context.Context, found, wanted *stock.Reservation) (bool, error) {
	id := wanted.ID
	k := &s.partitions[id.Partition()%len(s.partitions)]
	list, member, score := k.gone, string(id[:]), "+"+strconv.FormatInt(s.cfg.Retention.Milliseconds(), 10)
	switch wanted.State {
	case stock.StateNone:
		member = ""
	case stock.StateHeld:
		pool := binary.BigEndian.AppendUint32(nil, wanted.Cell.Pool)
		list, member, score = k.due, string(append(pool, id[:]...)), strconv.FormatInt(wanted.DeadlineMS, 10)
	case stock.StateConfirmed, stock.StateReleased, stock.StateExpired, stock.StateAdjusted, stock.StateRevoked, stock.StateReturned:
	}
	return s.amend(ctx, id.Partition(), k.res, list, string(id[:]), recordValue(found), recordValue(wanted), member, score)
}

// AmendCount replaces a user's count in a cell. If the count is neither the one that the caller found nor the one that
// it wants, AmendCount changes nothing and returns false.
func (s *Store) AmendCount(ctx context.Context, cell stock.Cell, user, found, wanted int64) (bool, error) {
	partition := cell.Partition(len(s.partitions))
	k := &s.partitions[partition]
	field := text(binary.BigEndian.AppendUint64(cell.Append(nil), uint64(user)))
	return s.amend(ctx, partition, k.buyers(cell.Pool), k.due, field, countValue(found), countValue(wanted), "", "0")
}

func (s *Store) amend(ctx context.Context, partition int, hash, list string, args ...string) (bool, error) {
	done, err := s.keep(ctx, "amend", s.upkeep.amend, partition, []string{hash, list}, args...)
	return done == 1, err
}

// recordValue returns the value of a record; empty for none.
func recordValue(r *stock.Reservation) string {
	if r.State == stock.StateNone {
		return ""
	}
	return string(recordOf(r))
}

// countValue returns the value of a user's count; empty for none.
func countValue(units int64) string {
	if units <= 0 {
		return ""
	}
	return string([]byte{byte(units >> 16), byte(units >> 8), byte(units)})
}

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

// Shift does a shift, and returns the position of its event. If this call made the event, Shift also returns the entry of the
// outbox that has it.
func (s *Store) Shift(ctx context.Context, r *Shift) (became Shifted, at stock.Position, made stock.Entry, err error) {
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
				number(r.Avail), number(r.Held), number(r.Sold), string(r.ID[:]), r.Reason).Build()).ToArray()
		if err != nil {
			return wrap("shift", err)
		}
		if len(answer) != 5 {
			return wrapProtocol("shift", elementsError(len(answer)))
		}
		var numbers [3]int64 // code, seq, effects
		for i := range numbers {
			if numbers[i], err = answer[i].AsInt64(); err != nil {
				return wrapProtocol("shift", err)
			}
		}
		made = stock.Entry{Partition: partition}
		made.ID, err = answer[3].ToString()
		if err == nil {
			made.Data, err = answer[4].AsBytes()
		}
		if err != nil {
			return wrapProtocol("shift", err)
		}
		s.marks.saw(partition, stock.Mark{Nonce: trusted.Nonce, Effects: uint64(numbers[2])})
		became, at = Shifted(numbers[0]), stock.Position{Epoch: r.Epoch + 1, Seq: uint64(numbers[1])}
		return nil
	})
	return became, at, made, err
}
