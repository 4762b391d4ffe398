// Package outbox tells others what a package of the shop did. An event is written in the transaction of its effect, and a
// relay publishes it at least once. The events of an aggregate have versions without gaps, and come in their order. So a
// reader knows a repetition by its version, and knows that nothing is missing. No event has personal data.
package outbox

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// dataBytesMax is well below what Kafka takes in one message, so no event keeps back those behind it.
const dataBytesMax = 256 << 10

//go:embed tables.sql
var tables string

// Tables returns the statements that make the tables of an owner. A migration of the owner has them.
func Tables(owner string) string { return strings.ReplaceAll(tables, "OWNER", owner) }

// Event is an event as readers get it.
type Event struct {
	ID        ids.Event      `json:"event_id"`
	Type      string         `json:"type"` // a word; readers learn a new one before a writer uses it
	At        time.Time      `json:"at"`   // by the database's clock
	Aggregate string         `json:"aggregate_id"`
	Version   uint64         `json:"version"` // of the aggregate, without gaps from 1 on
	Data      jsontext.Value `json:"data"`
}

// Parse reads an event.
func Parse(message []byte) (e Event, err error) {
	if err := json.Unmarshal(message, &e); err != nil {
		return Event{}, fmt.Errorf("read event: %w", err)
	}
	if e.ID < 1 || e.Type == "" || e.Aggregate == "" || e.Version == 0 {
		return Event{}, errors.New("read event: it lacks event_id, type, aggregate_id or version")
	}
	return e, nil
}

var (
	topicForm     = regexp.MustCompile(`^sluice\.[a-z]{1,40}\.v[1-9]$`)
	wordForm      = regexp.MustCompile(`^[a-z][a-z0-9_.]{0,63}$`)
	aggregateForm = regexp.MustCompile(`^[0-9a-z_]{1,64}$`)
)

// Outbox is the outbox of an owner in a place.
type Outbox struct {
	next, insert, begin, events, list, order, remove, stand, versions string
}

// Of returns the outbox of an owner. The suffix is that of the place.
func Of(owner, suffix string) Outbox {
	events, versions := owner+"_outbox"+suffix, owner+"_versions"+suffix
	return Outbox{
		// The row stays locked until the commit: versions have the order of commits, and a rollback gives its version back.
		next: "INSERT INTO " + versions + " (topic, aggregate_id, version) VALUES (?, ?, LAST_INSERT_ID(1)) " +
			"ON DUPLICATE KEY UPDATE version = LAST_INSERT_ID(version + 1)",
		insert: "INSERT INTO " + events + " (topic, aggregate_id, version, event_id, type, at, data) VALUES (?, ?, ?, ?, ?, NOW(3), ?)",
		begin:  "INSERT INTO " + versions + " (topic, aggregate_id, version) VALUES ",
		events: "INSERT INTO " + events + " (topic, aggregate_id, version, event_id, type, at, data) VALUES ",
		list:   "SELECT id, aggregate_id, version, event_id, type, at, data FROM " + events + " WHERE topic = ?",
		order:  " ORDER BY id LIMIT ?",
		remove: "DELETE FROM " + events + " WHERE id IN (",
		stand:  "SELECT COUNT(*), COALESCE(TIMESTAMPDIFF(MICROSECOND, MIN(at), NOW(3)), 0) FROM (SELECT at FROM " + events + " ORDER BY id LIMIT ?) AS oldest",
		versions: "SELECT aggregate_id, version FROM " + versions +
			" WHERE topic = ? AND aggregate_id > ? ORDER BY aggregate_id LIMIT ?",
	}
}

// Append writes an event into the transaction of its effect, and returns the version that its aggregate has by it. The
// aggregate is locked until the transaction ends: who changes several ones in a transaction takes them in one order.
func (o Outbox) Append(ctx context.Context, tx *sql.Tx, topic, aggregate, kind string, data any) (version uint64, err error) {
	e, err := o.Record(ctx, tx, topic, aggregate, kind, data)
	return e.Version, err
}

