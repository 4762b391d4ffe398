package ledger

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sluice/core/event"
	"sluice/core/show"
)

// Why something is a dead letter: a fixed set of words, in the table too.
const (
	ReasonVersion      = "unknown_version" // a message of a format that a newer program wrote
	ReasonMalformed    = "malformed"       // a message that is no batch of events
	ReasonInconsistent = "inconsistent"    // an event that no script can have made
	ReasonFork         = "fork"            // an event whose place in the ledger belongs to another event
	ReasonRefused      = "refused"         // an event that the database refuses
	ReasonBroken       = "broken_chain"    // an event whose balances do not follow from those before it
)

// Reasons lists all of them.
var Reasons = []string{ReasonVersion, ReasonMalformed, ReasonInconsistent, ReasonFork, ReasonRefused, ReasonBroken}

// The errors of decisions about a dead letter.
var (
	ErrLetterID    = errors.New("a dead letter's id is 64 lower-case hexadecimal digits")
	ErrNoLetter    = errors.New("no such dead letter")
	ErrNeverReplay = errors.New("it is never applied again")
)

// Replays reports whether a letter with this reason may be applied again. A newer program may be able to read it, or
// somebody may have repaired what refused it. A fork is never applied again, because another event has its position, and
// neither is the event of a broken chain, because the ledger already has it.
func Replays(reason string) bool {
	switch reason {
	case ReasonVersion, ReasonMalformed, ReasonInconsistent, ReasonRefused:
		return true
	}
	return false
}

// LetterID identifies a dead letter. If the same message or event arrives again, it is the same letter.
type LetterID [sha256.Size]byte

