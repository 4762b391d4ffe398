package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"sluice/core/stock"
)

// The first byte of every batch is the version of its format. Version is the newest version that this program reads.
// A batch has the oldest version that can express it. So it has only one form, and an older program reads every batch
// that it can understand.
const (
	Version       = 2
	VersionOldest = 1
)

// Bytes is the length of an event in a batch, without the change that an adjustment has.
const Bytes = 1 + 16 + 8 + 3 + 4 + stock.CellBytes + 4 + 6 + 3*5 + 6

// The lengths of the other parts of the binary form.
const (
	headerBytes = 1 + 2 + 6 + 2
	lengthBytes = 2 // the length of what follows an event
	fromBytes   = 4 + 6
	deltaBytes  = 8 + 1 // the delta, and which settings were set

	// SettingsBytes is the length of settings as version 1 has them. Long settings have ExtendBytes more.
	SettingsBytes = 3 + 4 + 6 + 6 + 1
	ExtendBytes   = 4
)

// EventsMax is the largest number of events of one batch. It is larger than a vector, because a sweep may expire more
// reservations at once.
const EventsMax = 4096

// ErrMalformed means that bytes are no batch of events.
var ErrMalformed = errors.New("malformed events")

// ErrVersion means that a batch has a format that this program does not know. Programs never guess: a newer program reads
// the batch.
var ErrVersion = errors.New("events of an unknown format version")

// Append appends the binary form of the batch to dst. It panics if a value is out of its range, which is a bug of the
// caller.
func Append(dst []byte, b Batch) []byte {
	version := byte(VersionOldest)
	for i := range b.Events {
		version = max(version, b.Events[i].version())
	}
	dst = append(dst, version)
	dst = appendUint(dst, uint64(b.Partition), 2)
	dst = appendUint(dst, uint64(b.TimeMS), 6)
	dst = appendUint(dst, uint64(len(b.Events)), 2)
	for i := range b.Events {
		dst = appendEvent(dst, &b.Events[i], version)
	}
	return dst
}

// version returns the oldest version of the format that can express the event.
func (e *Event) version() byte {
	if LongSettings(e.Change.Settings) {
		return 2
	}
	return e.Kind.version()
}

func appendEvent(dst []byte, e *Event, version byte) []byte {
	dst = append(dst, byte(e.Kind))
	dst = append(dst, e.Reservation[:]...)
	dst = appendUint(dst, uint64(e.User), 8)
	dst = appendUint(dst, uint64(e.Quantity), 3)
	dst = appendUint(dst, uint64(e.Fingerprint), 4)
	dst = e.Cell.Append(dst)
	dst = appendUint(dst, uint64(e.Epoch), 4)
	dst = appendUint(dst, e.Seq, 6)
	dst = appendUint(dst, uint64(e.Avail), 5)
	dst = appendUint(dst, uint64(e.Held), 5)
	dst = appendUint(dst, uint64(e.Sold), 5)
	dst = appendUint(dst, uint64(e.DeadlineMS), 6)
	if !e.Kind.HasReason() {
		return dst
	}
	c := &e.Change
	dst = appendUint(dst, uint64(e.Kind.changeBytes(version)+len(c.Reason)), lengthBytes)
	if e.Kind == KindRebase {
		dst = appendUint(dst, uint64(c.From.Epoch), 4)
		dst = appendUint(dst, c.From.Seq, 6)
	}
	if e.Kind.Adjusts() {
		dst = appendUint(dst, uint64(c.Delta), 8)
		dst = append(dst, byte(c.Fields))
		dst = appendSettings(dst, c.Settings, 0)
		if version >= 2 {
			dst = appendUint(dst, uint64(c.Settings.ExtendMax.Milliseconds()), ExtendBytes)
		}
	}
	return append(dst, c.Reason...)
}

// changeBytes is the length of the part between the length of a change and its reason.
func (k Kind) changeBytes(version byte) int {
	n := 0
	if k == KindRebase {
		n += fromBytes
	}
	if k.Adjusts() {
		n += deltaBytes + SettingsBytes
		if version >= 2 {
			n += ExtendBytes
		}
	}
	return n
}

// Decode reads a whole batch. The batch shares no memory with data.
func Decode(data []byte) (Batch, error) {
	d, err := NewDecoder(data)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{Partition: d.Partition, TimeMS: d.TimeMS, Events: make([]Event, d.Count)}
	for i := range b.Events {
		if err := d.Next(&b.Events[i]); err != nil {
			return Batch{}, err
		}
	}
	return b, d.Close()
}

