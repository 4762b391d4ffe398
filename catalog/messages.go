package catalog

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/internal/vault"
	"sluice/catalog/notify"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

// openMessages opens the channels of messages. An inbox is shown at the ops port.
func (n *Node) openMessages(ctx context.Context, seals sealer) error {
	channels, err := n.cfg.Messages.Open()
	if err != nil {
		return err
	}
	n.parts.Close("close the channels of messages", channels.Close)
	texts, err := notify.LoadTexts(n.cfg.Messages.Shop, n.cfg.Messages.TextsDir)
	if err != nil {
		return err
	}
	if channels.Inbox != nil {
		n.ops.Handle("GET /messages", channels.Inbox)
		n.log.WarnContext(ctx, "whoever reaches the ops port reads the messages to all people (--messages-inbox)")
	}
	if channels.Senders[notify.SMS] == nil {
		n.log.InfoContext(ctx, "the shop sends no short messages, so nobody can sign in by phone", "setting", "--messages-webhook-file")
	}
	if channels.Senders[notify.Email] == nil {
		n.log.InfoContext(ctx, "the shop sends no e-mail, so nobody can register or change a password", "setting", "--messages-smtp")
	}
	n.messages = notify.New(notify.Options{
		Counts: n.databases.All(shard.Users)[0], Sealer: seals, Texts: texts, Senders: channels.Senders, Caps: n.cfg.Messages.Caps(),
		Metrics: n.set, Log: n.log,
	})
	return nil
}

// sealer seals what is personal of messages: of those to a user under the user's key, of others under the secret of accounts.
type sealer struct {
	secret *account.Secret
	vault  *vault.Vault
}

// messageField is where what is personal of a message is.
func messageField(row int64) vault.Field {
	return vault.Field{Table: "notify_messages", Column: "personal", Row: row}
}

// Seal implements notify.Sealer.
func (s sealer) Seal(ctx context.Context, tx *sql.Tx, user ids.User, row int64, plain []byte) ([]byte, error) {
	if user == 0 {
		return s.secret.SealMessage(row, plain), nil
	}
	box, err := s.vault.BoxIn(ctx, tx, int64(user))
	if err != nil {
		return nil, err
	}
	return box.Seal(messageField(row), plain)
}

// Open implements notify.Sealer.
func (s sealer) Open(ctx context.Context, user ids.User, row int64, sealed []byte) ([]byte, error) {
	if user == 0 {
		return s.secret.OpenMessage(row, sealed)
	}
	plain, err := s.vault.Open(ctx, int64(user), messageField(row), sealed)
	if errors.Is(err, vault.ErrErased) {
		err = notify.ErrErased
	}
	return plain, err
}

// Index implements notify.Sealer.
func (s sealer) Index(name, value string) [32]byte { return s.secret.IndexMessage(name, value) }

// messenger sends the messages of accounts.
type messenger struct{ *notify.Messages }

// Allow implements account.Messenger.
func (m messenger) Allow(ctx context.Context, a account.Ask) error {
	return m.Messages.Allow(ctx, notify.Ask{Channel: channelOf[a.By], To: a.To, From: a.From, Known: a.Known})
}

// channelOf has the ways to what users sign in with.
var channelOf = map[account.Kind]notify.Channel{account.KindEmail: notify.Email, account.KindPhone: notify.SMS}

// Add implements account.Messenger.
func (m messenger) Add(ctx context.Context, tx *sql.Tx, at place.Place, of account.Message) error {
	return m.Messages.Add(ctx, tx, at, notify.Message{
		Event: of.Event, User: of.User, Template: of.Template, Channel: channelOf[of.By], Locale: of.Locale, To: of.To, Values: of.Values, Within: of.Within,
	})
}

// sellerMessenger sends the invitations of sellers.
type sellerMessenger struct{ *notify.Messages }

// Allow implements seller.Messenger.
func (m sellerMessenger) Allow(ctx context.Context, to string, from netip.Addr) error {
	return m.Messages.Allow(ctx, notify.Ask{Channel: notify.Email, To: to, From: from})
}

// Add implements seller.Messenger. The recipient may have no account.
func (m sellerMessenger) Add(ctx context.Context, tx *sql.Tx, at place.Place, of seller.Message) error {
	return m.Messages.Add(ctx, tx, at, notify.Message{
		Event: of.Event, Template: "invitation", Channel: notify.Email, Locale: of.Locale, To: of.To, Within: of.Within,
		Values: map[string]string{"seller": of.Seller, "code": of.Code, "days": strconv.Itoa(int(of.Within / (24 * time.Hour)))},
	})
}
