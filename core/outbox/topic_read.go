package outbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Message is one message of the topic.
type Message struct {
	Offset int64
	Entry  string // id of the outbox entry that it is; empty if it does not say
	Value  []byte // an encoded batch of events
}

// FromOutbox tells whether a program of sluice wrote the message, of any version: it names an entry as Redis does.
// What another program wrote is no event, whatever its bytes look like.
func (m *Message) FromOutbox() bool {
	ms, n, _ := strings.Cut(m.Entry, "-")
	return isUint(ms) && isUint(n)
}

// isUint tells of a 64-bit number without leading zeros.
func isUint(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && (s[0] != '0' || s == "0")
}

// Read is what one call of Topic.Read found. Not every offset has a message: Kafka gives some to the marks of
// transactions, and compaction takes messages away.
type Read struct {
	Messages []Message
	Next     int64 // offset to read from next
	End      int64 // offset that the next message written will have
	Missing  int64 // offsets before Next that had a message and have none now
}

// Read reads messages of one Kafka partition from an offset on (or kafka.FirstOffset), at most about
// bytesMax of them, and waits up to wait for the first. Next moves whenever Kafka has anything beyond the offset,
// also if that is no message. The error wraps kafka.OffsetOutOfRange if Kafka has nothing at that offset.
func (t *Topic) Read(ctx context.Context, partition int, offset int64, bytesMax int, wait time.Duration) (Read, error) {
	read, err := t.read(ctx, fetch{partition, offset, bytesMax, wait})
	if err != nil {
		return Read{}, fmt.Errorf("read partition %d of topic %s from offset %d: %w", partition, t.name, offset, InWords(err))
	}
	return read, nil
}

// fetch is one request for messages.
type fetch struct {
	partition int
	offset    int64
	bytesMax  int
	wait      time.Duration
}

func (t *Topic) read(ctx context.Context, f fetch) (Read, error) {
	answer, batches, err := t.fetch(ctx, f)
	if err != nil {
		return Read{}, err
	}
	if f.offset < 0 {
		f.offset = max(0, answer.LogStartOffset)
	}
	read := Read{Next: f.offset, End: answer.HighWatermark}
	for _, b := range batches {
		if err := read.add(b); err != nil {
			return Read{}, err
		}
	}
	if len(batches) > 0 && baseOf(batches[0]) >= 0 && read.Next == f.offset && read.Next < read.End {
		after, err := t.after(ctx, f, batches[0], read.End)
		if err != nil {
			return Read{}, err
		}
		read.skipTo(after)
	}
	return read, nil
}

// fetch returns whole batches of messages, as they were written. The first has the offset asked for, or is the
// first one after it.
func (t *Topic) fetch(ctx context.Context, f fetch) (*kafka.FetchResponse, []kafka.RecordReader, error) {
	answer, err := t.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: t.name, Partition: f.partition, Offset: f.offset,
		MinBytes: 1, MaxBytes: int64(f.bytesMax), MaxWait: f.wait,
	})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return nil, nil, err
	}
	if stream, ok := answer.Records.(*protocol.RecordStream); ok {
		return answer, stream.Records, nil
	}
	return answer, nil, nil
}

// after finds where a batch ends that begins before an offset and has no message from there on, because compaction
// took them away. Kafka answers with it wherever its messages were, and the library does not tell where that was.
func (t *Topic) after(ctx context.Context, f fetch, b kafka.RecordReader, end int64) (int64, error) {
	within, beyond := f.offset, end
	for f.bytesMax = 1; beyond-within > 1; { // Kafka gives the first batch whole
		f.offset = within + (beyond-within)/2
		_, found, err := t.fetch(ctx, f)
		if err != nil {
			return 0, err
		}
		if len(found) == 0 {
			return within, nil // Kafka gives nothing at the moment, and what it proved holds
		}
		if baseOf(found[0]) == baseOf(b) {
			within = f.offset
		} else {
			beyond = f.offset
		}
	}
	return beyond, nil
}

// baseOf is the first offset that a batch had, also if compaction took its message away. It is -1 in formats
// older than those of Kafka 0.11.
func baseOf(b kafka.RecordReader) int64 {
	switch b := b.(type) {
	case *protocol.RecordBatch:
		return b.BaseOffset
	case *protocol.ControlBatch:
		return b.BaseOffset
	}
	return -1
}

// add adds what a batch has from Next on. A batch may begin before it.
func (r *Read) add(b kafka.RecordReader) error {
	_, control := b.(*protocol.ControlBatch)
	for r.skipTo(baseOf(b)); ; {
		record, err := b.ReadRecord()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m, err := message(record)
		if err != nil {
			return err
		}
		if m.Offset < r.Next {
			continue
		}
		r.skipTo(m.Offset)
		r.Next++
		if !control {
			r.Messages = append(r.Messages, m)
		}
	}
}

// skipTo notes that there is nothing up to an offset.
func (r *Read) skipTo(offset int64) {
	if offset > r.Next {
		r.Missing += offset - r.Next
		r.Next = offset
	}
}

// message copies a record and gives its buffers back.
func message(record *kafka.Record) (Message, error) {
	m := Message{Offset: record.Offset}
	if record.Key != nil {
		defer record.Key.Close()
	}
	if record.Value != nil {
		defer record.Value.Close()
	}
	for _, header := range record.Headers {
		if header.Key == entryHeader {
			m.Entry = string(header.Value)
		}
	}
	var err error
	m.Value, err = kafka.ReadAll(record.Value)
	return m, err
}
