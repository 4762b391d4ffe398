package redisstock

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"unsafe"

	"sluice/core/event"
	"sluice/core/stock"
)

// The sizes of packed values, as the scripts write them. Each value begins with the version of its format.
const (
	valueVersion = 1
	// longVersion is the version of cells whose settings are long: event.LongSettings. All others have valueVersion.
	longVersion = 2

	// cellBytes: version 1, avail 5, held 5, sold 5, seq 6, total 5, epoch 4, settings and flags 20. A long cell
	// has the bound of extensions behind it: event.ExtendBytes.
	cellBytes = 1 + 5 + 5 + 5 + 6 + 5 + 4 + event.SettingsBytes
	// extendedVersion is the version of held records whose deadline was moved. All others have valueVersion.
	extendedVersion = 2

	// recordBytes: version 1, state 1, seq 6, deadline 6, and the ask. An extended one has behind it by how many ms:
	// event.ExtendBytes.
	recordBytes = 1 + 1 + 6 + 6 + askBytes
	// askBytes: user 8, quantity 3, fingerprint 4, cell 14, as in an event.
	askBytes = 8 + 3 + 4 + stock.CellBytes
	// positionBytes: epoch 4, seq 6.
	positionBytes = 4 + 6

	countedBit = 0x80 // in a record's state, and in the verdict of an accepted request
)

// cellFrom reads the value of a cell. An empty value means that there is no such cell.
func cellFrom(cell stock.Cell, value string) (stock.CellState, error) {
	state := stock.CellState{Cell: cell}
	if value == "" {
		return state, nil
	}
	if len(value) != cellBytesOf(value[0]) {
		return state, fmt.Errorf("%w: value of %v has %d bytes and version %d, want %d of version %d, or %d of version %d",
			stock.ErrProtocol, cell, len(value), value[0], cellBytes, valueVersion, cellBytes+event.ExtendBytes, longVersion)
	}
	b := bytesOf(value)
	settings, shut := event.SettingsFrom(b[31:])
	return stock.CellState{
		Cell:     cell,
		Position: stock.Position{Epoch: uint32(uintAt(b, 27, 4)), Seq: uintAt(b, 16, 6)},
		Balances: stock.Balances{
			Avail: int64(uintAt(b, 1, 5)),
			Held:  int64(uintAt(b, 6, 5)),
			Sold:  int64(uintAt(b, 11, 5)),
			Total: int64(uintAt(b, 22, 5)),
		},
		Settings: settings,
		Loaded:   true,
		Fenced:   shut&event.ShutFenced != 0,
		Breached: shut&event.ShutBreached != 0,
	}, nil
}

// cellBytesOf is the length of a cell's value of a version, 0 of an unknown one.
func cellBytesOf(version byte) int {
	switch version {
	case valueVersion:
		return cellBytes
	case longVersion:
		return cellBytes + event.ExtendBytes
	}
	return 0
}

// recordFrom reads the record of a reservation. An empty value means that there is no such reservation.
func recordFrom(id stock.ReservationID, value string) (stock.Reservation, error) {
	if value == "" {
		return stock.Reservation{}, nil
	}
	if len(value) != recordBytesOf(value[0]) {
		return stock.Reservation{}, fmt.Errorf("%w: record of %v has %d bytes and version %d, want %d of version %d, or %d of version %d",
			stock.ErrProtocol, id, len(value), value[0], recordBytes, valueVersion, recordBytes+event.ExtendBytes, extendedVersion)
	}
	b := bytesOf(value)
	r := stock.Reservation{
		ID:          id,
		State:       stock.State(b[1] &^ countedBit),
		Counted:     b[1]&countedBit != 0,
		Seq:         uintAt(b, 2, 6),
		DeadlineMS:  int64(uintAt(b, 8, 6)),
		User:        int64(uintAt(b, 14, 8)),
		Quantity:    int64(uintAt(b, 22, 3)),
		Fingerprint: uint32(uintAt(b, 25, 4)),
		Cell:        stock.CellFrom(b[29:]),
	}
	if value[0] == extendedVersion {
		r.ExtendedMS = int64(uintAt(b, recordBytes, event.ExtendBytes))
	}
	return r, nil
}

// recordBytesOf is the length of a record of a version, 0 of an unknown one.
func recordBytesOf(version byte) int {
	switch version {
	case valueVersion:
		return recordBytes
	case extendedVersion:
		return recordBytes + event.ExtendBytes
	}
	return 0
}

