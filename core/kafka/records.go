package kafka

import (
	"encoding/binary"
	"errors"

	"github.com/segmentio/kafka-go/compress"
	"github.com/segmentio/kafka-go/protocol"
)

// The form of a batch of messages: https://kafka.apache.org/documentation/#recordbatch
const (
	batchLengthAt = 8  // after the offset
	batchBegin    = 12 // after the length
	magicAt       = 16
	magic         = 2 // since Kafka 0.11
	headerBytes   = 49
	attributesAt  = 9 // from here on within the batch
	countAt       = 45
	// recordMemory is what the library needs for a message besides its bytes, and headerMemory for each of its headers.
	recordMemory = 256
	headerMemory = 64
)

var (
	errCount  = errors.New("the number of messages is wrong")
	errFormat = errors.New("messages have a format that Kafka wrote before version 0.11, or none")
)

// recordSet looks at the messages of an answer. The last batch may be cut short.
func recordSet(b *body) {
	size := int(b.int32())
	if size <= 0 {
		return
	}
	for set := b.take(size); len(set) > magicAt && b.fault == nil; {
		length := int(int32(binary.BigEndian.Uint32(set[batchLengthAt:])))
		switch {
		case set[magicAt] != magic:
			b.fail(errFormat)
			return
		case length < headerBytes:
			b.fail(errLength)
			return
		case length > len(set)-batchBegin:
			return
		}
		batch(b, set[batchBegin:batchBegin+length])
		set = set[batchBegin+length:]
	}
}

// batch looks at a whole batch.
func batch(b *body, all []byte) {
	inner := body{left: all[headerBytes:], memory: b.memory}
	codec := protocol.Attributes(binary.BigEndian.Uint16(all[attributesAt:])).Compression()
	if codec != compress.None && len(inner.left) > 0 {
		text, err := inflate(codec, inner.left, memoryMax-inner.memory)
		if err != nil {
			b.fail(err)
			return
		}
		inner.left = text
	}
	inner.memory += len(inner.left)
	count := int(int32(binary.BigEndian.Uint32(all[countAt:])))
	if count < 0 || count > len(inner.left) {
		b.fail(errCount)
		return
	}
	inner.grow(count, recordMemory)
	for ; count > 0 && inner.fault == nil; count-- {
		inner.record()
	}
	b.memory = inner.memory
	b.fail(inner.fault)
}

// record looks at a message.
func (b *body) record() {
	b.varint() // its length, which the library does not look at
	b.take(1)
	b.varint()
	b.varint()
	b.field() // key
	b.field() // value
	headers := b.within(uint64(max(0, b.varint())))
	b.grow(headers, headerMemory)
	for ; headers > 0 && b.fault == nil; headers-- {
		b.field()
		b.field()
	}
}

// field skips a part of a message.
func (b *body) field() { b.take(b.within(uint64(max(0, b.varint())))) }
