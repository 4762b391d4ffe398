package account

import (
	"context"
	"database/sql"
	"net/netip"
	"time"

	"sluice/core/ids"
	"sluice/core/place"
)

// Templates of messages.
const (
	templateVerify    = "verify_email"
	templateTaken     = "account_exists" // somebody registers with the address of an account
	templateReset     = "reset_password"
	templateNoAccount = "no_account" // somebody wants a new password for an address that has no account
	templateChanged   = "password_changed"

	templateEmailChanged = "email_changed"

	templateNewDevice = "new_sign_in"

	templateFactorSet     = "totp_set"
	templateFactorRemoved = "totp_removed"
	templateRecovery      = "recovery_code_used"
	templatePhone         = "sign_in_code"
	templateAdded         = "sign_in_added"
	templateRemoved       = "sign_in_removed"
)

// Message is what the owner of an address or a number is told.
type Message struct {
	Event    string   // the same one is sent once to a user
	User     ids.User // 0: somebody who has no account
	Template string
	Locale   string
	By       Kind // what it goes to
	To       string
	Values   map[string]string
	Within   time.Duration // how long it is of use; 0: as long as such messages are
}

// Ask is the wish of somebody for a message.
type Ask struct {
	By    Kind
	To    string
	From  netip.Addr
	Known bool // the asker has a device that the recipient's account knows
}

// Messenger sends messages. Its refusals are problems.
type Messenger interface {
	// Allow counts a message that somebody asks for without being signed in, or refuses it.
	Allow(ctx context.Context, a Ask) error
	// Add adds a message to a transaction of the place. It goes out once that has committed.
	Add(ctx context.Context, tx *sql.Tx, at place.Place, m Message) error
	// Forget deletes the messages of a user.
	Forget(ctx context.Context, at place.Place, user ids.User) error
}