// Record is Append, and returns the event as readers get it, but for when it was.
func (o Outbox) Record(ctx context.Context, tx *sql.Tx, topic, aggregate, kind string, data any) (e Event, err error) {
	if !topicForm.MatchString(topic) || !aggregateForm.MatchString(aggregate) || !wordForm.MatchString(kind) {
		return Event{}, fmt.Errorf("append event: topic %.40q, aggregate %.80q or type %.80q: %w", topic, aggregate, kind, stock.ErrNotApplied)
	}
	text, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("append event: %w: %w", stock.ErrNotApplied, err)
	}
	if len(text) > dataBytesMax {
		return Event{}, fmt.Errorf("append event: %w: %s has %d bytes of data, want at most %d", stock.ErrNotApplied, kind, len(text), dataBytesMax)
	}
	done, err := tx.ExecContext(ctx, o.next, topic, aggregate)
	if err != nil {
		return Event{}, db.WriteError("append event", err)
	}
	last, err := done.LastInsertId()
	if err != nil {
		return Event{}, fmt.Errorf("append event: %w: %w", stock.ErrNotApplied, err)
	}
	e = Event{ID: ids.Random[ids.Event](), Type: kind, Aggregate: aggregate, Version: uint64(last), Data: text}
	if _, err = tx.ExecContext(ctx, o.insert, topic, aggregate, last, e.ID, kind, text); err != nil {
		return Event{}, db.WriteError("append event", err)
	}
	return e, nil
}

// First is the first event of an aggregate.
type First struct {
	Aggregate string
	Data      any
}

// firstsMax bounds what a statement takes.
const firstsMax = 1000

// Begin writes the first events of up to 1,000 aggregates that have none. It is Append for many at once.
func (o Outbox) Begin(ctx context.Context, tx *sql.Tx, topic, kind string, of []First) error {
	if len(of) == 0 || len(of) > firstsMax || !topicForm.MatchString(topic) || !wordForm.MatchString(kind) {
		return fmt.Errorf("append %d events: topic %.40q or type %.80q: %w", len(of), topic, kind, stock.ErrNotApplied)
	}
	var versions, events []any
	for _, f := range of {
		text, err := json.Marshal(f.Data)
		if err != nil {
			return fmt.Errorf("append event: %w: %w", stock.ErrNotApplied, err)
		}
		if len(text) > dataBytesMax || !aggregateForm.MatchString(f.Aggregate) {
			return fmt.Errorf("append event: %w: aggregate %.80q with %d bytes of data", stock.ErrNotApplied, f.Aggregate, len(text))
		}
		versions = append(versions, topic, f.Aggregate)
		events = append(events, topic, f.Aggregate, ids.Random[ids.Event](), kind, text)
	}
	for _, part := range []struct {
		head, row string
		values    []any
	}{{o.begin, "(?, ?, 1)", versions}, {o.events, "(?, ?, 1, ?, ?, NOW(3), ?)", events}} {
		if _, err := tx.ExecContext(ctx, part.head+strings.TrimSuffix(strings.Repeat(part.row+", ", len(of)), ", "), part.values...); err != nil {
			return db.WriteError("append events", err)
		}
	}
	return nil
}

// page is the statement that lists the oldest events of a topic, but for those of some of its slots.
func (o Outbox) page(topic string, slots int, but []int, limit int) (statement string, values []any) {
	statement, values = o.list, []any{topic}
	if len(but) > 0 {
		statement, values = statement+" AND CRC32(aggregate_id) % ? NOT IN ("+marks(len(but))+")", append(values, slots)
		for _, slot := range but {
			values = append(values, slot)
		}
	}
	return statement + o.order, append(values, limit)
}

// slotOf is the slot of an aggregate, of so many as the topic has partitions. The statement of page computes the same.
func slotOf(aggregate string, slots int) int {
	return int(crc32.ChecksumIEEE([]byte(aggregate)) % uint32(slots))
}

// marks stand for values in a statement.
func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// Version is the version of an aggregate.
type Version struct {
	Aggregate string
	Version   uint64
}

// Snapshot reads a page of the aggregates of a topic after a cursor, and calls rows in the same snapshot of the database:
// what rows reads has just these versions. An aggregate that rows does not find is deleted. The next cursor is empty after
// the last page. A reader of the topic begins with this, from the first page to the last one, and then takes the events
// whose versions are higher; it remembers where the topic ended before the first page, and reads it from there on. The
// place's writer is read: a replica that is behind would leave out what the topic had before that end.
func (o Outbox) Snapshot(ctx context.Context, from place.Place, topic, cursor string, limit int, rows func(*sql.Tx, []Version) error) (next string, err error) {
	tx, err := from.Writer().BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return "", fmt.Errorf("read a snapshot: %w", err)
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	var page []Version
	err = db.Rows(ctx, tx, func(row *sql.Rows) error {
		var v Version
		err := row.Scan(&v.Aggregate, &v.Version)
		page = append(page, v)
		return err
	}, o.versions, topic, cursor, limit)
	if err != nil {
		return "", fmt.Errorf("read a snapshot: %w", err)
	}
	if len(page) == limit {
		next = page[limit-1].Aggregate
	}
	return next, rows(tx, page)
}