// appendCell appends the value of a cell, as the scripts write it.
func appendCell(dst []byte, c *stock.CellState) []byte {
	version := byte(valueVersion)
	if event.LongSettings(c.Settings) {
		version = longVersion
	}
	var shut event.Shut
	if c.Fenced {
		shut |= event.ShutFenced
	}
	if c.Breached {
		shut |= event.ShutBreached
	}
	dst = append(dst, version)
	for _, n := range []int64{c.Avail, c.Held, c.Sold} {
		dst = appendUint(dst, uint64(n), 5)
	}
	dst = appendUint(dst, c.Seq, 6)
	dst = appendUint(dst, uint64(c.Total), 5)
	dst = appendUint(dst, uint64(c.Epoch), 4)
	return event.AppendSettings(dst, c.Settings, shut)
}

// recordOf is the record of a reservation, as the scripts write it.
func recordOf(r *stock.Reservation) []byte { return appendRecord(nil, r) }

// appendRecord appends the record of a reservation.
func appendRecord(dst []byte, r *stock.Reservation) []byte {
	state := byte(r.State)
	if r.Counted {
		state |= countedBit
	}
	version := byte(valueVersion)
	if r.ExtendedMS != 0 {
		version = extendedVersion
	}
	dst = append(dst, version, state)
	dst = appendUint(dst, r.Seq, 6)
	dst = appendUint(dst, uint64(r.DeadlineMS), 6)
	dst = appendAsk(dst, &stock.Request{User: r.User, Quantity: r.Quantity, Fingerprint: r.Fingerprint, Cell: r.Cell})
	if version == extendedVersion {
		dst = appendUint(dst, uint64(r.ExtendedMS), event.ExtendBytes)
	}
	return dst
}

// appendUint appends the low bytes of a number, big-endian.
func appendUint(dst []byte, n uint64, bytes int) []byte {
	for i := bytes - 1; i >= 0; i-- {
		dst = append(dst, byte(n>>(8*i)))
	}
	return dst
}

// appendAsk appends the members of a request, in the form that its record and its event have.
func appendAsk(dst []byte, r *stock.Request) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.User))
	dst = append(dst, byte(r.Quantity>>16), byte(r.Quantity>>8), byte(r.Quantity))
	dst = binary.BigEndian.AppendUint32(dst, r.Fingerprint)
	return r.Cell.Append(dst)
}

func appendPosition(dst []byte, m stock.Position) []byte {
	dst = binary.BigEndian.AppendUint32(dst, m.Epoch)
	dst = append(dst, byte(m.Seq>>40), byte(m.Seq>>32))
	return binary.BigEndian.AppendUint32(dst, uint32(m.Seq))
}

// uintAt reads a big-endian number from some bytes.
func uintAt(b []byte, at, bytes int) uint64 {
	var v uint64
	for _, c := range b[at : at+bytes] {
		v = v<<8 | uint64(c)
	}
	return v
}

// keys are the names of a partition's keys. Their common hash tag keeps them in one slot.
type keys struct {
	prefix                                                           string
	mark, cells, res, due, gone, outbox, meta, relay, wait, restorer string
	baskets, undecided, whole                                        string
	limits                                                           string // of partition 0 only
	buyers0                                                          string // of pool 0
}

func keysOf(partition int) keys {
	p := "{p" + strconv.Itoa(partition) + "}:"
	return keys{
		prefix: p,
		mark:   p + "mark",
		cells:  p + "cells",
		res:    p + "res",
		due:    p + "due",
		gone:   p + "gone",
		outbox: p + "outbox",
		meta:   p + "meta",
		relay:  p + "relay",
		wait:   p + "wait",

		restorer: p + "restorer",
		buyers0:  p + "buyers:0",

		baskets:   p + "baskets",
		undecided: p + "undecided",
		whole:     p + "whole",

		limits: p + "limits",
	}
}

// buyers returns the key of a pool's buyers.
func (k *keys) buyers(pool uint32) string {
	if pool == 0 {
		return k.buyers0
	}
	return k.prefix + "buyers:" + strconv.FormatUint(uint64(pool), 10)
}

// registered returns the key of the users who are registered for a sale.
func (k *keys) registered(sale uint32) string {
	return k.prefix + "registered:" + strconv.FormatUint(uint64(sale), 10)
}

// text returns b as a string without a copy. The caller must not change b as long as the string lives.
// BenchmarkCommand shows what copies would cost: an allocation per argument.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } //nolint:gosec // G103: see above

// bytesOf returns the bytes of s without a copy. Nobody may change them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) } //nolint:gosec // G103: see above
