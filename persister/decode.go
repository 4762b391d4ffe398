package persister

import (
	"errors"
	"fmt"

	"sluice/core/event"
	"sluice/core/outbox"
)

// sqlTimeMaxMS is the end of the year 9999, the last that SQL knows.
const sqlTimeMaxMS = 253_402_300_799_999

// chunk has messages of one Kafka partition in order.
type chunk struct {
	partition int
	messages  []outbox.Message
	next      int64 // offset after them
}

// batch has the messages that one transaction applies.
type batch struct {
	events  []row
	letters []letter
	next    map[int]int64    // Kafka partition -> offset after the batch
	entries map[int][]string // partition -> outbox entries that MySQL has after it
}

func newBatch() *batch { return &batch{next: map[int]int64{}, entries: map[int][]string{}} }

// reset empties the batch and keeps its memory.
func (b *batch) reset() {
	clear(b.next)
	clear(b.entries)
	b.events, b.letters = b.events[:0], nil
}

// add decodes messages. It makes a dead letter of a message that cannot be applied.
func (b *batch) add(c chunk) {
	for i := range c.messages {
		b.addMessage(c.partition, &c.messages[i])
	}
	b.next[c.partition] = c.next
}

func (b *batch) addMessage(kafkaPartition int, m *outbox.Message) {
	from := &origin{partition: kafkaPartition, offset: m.Offset}
	if m.FromOutbox() {
		from.entry = m.Entry // only a valid id: an invalid one would spoil the whole call that deletes it
	}
	before := len(b.events)
	partition, err := b.decode(m.Value, from)
	if err != nil {
		// Keep its outbox entry: a program that can read it may still come, and until then Redis has the only copy that
		// counts.
		b.events = b.events[:before]
		reason := reasonMalformed
		if errors.Is(err, event.ErrVersion) && m.FromOutbox() {
			reason = reasonVersion
		}
		b.letters = append(b.letters, letter{reason: reason, detail: err.Error(), from: from, data: m.Value})
		return
	}
	kept := b.events[:before]
	for i := range b.events[before:] {
		r := &b.events[before+i]
		if err := r.Check(); err != nil {
			bad := *r // its place is taken by the next good one
			b.letters = append(b.letters, rowLetter(reasonInconsistent, err.Error(), &bad))
			continue
		}
		kept = append(kept, *r)
	}
	b.events = kept
	if from.entry != "" {
		b.entries[partition] = append(b.entries[partition], from.entry)
	}
}

// decode appends the events of a message. If it fails, it may have appended some.
func (b *batch) decode(data []byte, from *origin) (partition int, err error) {
	d, err := event.NewDecoder(data)
	if err != nil {
		return 0, err
	}
	if d.TimeMS > sqlTimeMaxMS {
		return 0, fmt.Errorf("%w: Redis time %d ms is after the year 9999", event.ErrMalformed, d.TimeMS)
	}
	for range d.Count {
		b.events = append(b.events, row{partition: d.Partition, timeMS: d.TimeMS, from: from})
		if err := d.Next(&b.events[len(b.events)-1].Event); err != nil {
			return 0, err
		}
	}
	return d.Partition, d.Close()
}

// size returns the size of the batch in events. A dead letter counts by its bytes, which can be as many as those of many
// events.
func (b *batch) size() int {
	size := len(b.events)
	for i := range b.letters {
		size += 1 + len(b.letters[i].data)/event.Bytes
	}
	return size
}

// rows are the events, by reference.
func (b *batch) rows() []*row {
	rows := make([]*row, len(b.events))
	for i := range b.events {
		rows[i] = &b.events[i]
	}
	return rows
}
