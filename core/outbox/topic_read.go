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
	Entry  string // id of its outbox entry; empty if the message does not name one
	Value  []byte // an encoded batch of events
}

// FromOutbox reports whether some version of sluice wrote the message: it names an outbox entry in the form of Redis'
// ids. A message of another program is not an event, whatever its bytes look like.
func (m *Message) FromOutbox() bool {
	ms, n, _ := strings.Cut(m.Entry, "-")
	return isUint(ms) && isUint(n)
}

// isUint reports whether s is a 64-bit number without leading zeros.
func isUint(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil && (s[0] != '0' || s == "0")
}

// Read is the result of one call of Topic.Read. Not every offset has a message: Kafka uses some for the marks of
// transactions, and compaction removes messages.
type Read struct {
	Messages []Message
	Next     int64 // offset to read from next
	End      int64 // offset that the next message written will have
	Missing  int64 // offsets before Next that had a message and have none now
}

// Read reads messages of one Kafka partition from an offset on, or from kafka.FirstOffset. It reads about bytesMax bytes
// at most, and waits up to wait for the first message. Next moves whenever Kafka has anything after the offset, even
// if that is no message. The error wraps kafka.OffsetOutOfRange if Kafka has nothing at that offset.
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

// fetch returns whole batches of messages, as they were written. The first batch contains the offset, or is the first
// one after it.
func (t *Topic) fetch(ctx context.Context, f fetch) (*kafka.FetchResponse, []kafka.RecordReader, error) {
	answer, err := t.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: t.name, Partition: f.partition, Offset: f.offset,
		MinBytes: 1, MaxBytes: int64(f.bytesMax), MaxWait: f.wait,
	})
	if err == nil {
		err = answer.Error
	}
	t.saw(f.partition, err)
	if err != nil {
		return nil, nil, err
	}
	if stream, ok := answer.Records.(*protocol.RecordStream); ok {
		return answer, stream.Records, nil
	}
	return answer, nil, nil
}

// after finds the end of a batch that begins before an offset and has no message from there on, because compaction
// removed them. Kafka answers with this batch for every offset that it once had, and the library does not tell which
// those are. So after tries offsets between the two ends by halves.
func (t *Topic) after(ctx context.Context, f fetch, b kafka.RecordReader, end int64) (int64, error) {
	within, beyond := f.offset, end
	for f.bytesMax = 1; beyond-within > 1; { // Kafka gives the first batch whole
		f.offset = within + (beyond-within)/2
		_, found, err := t.fetch(ctx, f)
		if err != nil {
			return 0, err
		}
		if len(found) == 0 {
			return within, nil // Kafka gives nothing at the moment; what it has shown so far holds
		}
		if baseOf(found[0]) == baseOf(b) {
			within = f.offset
		} else {
			beyond = f.offset
		}
	}
	return beyond, nil
}

// baseOf returns the first offset that a batch was written with, even if compaction has removed that message. It
// returns -1 for formats older than those of Kafka 0.11.
func baseOf(b kafka.RecordReader) int64 {
	switch b := b.(type) {
	case *protocol.RecordBatch:
		return b.BaseOffset
	case *protocol.ControlBatch:
		return b.BaseOffset
	}
	return -1
}

// add adds the messages of a batch from Next on. The batch may begin before Next.
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

// skipTo notes that nothing is left before an offset.
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
