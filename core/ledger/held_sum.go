package ledger

import (
	"hash/crc32"
	"strconv"

	"sluice/core/stock"
)

// HeldSum condenses held reservations. Two sums that are equal were made from the same reservations.
type HeldSum struct {
	Units  int64
	Checks uint32 // the sum of a checksum of each: of its id, its user and its units
	Seqs   uint32 // the sum of their seqs
}

// heldSum has the columns of a HeldSum of rows r in the database, as Add makes it, and the highest seq of these rows.
const heldSum = `SUM(r.quantity), CAST(SUM(CRC32(CONCAT(r.reservation_id, r.user_id, ' ', r.quantity))) MOD 4294967296 AS UNSIGNED),
	CAST(SUM(r.seq) MOD 4294967296 AS UNSIGNED), MAX(r.seq)`

// Add adds a reservation.
func (s *HeldSum) Add(id stock.ReservationID, user, units int64, seq uint64) {
	s.Units += units
	s.Checks += checkOf(id, user, units)
	s.Seqs += uint32(seq)
}

// Remove removes a reservation whose seq is not known. Seqs means nothing any more.
func (s *HeldSum) Remove(id stock.ReservationID, user, units int64) {
	s.Units -= units
	s.Checks -= checkOf(id, user, units)
}

func checkOf(id stock.ReservationID, user, units int64) uint32 {
	text := append(make([]byte, 0, 64), id[:]...)
	text = strconv.AppendInt(text, user, 10)
	text = append(text, ' ')
	return crc32.ChecksumIEEE(strconv.AppendInt(text, units, 10))
}