// String is the id as 64 lower-case hexadecimal digits.
func (id LetterID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id LetterID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// ParseLetterID reads what String wrote, and nothing else.
func ParseLetterID(text string) (id LetterID, err error) {
	data, err := hex.DecodeString(text)
	if err != nil || len(data) != len(id) || hex.EncodeToString(data) != text {
		return id, ErrLetterID
	}
	return LetterID(data), nil
}

// Letter is a dead letter without its bytes: a message or event that a persister could not apply.
type Letter struct {
	ID     LetterID `json:"letter_id"`
	Reason string   `json:"reason"`
	Detail string   `json:"detail"`
	Bytes  int64    `json:"bytes"` // length of the message or event

	// The event in question; empty for a whole message.
	SKU    show.ID `json:"sku_id,omitzero"`
	Sale   show.ID `json:"sale_id,omitzero"`
	Bucket uint16  `json:"bucket,omitzero"`
	Epoch  uint32  `json:"epoch,omitzero"`
	Seq    uint64  `json:"seq,omitzero"`

	// Where in Kafka it was first seen; empty if it was not read from Kafka.
	KafkaPartition *int64 `json:"kafka_partition,omitzero"`
	KafkaOffset    *int64 `json:"kafka_offset,omitzero"`
	Entry          string `json:"outbox_entry,omitzero"`

	CreatedAt  show.Moment `json:"created_at"`
	Evidence   bool        `json:"evidence"` // it may keep Redis shut: a fork always does, another letter does if Redis lacks its event
	Replays    bool        `json:"replays"`  // a persister may apply it again
	ResolvedAt show.Moment `json:"resolved_at,omitzero"`
	ResolvedBy string      `json:"resolved_by,omitzero"`
	Resolution string      `json:"resolution,omitzero"` // the reason for the decision, or the result of a replay

	ReplayAskedAt show.Moment `json:"replay_asked_at,omitzero"` // since when persisters are asked to apply it again
	ReplayAskedBy string      `json:"replay_asked_by,omitzero"`
	ReplayRefusal string      `json:"replay_refusal,omitzero"` // why its last replay changed nothing
}

const selectLetters = `SELECT letter_id, reason, detail, LENGTH(data), COALESCE(sku_id, 0), COALESCE(pool, 0),
	COALESCE(bucket, 0), COALESCE(epoch, 0), COALESCE(seq, 0), kafka_partition, kafka_offset, COALESCE(entry_id, ''),
	created_at, resolved_at, COALESCE(resolved_by, ''), COALESCE(resolution, ''), replay_asked_at,
	COALESCE(replay_asked_by, ''), COALESCE(replay_refusal, '') FROM dead_letters `

// scanLetter reads a row of selectLetters.
func scanLetter(rows *sql.Rows) (l Letter, err error) {
	var id []byte
	var created, resolved, asked sql.NullTime
	err = rows.Scan(&id, &l.Reason, &l.Detail, &l.Bytes, &l.SKU, &l.Sale, &l.Bucket, &l.Epoch, &l.Seq, &l.KafkaPartition,
		&l.KafkaOffset, &l.Entry, &created, &resolved, &l.ResolvedBy, &l.Resolution, &asked, &l.ReplayAskedBy, &l.ReplayRefusal)
	if err == nil && len(id) != len(l.ID) {
		err = fmt.Errorf("id %x: want %d bytes", id, len(l.ID))
	}
	if err != nil {
		return l, err
	}
	l.ID = LetterID(id)
	l.CreatedAt, l.ResolvedAt, l.ReplayAskedAt = momentOf(created), momentOf(resolved), momentOf(asked)
	// core/evidence judges in the same way.
	l.Evidence = l.ResolvedAt == 0 && (l.SKU != 0 || l.Reason == ReasonVersion)
	l.Replays = l.ResolvedAt == 0 && Replays(l.Reason)
	return l, nil
}

// LetterContent is a dead letter with the message or event that could not be applied.
type LetterContent struct {
	Letter
	Data      string        `json:"data"` // its first bytes, in hexadecimal digits
	Partition int           `json:"partition"`
	RedisMS   int64         `json:"redis_ms,omitzero"`
	Events    []LetterEvent `json:"events"`
	Unread    string        `json:"unread,omitzero"` // why the bytes cannot be read as events
}

// LetterEvent is an event in a dead letter.
type LetterEvent struct {
	Kind        string      `json:"kind"`
	Reservation string      `json:"reservation_id"`
	User        show.ID     `json:"user_id,omitzero"`
	Quantity    int64       `json:"quantity"`
	SKU         show.ID     `json:"sku_id"`
	Sale        show.ID     `json:"sale_id,omitzero"`
	Bucket      uint16      `json:"bucket,omitzero"`
	Epoch       uint32      `json:"epoch"`
	Seq         uint64      `json:"seq"`
	Avail       int64       `json:"avail"`
	Held        int64       `json:"held"`
	Sold        int64       `json:"sold"`
	ExpiresAt   show.Moment `json:"expires_at,omitzero"`
	Delta       *int64      `json:"delta,omitzero"`
	Text        string      `json:"reason,omitzero"`
	Fault       string      `json:"fault,omitzero"` // why no script can have made it
}

// dataShownMax bounds the bytes of a letter that are shown.
const dataShownMax = 4096

func (c *LetterContent) decode(data []byte) {
	c.Data, c.Events = hex.EncodeToString(data[:min(len(data), dataShownMax)]), []LetterEvent{}
	b, err := event.Decode(data)
	if err != nil {
		c.Unread = err.Error()
		return
	}
	c.Partition, c.RedisMS = b.Partition, b.TimeMS
	for i := range b.Events {
		e := &b.Events[i]
		shown := LetterEvent{
			Kind: e.Kind.String(), Reservation: e.Reservation.String(), User: show.ID(e.User), Quantity: e.Quantity,
			SKU: show.ID(e.Cell.SKU), Sale: show.ID(e.Cell.Pool), Bucket: e.Cell.Bucket, Epoch: e.Epoch, Seq: e.Seq,
			Avail: e.Avail, Held: e.Held, Sold: e.Sold, ExpiresAt: show.Moment(e.DeadlineMS), Text: e.Change.Reason,
		}
		if e.Kind.Adjusts() {
			shown.Delta = &e.Change.Delta
		}
		if err := e.Check(); err != nil {
			shown.Fault = err.Error()
		}
		c.Events = append(c.Events, shown)
	}
}

// LetterFilter says which dead letters to list.
type LetterFilter struct {
	Reason    string // empty: any
	Partition *int   // Kafka's; nil: any
	Resolved  string // "false", "true" or "any"; empty: "false"
}

// where returns the filter as a condition.
func (f *LetterFilter) where() (condition string, err error) {
	if f.Reason != "" {
		if !slices.Contains(Reasons, f.Reason) {
			return "", fmt.Errorf("%w: reason %.40q: want %s", ErrFilter, f.Reason, strings.Join(Reasons, ", "))
		}
		condition += " AND reason = '" + f.Reason + "'"
	}
	if f.Partition != nil {
		if *f.Partition < 0 {
			return "", fmt.Errorf("%w: partition %d: want 0 or more", ErrFilter, *f.Partition)
		}
		condition += " AND kafka_partition = " + strconv.Itoa(*f.Partition)
	}
	switch f.Resolved {
	case "", "false":
		condition += " AND resolved_at IS NULL"
	case "true":
		condition += " AND resolved_at IS NOT NULL"
	case "any":
	default:
		return "", fmt.Errorf("%w: resolved %.40q: want false, true or any", ErrFilter, f.Resolved)
	}
	return condition, nil
}