// Decoder reads a batch event by event, and allocates nothing.
type Decoder struct {
	Partition int
	TimeMS    int64
	Count     int // events of the batch

	version, needed byte // of the batch, and the oldest that can say what was read
	rest            []byte
	read            int
}

// NewDecoder reads the head of a batch. The error wraps ErrVersion or ErrMalformed.
func NewDecoder(data []byte) (Decoder, error) {
	if len(data) == 0 {
		return Decoder{}, fmt.Errorf("%w: empty", ErrMalformed)
	}
	if data[0] < VersionOldest || data[0] > Version {
		return Decoder{}, fmt.Errorf("%w: %d, this program knows %d to %d", ErrVersion, data[0], VersionOldest, Version)
	}
	if len(data) < headerBytes {
		return Decoder{}, fmt.Errorf("%w: head cut off after %d bytes", ErrMalformed, len(data))
	}
	d := Decoder{
		Partition: int(binary.BigEndian.Uint16(data[1:])),
		TimeMS:    int64(uintBefore(data, 9, 6)),
		Count:     int(binary.BigEndian.Uint16(data[9:])),
		version:   data[0],
		needed:    VersionOldest,
		rest:      data[headerBytes:],
	}
	if d.Count == 0 || d.Count > EventsMax {
		return Decoder{}, fmt.Errorf("%w: %d events, want 1 to %d", ErrMalformed, d.Count, EventsMax)
	}
	if len(d.rest) < d.Count*Bytes {
		return Decoder{}, fmt.Errorf("%w: %d bytes cannot hold %d events", ErrMalformed, len(data), d.Count)
	}
	return d, nil
}

// Next reads the next event into e, all of it. It is called Count times.
func (d *Decoder) Next(e *Event) error {
	b := d.rest
	if d.read >= d.Count || len(b) < Bytes {
		return fmt.Errorf("%w: event %d of %d cut off", ErrMalformed, d.read+1, d.Count)
	}
	d.read++
	kind := Kind(b[0])
	if !kind.known() || kind.version() > d.version {
		return fmt.Errorf("%w: event %d of %d has the unknown %v", ErrMalformed, d.read, d.Count, kind)
	}
	*e = Event{
		Kind:        kind,
		Reservation: stock.ReservationID(b[1:17]),
		User:        int64(binary.BigEndian.Uint64(b[17:])),
		Quantity:    int64(uintBefore(b, 28, 3)),
		Fingerprint: binary.BigEndian.Uint32(b[28:]),
		Cell:        stock.CellFrom(b[32:]),
		Position:    stock.Position{Epoch: binary.BigEndian.Uint32(b[46:]), Seq: uintBefore(b, 56, 6)},
		Avail:       int64(uintBefore(b, 61, 5)),
		Held:        int64(uintBefore(b, 66, 5)),
		Sold:        int64(uintBefore(b, 71, 5)),
		DeadlineMS:  int64(uintBefore(b, 77, 6)),
	}
	if e.User < 0 || e.Cell.SKU <= 0 || e.Epoch == 0 || e.Seq == 0 {
		return fmt.Errorf("%w: event %d of %d: user, SKU, epoch or seq out of range", ErrMalformed, d.read, d.Count)
	}
	d.rest = b[Bytes:]
	if kind.HasReason() {
		if err := d.nextChange(kind, &e.Change); err != nil {
			return err
		}
	}
	d.needed = max(d.needed, e.version())
	return nil
}

func (d *Decoder) nextChange(kind Kind, c *Change) error {
	if len(d.rest) < lengthBytes {
		return fmt.Errorf("%w: change of event %d of %d cut off", ErrMalformed, d.read, d.Count)
	}
	length, least := int(binary.BigEndian.Uint16(d.rest)), kind.changeBytes(d.version)
	b := d.rest[lengthBytes:]
	if length < least || length > least+stock.ReasonMax || len(b) < length {
		return fmt.Errorf("%w: change of event %d of %d has length %d", ErrMalformed, d.read, d.Count, length)
	}
	d.rest = b[length:]
	c.Reason = string(b[least:length])
	if kind == KindRebase {
		c.From = stock.Position{Epoch: binary.BigEndian.Uint32(b), Seq: uintBefore(b, 10, 6)}
		b = b[fromBytes:]
	}
	if !kind.Adjusts() {
		return nil
	}
	c.Delta = int64(binary.BigEndian.Uint64(b))
	c.Fields = stock.Fields(b[8])
	settings := b[deltaBytes : deltaBytes+SettingsBytes]
	if d.version >= 2 {
		settings = b[deltaBytes : deltaBytes+SettingsBytes+ExtendBytes]
	}
	known := byte(flagsOfEvents)
	if d.version >= 2 {
		known |= flagRegisteredOnly
	}
	if unknown := settings[SettingsBytes-1] &^ known; unknown != 0 {
		return fmt.Errorf("%w: change of event %d of %d has the unknown flags %#x", ErrMalformed, d.read, d.Count, unknown)
	}
	c.Settings, _ = SettingsFrom(settings)
	return nil
}

