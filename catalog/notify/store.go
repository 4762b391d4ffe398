package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// Sealer encrypts what is personal, under a key of its user.
type Sealer interface {
	// Seal encrypts what a row has. It asks the transaction that writes the row, if anybody: transactions that waited for a
	// second connection could wait for each other.
	Seal(ctx context.Context, tx *sql.Tx, user ids.User, row int64, plain []byte) ([]byte, error)
	// Open decrypts. Its error wraps ErrErased if the key of the user was destroyed.
	Open(ctx context.Context, user ids.User, row int64, sealed []byte) ([]byte, error)
	// Index is a keyed hash: nobody without the key finds out what was hashed by hashing all that it could be.
	Index(name, value string) [32]byte
}

// ErrErased says that the user is erased, and with it what is personal.
var ErrErased = errors.New("the key of the user was destroyed")

// State is the state of a message.
type State string

// The states. All but the first one are final.
const (
	Waiting State = "waiting"
	Sent    State = "sent"
	Refused State = "refused" // by the recipient's server, for good
	Expired State = "expired" // it could not be sent while it was of use
	Erased  State = "erased"  // its user was
)

// final are the states in which nothing personal is left.
var final = []State{Sent, Refused, Expired, Erased}

const (
	insertMessage = "INSERT INTO notify_messages__ (user_id, event, template, channel, personal, until_at, made_at) " +
		"VALUES (?, ?, ?, ?, ?, NOW(3) + INTERVAL ? MICROSECOND, NOW(3))"
	readMessage = "SELECT user_id, event, template, channel, state, personal, until_at > NOW(3) FROM notify_messages__ WHERE message_id = ?"
	endMessage  = "UPDATE notify_messages__ SET state = ?, personal = NULL, ended_at = NOW(3) WHERE message_id = ? AND state = 'waiting'"
	forgetUser  = "DELETE FROM notify_messages__ WHERE user_id = ? LIMIT ?"
	expire      = "UPDATE notify_messages__ SET state = 'expired', personal = NULL, ended_at = NOW(3) " +
		"WHERE state = 'waiting' AND channel = ? AND until_at < NOW(3) - INTERVAL ? MICROSECOND LIMIT ?"
	deleteOld = "DELETE FROM notify_messages__ WHERE state = ? AND until_at < NOW(3) - INTERVAL ? MICROSECOND LIMIT ?"
)

const (
	// keptFor is how long a message is known after it was of use: so long it is sent once only.
	keptFor = 30 * 24 * time.Hour
	// expireAfter leaves messages to the tasks that send them: one of these may be at it.
	expireAfter = 5 * time.Minute
)

// kindOf is the kind of the tasks that send by a channel. Each has slots of its own: a mail server that hangs keeps back no short
// message. It is never renamed.
func kindOf(channel Channel) string { return "send_" + string(channel) }

// sending are the data of such a task.
type sending struct {
	Message int64 `json:"message_id,string"`
}

// personal is what is encrypted of a message.
type personal struct {
	To     string            `json:"to"`
	Locale string            `json:"locale"`
	Values map[string]string `json:"values"`
}

// Add writes a message, and the task that sends it, in a transaction of the place that has the rows of its user. A message
// that is there already is not added again, whatever it says. An error that is none of package stock's is a bug of the caller.
func (m *Messages) Add(ctx context.Context, tx *sql.Tx, at place.Place, message Message) error {
	if err := message.check(); err != nil {
		return err
	}
	if err := m.takes(message.Channel); err != nil {
		return err
	}
	plain, err := json.Marshal(personal{message.To, message.Locale, message.Values}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("message %s: its values are no text", message.Template)
	}
	sealed, err := m.o.Sealer.Seal(ctx, tx, message.User, message.row(), plain)
	if err != nil {
		return fmt.Errorf("add message %s: %w", message.Template, err)
	}
	added, err := at.In(tx).ExecContext(ctx, insertMessage, int64(message.User), message.Event, message.Template, string(message.Channel),
		sealed, message.Within.Microseconds())
	if db.Answer(err) == db.AnswerDuplicate {
		return nil
	}
	if err != nil {
		return db.WriteError("add message "+message.Template, err)
	}
	id, err := added.LastInsertId()
	if err != nil {
		return fmt.Errorf("add message %s: %w: %w", message.Template, stock.ErrNotApplied, err)
	}
	m.at("written")
	return task.Of(owner, at.Suffix).Add(ctx, tx, kindOf(message.Channel), message.name(), sending{id}, 0)
}

// stored is a message as its row has it.
type stored struct {
	Message

	state  State
	sealed []byte
	ofUse  bool
}

// read reads a message. There may be none, because its user was forgotten.
func (m *Messages) read(ctx context.Context, at place.Place, id int64) (s stored, found bool, err error) {
	err = at.In(at.Writer()).QueryRowContext(ctx, readMessage, id).Scan(
		&s.User, &s.Event, &s.Template, &s.Channel, &s.state, &s.sealed, &s.ofUse)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, false, nil
	case err != nil:
		return s, false, db.ReadError("a message", "notify_messages"+at.Suffix, err)
	}
	return s, true, nil
}

// open decrypts what is personal of a message.
func (m *Messages) open(ctx context.Context, s *stored) error {
	plain, err := m.o.Sealer.Open(ctx, s.User, s.row(), s.sealed)
	if err != nil {
		return err
	}
	var p personal
	if json.Unmarshal(plain, &p) != nil { // its error may quote
		return errors.New("what is personal of the message cannot be read")
	}
	s.To, s.Locale, s.Values = p.To, p.Locale, p.Values
	return nil
}

// end notes that a message needs nothing more, and forgets what was personal.
func (m *Messages) end(ctx context.Context, at place.Place, id int64, channel Channel, state State) error {
	done, err := at.In(at.Writer()).ExecContext(ctx, endMessage, string(state), id)
	if err != nil {
		return db.WriteError("note the end of a message", err)
	}
	counter := m.metrics.ended[channel][state]
	if n, err := done.RowsAffected(); err == nil && n > 0 && counter != nil { // a newer program may have other channels
		counter.Inc()
	}
	return nil
}

// Forget deletes all messages of a user, who is erased. Those that wait are not sent.
func (m *Messages) Forget(ctx context.Context, at place.Place, user ids.User) error {
	_, err := db.InParts(ctx, at.In(at.Writer()), "delete messages", forgetUser, int64(user))
	return err
}

// Clean gives up messages of a place whose time is over, and deletes old ones.
func (m *Messages) Clean(ctx context.Context, at place.Place) error {
	var faults []error
	for _, channel := range channels {
		n, err := db.InParts(ctx, at.In(at.Writer()), "give up messages", expire, string(channel), expireAfter.Microseconds())
		m.metrics.ended[channel][Expired].AddInt64(n)
		faults = append(faults, err)
	}
	for _, state := range final {
		_, err := db.InParts(ctx, at.In(at.Writer()), "delete old messages", deleteOld, string(state), keptFor.Microseconds())
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// CleanCounts deletes counts whose hour or day is over.
func (m *Messages) CleanCounts(ctx context.Context) error {
	_, err := db.InParts(ctx, m.o.Counts.In(m.o.Counts.Writer()), "delete old counts", deleteCounts)
	return err
}
