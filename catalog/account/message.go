package account

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/task"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// Templates of messages.
const (
	templateVerify    = "verify_email"
	templateTaken     = "account_exists" // somebody registers with the address of an account
	templateReset     = "reset_password"
	templateNoAccount = "no_account" // somebody wants a new password for an address that has no account
	templateChanged   = "password_changed"
)

// Message is what the owner of an address is told.
type Message struct {
	Event    string   // the same one is sent once to a user
	User     ids.User `json:",omitzero"` // 0: somebody who has no account
	Template string
	Locale   string
	To       Email
	Values   map[string]string
	Within   time.Duration `json:"-"` // how long it is of use
}

// Messenger sends messages.
type Messenger interface {
	// Add adds a message to a transaction of the place. It goes out once that has committed.
	Add(ctx context.Context, tx *sql.Tx, at place.Place, m Message) error
}

// kindMessage is the kind of tasks that send a message.
const kindMessage = "send_message"

// Queue is a Messenger that keeps messages as tasks of the package, encrypted, until somebody sends them.
type Queue struct{ Secret *Secret }

type queued struct {
	Sealed []byte `json:"sealed"`
	Within int64  `json:"within_seconds"`
}

// Add implements Messenger.
func (q Queue) Add(ctx context.Context, tx *sql.Tx, at place.Place, m Message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write message %s: %w: %w", m.Template, stock.ErrNotApplied, err)
	}
	return task.Of(owner, at.Suffix).Add(ctx, tx, kindMessage, m.Event, queued{q.Secret.seal(0, "message", text), int64(m.Within / time.Second)}, 0)
}

// Open reads the data of a task.
func (q Queue) Open(data []byte) (m Message, err error) {
	var held queued
	if err := json.Unmarshal(data, &held); err != nil {
		return m, fmt.Errorf("read message: %w", err)
	}
	text, err := q.Secret.open(0, "message", held.Sealed)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	m.Within = time.Duration(held.Within) * time.Second
	return m, err
}