// Close fails if bytes are left over after the last event, or an older version can say the same.
func (d *Decoder) Close() error {
	if d.read != d.Count || len(d.rest) != 0 {
		return fmt.Errorf("%w: %d bytes after event %d of %d", ErrMalformed, len(d.rest), d.read, d.Count)
	}
	if d.version != d.needed {
		return fmt.Errorf("%w: version %d, but version %d can say it", ErrMalformed, d.version, d.needed)
	}
	return nil
}

// Shut says why a cell is shut.
type Shut uint8

// The reasons, as bits of the flags byte.
const (
	ShutFenced   Shut = 2
	ShutBreached Shut = 4
)

const (
	flagFrozen         = 1
	flagShopperDeducts = 8
	ackShift           = 4
	flagRegisteredOnly = 64 // of version 2

	// flagsOfEvents are the flags that an event of version 1 can have. A shut cell has no events, so its flags are not among them.
	flagsOfEvents = flagFrozen | flagShopperDeducts | 3<<ackShift
)

// AppendSettings appends a cell's settings and flags: limit (3), hold in ms (4), opens and closes (6 each), flags (1)
// and, if the cell allows extensions, their bound in ms (4). Events and the packed cells of Redis share them.
func AppendSettings(dst []byte, s stock.Settings, shut Shut) []byte {
	dst = appendSettings(dst, s, shut)
	if LongSettings(s) {
		dst = appendUint(dst, uint64(s.ExtendMax.Milliseconds()), ExtendBytes)
	}
	return dst
}

// LongSettings reports whether only version 2 can express the settings: the cell allows extensions, or it demands a registration.
func LongSettings(s stock.Settings) bool { return s.ExtendMax != 0 || s.RegisteredOnly }

// appendSettings appends all but the bound of extensions.
func appendSettings(dst []byte, s stock.Settings, shut Shut) []byte {
	flags := byte(shut) | byte(s.Ack)<<ackShift
	if s.Frozen {
		flags |= flagFrozen
	}
	if s.ShopperDeducts {
		flags |= flagShopperDeducts
	}
	if s.RegisteredOnly {
		flags |= flagRegisteredOnly
	}
	dst = appendUint(dst, uint64(s.Limit), 3)
	dst = appendUint(dst, uint64(s.Hold.Milliseconds()), 4)
	dst = appendUint(dst, uint64(s.OpensAtMS), 6)
	dst = appendUint(dst, uint64(s.ClosesAtMS), 6)
	return append(dst, flags)
}

// SettingsFrom decodes the output of AppendSettings. It panics if b is longer or shorter.
func SettingsFrom(b []byte) (stock.Settings, Shut) {
	flags := b[SettingsBytes-1]
	s := stock.Settings{
		Limit:          int64(binary.BigEndian.Uint32(b) >> 8),
		Hold:           time.Duration(binary.BigEndian.Uint32(b[3:])) * time.Millisecond,
		OpensAtMS:      int64(uintBefore(b, 13, 6)),
		ClosesAtMS:     int64(uintBefore(b, 19, 6)),
		Ack:            stock.Ack(flags >> ackShift & 3),
		ShopperDeducts: flags&flagShopperDeducts != 0,
		RegisteredOnly: flags&flagRegisteredOnly != 0,
		Frozen:         flags&flagFrozen != 0,
	}
	if len(b) > SettingsBytes {
		s.ExtendMax = time.Duration(binary.BigEndian.Uint32(b[SettingsBytes:])) * time.Millisecond
	}
	return s, Shut(flags) & (ShutFenced | ShutBreached)
}

// appendUint appends the low bytes of v, big-endian. It panics if v does not fit, because a value that is cut off silently
// would make a wrong event.
func appendUint(dst []byte, v uint64, bytes int) []byte {
	if v>>(8*bytes) != 0 {
		panic(fmt.Sprintf("event: %d does not fit into %d bytes", v, bytes))
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	return append(dst, b[8-bytes:]...)
}

// uintBefore reads a number of at most 8 bytes that ends before b[end]; end is at least 8. One load of 8 bytes and a mask
// are faster than a loop.
func uintBefore(b []byte, end, bytes int) uint64 {
	return binary.BigEndian.Uint64(b[end-8:end]) & (1<<(8*bytes) - 1)
}
