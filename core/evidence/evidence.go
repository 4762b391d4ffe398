// Package evidence says what MySQL and Kafka know of the stock. A vetting uses it to find out, before Redis sells,
// whether Redis has lost acknowledged effects.
package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"sluice/core/config"
	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/outbox"
	"sluice/core/stock"
)

const (
	fetchBytes = 4 << 20
	fetchWait  = time.Second
	fetchPause = 100 * time.Millisecond // after a fetch that gave nothing
	fetchMax   = 30 * time.Second       // for how long fetches may give nothing
)

// OnVersion says what to do about dead letters of an unknown version. It is part of the error about them.
const OnVersion = "sluice deadletter list --reason unknown_version names them: run persisters of the version that wrote them, " +
	"and sluice deadletter replay for each, or, if no program of yours wrote one, sluice deadletter resolve"

// errNothing means that Kafka does not return messages although its offsets say that it has them.
var errNothing = errors.New("kafka gives nothing though it has more")

// KafkaTail names the messages that MySQL may not have yet: the messages of a topic that the persisters' group has not
// committed.
type KafkaTail struct {
	Brokers []string
	Topic   string
	Group   string
}

// Evidence has the highest position of each cell, from MySQL's stock table and dead letters and from the tail of Kafka.
// MySQL has everything that was persisted, the tail everything that was published and not persisted.
type Evidence struct {
	books    *ledger.Reader
	tail     KafkaTail
	patience time.Duration
}

// New makes evidence from a database, which the caller closes, and a tail of Kafka.
func New(db *sql.DB, tail KafkaTail) *Evidence {
	return &Evidence{books: ledger.New(db, nil), tail: tail, patience: fetchMax}
}

// Highest yields positions, cells in any order and any number of times, and stops at the first error. It fixes the tail
// before it reads MySQL. So an event that is persisted in between is in both, and none is missed.
func (e *Evidence) Highest(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	topic := outbox.NewTopic(e.tail.Brokers, e.tail.Topic)
	defer topic.Close()
	unread, err := topic.Tail(ctx, e.tail.Group)
	if err != nil {
		return &config.ServerError{Server: "Kafka", Err: fmt.Errorf("read tail of kafka: %w", err)}
	}
	if err := e.fromMySQL(ctx, yield); err != nil {
		return err
	}
	for partition, r := range unread {
		if err := e.fromKafka(ctx, topic, partition, r, yield); err != nil {
			return err
		}
	}
	return nil
}

// Forks implements redisstock.Evidence. It yields the forks that nobody has dealt with yet. Highest has none of them,
// because the event that took the other one's place counts as a position.
func (e *Evidence) Forks(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	return e.books.ForkPositions(ctx, yield)
}

// Tail yields the events that Kafka has and MySQL may not have yet, in the batches in which they were written. It leaves out
// messages that are no batch of events, or of a version that this program does not know. Persisters make them dead
// letters.
func (e *Evidence) Tail(ctx context.Context, yield func(*event.Batch) error) error {
	topic := outbox.NewTopic(e.tail.Brokers, e.tail.Topic)
	defer topic.Close()
	unread, err := topic.Tail(ctx, e.tail.Group)
	if err != nil {
		return &config.ServerError{Server: "Kafka", Err: fmt.Errorf("read tail of kafka: %w", err)}
	}
	for partition, r := range unread {
		err := e.messages(ctx, topic, partition, r, func(m *outbox.Message) error {
			b, err := event.Decode(m.Value)
			if err != nil || !m.FromOutbox() {
				return nil //nolint:nilerr // a dead letter
			}
			return yield(&b)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Evidence) fromMySQL(ctx context.Context, yield func(stock.Cell, stock.Position) error) error {
	letters, err := e.books.Unresolved(ctx)
	if err != nil {
		return err
	}
	if unknown := letters[ledger.ReasonVersion]; unknown > 0 {
		return fmt.Errorf("%w: %d dead letters: %s", event.ErrVersion, unknown, OnVersion)
	}
	// Letters first: if a letter is applied and resolved in between, the stock table has its event.
	if err := e.books.LetterPositions(ctx, yield); err != nil {
		return err
	}
	return e.books.StockPositions(ctx, yield)
}

func (e *Evidence) fromKafka(ctx context.Context, topic *outbox.Topic, partition int, r outbox.Range, yield func(stock.Cell, stock.Position) error) error {
	return e.messages(ctx, topic, partition, r, func(m *outbox.Message) error { return yieldMessage(m, yield) })
}

// messages yields the messages of a range in order.
func (e *Evidence) messages(ctx context.Context, topic *outbox.Topic, partition int, r outbox.Range, yield func(*outbox.Message) error) error {
	for r.First < r.End {
		read, err := readOn(ctx, topic, partition, r.First, e.patience)
		if err != nil {
			return &config.ServerError{Server: "Kafka", Err: fmt.Errorf("read tail of kafka: %w", err)}
		}
		for i := range read.Messages {
			if err := yield(&read.Messages[i]); err != nil {
				return fmt.Errorf("message %d of kafka partition %d: %w", read.Messages[i].Offset, partition, err)
			}
		}
		r.First = read.Next
	}
	return nil
}

// readOn reads from an offset before the end. It fails if Kafka gives nothing for as long as patience allows.
func readOn(ctx context.Context, topic *outbox.Topic, partition int, offset int64, patience time.Duration) (outbox.Read, error) {
	enough := time.After(patience)
	for {
		read, err := topic.Read(ctx, partition, offset, fetchBytes, fetchWait)
		if err != nil || read.Next > offset {
			return read, err
		}
		select {
		case <-time.After(fetchPause):
		case <-enough:
			return outbox.Read{}, fmt.Errorf("%w: partition %d from offset %d on, for %v: see the log of its broker, and whether it has a quota for this client",
				errNothing, partition, offset, patience)
		case <-ctx.Done():
			return outbox.Read{}, ctx.Err()
		}
	}
}

// yieldMessage yields the positions of a message's events, even of events that persisters will not apply and make dead
// letters of. It ignores a message that is no batch of events. A batch of an unknown version is an error, because it
// could be about any cell.
func yieldMessage(m *outbox.Message, yield func(stock.Cell, stock.Position) error) error {
	b, err := event.Decode(m.Value)
	if errors.Is(err, event.ErrVersion) && m.FromOutbox() {
		return fmt.Errorf("%w: start a persister, which makes it a dead letter; then %s", err, OnVersion)
	}
	if err != nil {
		return nil //nolint:nilerr // a dead letter; the persisters shout about it
	}
	for i := range b.Events {
		if err := yield(b.Events[i].Cell, b.Events[i].Position); err != nil {
			return err
		}
	}
	return nil
}
