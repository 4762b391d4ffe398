package stock

import (
	"cmp"
	"encoding/binary"
	"fmt"
)

// CellBytes is the length of a cell's binary form: SKU (8), pool (4) and bucket (2), big-endian.
const CellBytes = 14

// Cell names the stock of one SKU in one pool and one bucket: the unit of atomicity.
type Cell struct {
	SKU    int64  // 1 to 2^63-1
	Pool   uint32 // 0 is the SKU's normal stock, any other number is the sale that owns the pool
	Bucket uint16
}

// Append appends the cell's binary form, CellBytes long, to dst.
func (c Cell) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(c.SKU))
	dst = binary.BigEndian.AppendUint32(dst, c.Pool)
	return binary.BigEndian.AppendUint16(dst, c.Bucket)
}

// CellFrom reads the binary form of a cell from the first CellBytes of b. It panics if b is shorter.
func CellFrom(b []byte) Cell {
	return Cell{
		SKU:    int64(binary.BigEndian.Uint64(b)),
		Pool:   binary.BigEndian.Uint32(b[8:]),
		Bucket: binary.BigEndian.Uint16(b[12:]),
	}
}

// Partition returns the partition of the cell, out of a number of partitions of at least 1. The function must never
// change, because every reservation id contains the partition. It is FNV-1a over the binary form, with the halves folded
// together because the low bits alone mix too little for consecutive SKUs. Every request calls it several times, and
// this loop takes half the time of package hash/fnv.
func (c Cell) Partition(partitions int) int {
	const offset, prime = 14695981039346656037, 1099511628211
	var buf [CellBytes]byte
	sum := uint64(offset)
	for _, b := range c.Append(buf[:0]) {
		sum = (sum ^ uint64(b)) * prime
	}
	return int((sum ^ sum>>32) & 0xffffffff % uint64(partitions))
}

// Compare orders cells by SKU, pool and bucket, as the keys of MySQL's tables do.
func (c Cell) Compare(other Cell) int {
	return cmp.Or(cmp.Compare(c.SKU, other.SKU), cmp.Compare(c.Pool, other.Pool), cmp.Compare(c.Bucket, other.Bucket))
}

// String names the cell: SKU, then pool and bucket unless both are 0.
func (c Cell) String() string {
	if c.Pool == 0 && c.Bucket == 0 {
		return fmt.Sprintf("sku %d", c.SKU)
	}
	return fmt.Sprintf("sku %d, sale %d, bucket %d", c.SKU, c.Pool, c.Bucket)
}

// Position is a position in a cell's history: events are ordered by epoch, then seq.
type Position struct {
	Epoch uint32
	Seq   uint64
}

// Less reports whether m is before n.
func (m Position) Less(n Position) bool {
	return m.Epoch < n.Epoch || m.Epoch == n.Epoch && m.Seq < n.Seq
}

// Compare orders positions: negative if m is before n.
func (m Position) Compare(n Position) int {
	return cmp.Or(cmp.Compare(m.Epoch, n.Epoch), cmp.Compare(m.Seq, n.Seq))
}

// Text returns the position for people. It is not called String, because cells and events would inherit that.
func (m Position) Text() string { return fmt.Sprintf("%d.%d", m.Epoch, m.Seq) }

// Balances are a cell's counters. Total = Avail + Held + Sold, always.
type Balances struct {
	Avail, Held, Sold, Total int64
}

// CellState is all that Redis knows of a cell.
type CellState struct {
	Cell Cell
	Position
	Balances
	Settings
	Loaded   bool // false: no such cell, and no other member but Cell means anything
	Fenced   bool // shut, because Redis lost acknowledged effects of this cell
	Breached bool // shut, because its counters did not add up
}
