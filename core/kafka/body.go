package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// memoryMax bounds the memory that one answer takes in the library, in bytes.
const memoryMax = 128 << 20

var (
	errLength   = errors.New("a length is wrong")
	errTooLarge = fmt.Errorf("an answer takes more than %d MiB", memoryMax>>20)
)

// body is an answer that is being looked at. After its first fault it reads nothing but zeros.
type body struct {
	left   []byte
	memory int
	fault  error
}

// fail notes the first fault. err may be nil.
func (b *body) fail(err error) {
	if b.fault == nil && err != nil {
		b.fault, b.left = err, nil
	}
}

// take returns the next n bytes, or nil after a fault.
func (b *body) take(n int) []byte {
	if n < 0 || n > len(b.left) {
		b.fail(errLength)
	}
	if b.fault != nil {
		return nil
	}
	taken := b.left[:n]
	b.left = b.left[n:]
	return taken
}

func (b *body) int16() int {
	if taken := b.take(2); taken != nil {
		return int(int16(binary.BigEndian.Uint16(taken)))
	}
	return 0
}

func (b *body) int32() int32 {
	if taken := b.take(4); taken != nil {
		return int32(binary.BigEndian.Uint32(taken))
	}
	return 0
}

// uvarint reads a number without a sign.
func (b *body) uvarint() uint64 {
	n, used := binary.Uvarint(b.left)
	if used <= 0 {
		b.fail(errLength)
		return 0
	}
	b.take(used)
	return n
}

// within returns n as a length, which is wrong if it goes beyond the end.
func (b *body) within(n uint64) int {
	if n > uint64(len(b.left)) {
		b.fail(errLength)
		return 0
	}
	return int(n)
}

// varint reads a number of a message.
func (b *body) varint() int64 {
	n, used := binary.Varint(b.left)
	if used <= 0 {
		b.fail(errLength)
		return 0
	}
	b.take(used)
	return n
}

// text returns what has a length. A negative one is null.
func (b *body) text(length int) []byte { return b.take(max(0, length)) }

// grow counts n things that take memory. Each has at least one byte here.
func (b *body) grow(n, bytes int) {
	switch {
	case n > len(b.left):
		b.fail(errLength)
	case b.memory+n*bytes > memoryMax:
		b.fail(errTooLarge)
	}
	b.memory += n * bytes
}
