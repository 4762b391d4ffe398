package seller

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/assess"
	"sluice/catalog/internal/apikey"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Sealer keeps what is personal of sellers. *account.Secret is one.
type Sealer interface {
	// SealSeller encrypts what a seller applied with. It opens for the same seller only.
	SealSeller(seller ids.Seller, plain []byte) []byte
	// OpenSeller decrypts it.
	OpenSeller(seller ids.Seller, sealed []byte) ([]byte, error)
	// DrawSeller draws the id of a seller. A repetition of the user's request draws the same, so it finds the place of the first one.
	DrawSeller(user ids.User, key string) ids.Seller

	// SealInvitation, OpenInvitation and DrawInvitation do that for an invitation.
	SealInvitation(seller ids.Seller, id ids.Invitation, plain []byte) []byte
	OpenInvitation(seller ids.Seller, id ids.Invitation, sealed []byte) ([]byte, error)
	DrawInvitation(seller ids.Seller, user ids.User, key string) ids.Invitation
	// ProveInvitation is what only who got an invitation knows of it.
	ProveInvitation(seller ids.Seller, id ids.Invitation) [sha256.Size]byte
	// DrawKey draws what an API key follows from.
	DrawKey(seller ids.Seller, user ids.User, key string) [28]byte
	// SealWebhook, OpenWebhook and DrawWebhook do that for a webhook, and DrawWebhookSecret draws its secret, which so many were before.
	SealWebhook(seller ids.Seller, id ids.Webhook, plain []byte) []byte
	OpenWebhook(seller ids.Seller, id ids.Webhook, sealed []byte) ([]byte, error)
	DrawWebhook(seller ids.Seller, user ids.User, key string) ids.Webhook
	DrawWebhookSecret(seller ids.Seller, id ids.Webhook, before uint32, user ids.User, key string) [sha256.Size]byte
	// IndexInvited stands for an address that a seller invites.
	IndexInvited(seller ids.Seller, address string) [sha256.Size]byte
}

// Accounts is what sellers ask of accounts. *account.Accounts is one.
type Accounts interface {
	// HasEmail reports whether an active user signs in with an address.
	HasEmail(ctx context.Context, user ids.User, address account.Email) (bool, error)
	// Granted tells which roles an admin has granted to a user.
	Granted(ctx context.Context, user int64) (web.Roles, error)
	// Facts tells what is known of a user when something is assessed that this user wants.
	Facts(ctx context.Context, user ids.User) (assess.Facts, error)
	// Tell tells a user something, if that user can be told. What is told already is not told again.
	Tell(ctx context.Context, user ids.User, n account.Notice) error
}

// Messenger sends invitations to people who may have no account. Its refusals are problems.
type Messenger interface {
	// Allow counts an invitation that somebody wants to send, or refuses it.
	Allow(ctx context.Context, to string, from netip.Addr) error
	// Add adds a message to a transaction of a place of users. One that is there already is not added again.
	Add(ctx context.Context, tx *sql.Tx, at place.Place, m Message) error
}

// Message is an invitation as a messenger takes it.
type Message struct {
	Event  string
	To     string
	Locale string
	Seller string // its legal name
	Code   string
	Within time.Duration // of which it is of use
}

// Config has what sellers call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Sealer    Sealer
	Accounts  Accounts
	Messenger Messenger
	Assessor  Assessor        // nil: everybody passes
	Sender    *webhook.Sender // the caller closes it
	Metrics   *metrics.Set    // nil: nobody sees them
}

// Sellers has the sellers. It is safe for concurrent use.
type Sellers struct {
	databases *place.Databases
	sealer    Sealer
	accounts  Accounts
	messenger Messenger
	assessor  Assessor
	applying  chan struct{} // a place for each application that keeps a connection beside those of its statements
	keys      *apikey.Keys
	acts      audit.Log
	sender    *webhook.Sender
	line      *line
	sends     sends
}

// applyingMax bounds how many users apply at the same moment. Each takes a connection while it waits for others.
const applyingMax = 2

// New makes the sellers.
func New(cfg Config) *Sellers {
	s := &Sellers{
		databases: cfg.Databases, sealer: cfg.Sealer, accounts: cfg.Accounts, messenger: cfg.Messenger, assessor: cfg.Assessor, applying: make(chan struct{}, applyingMax),
		keys:   apikey.Of(owner, cfg.Databases, ScopeSeller, ScopeMembers, ScopeProducts, ScopeOffers, ScopeStockRead, ScopeStockWrite),
		sender: cfg.Sender, line: &line{of: map[ids.Seller]int{}}, sends: newSends(cfg.Metrics),
	}
	if s.assessor == nil {
		s.assessor = everybody{}
	}
	return s
}

// topic has the events of sellers. Their aggregate is the seller.
const topic = "sluice.sellers.v1"

// Work is what the package does besides answering.
func (s *Sellers) Work() work.Owner {
	return work.Owner{
		Name: owner, Kind: shard.Values, Topics: []string{topic},
		Tasks:   map[string]task.Handler{taskInvite: s.sendInvitation, taskTell: s.tellPerson, taskKey: s.noteKey, taskSend: s.sendWebhook},
		SlotsOf: map[string]int{taskSend: sendingMax},
		Times: []work.Time{
			{Item: schedule.Item{Name: "end_invitations", Every: time.Hour, At: 23 * time.Minute}, Everywhere: true, Do: s.endInvitations},
			{Item: schedule.Item{Name: "forget_deliveries", Every: time.Hour, At: 37 * time.Minute}, Everywhere: true, Do: s.forgetDeliveries},
		},
	}
}

// shardOf is the logical shard of a seller.
func shardOf(id ids.Seller) shard.Shard { return shard.OfValue(id.String()) }

// at is where the rows of a seller are.
func (s *Sellers) at(id ids.Seller) place.Place { return s.databases.At(shardOf(id)) }

// Caller is who asks for a write, under which key.
type Caller struct {
	audit.Author

	User    ids.User
	Key     string
	Address netip.Addr // where the request comes from
}

const (
	lockSeller = "SELECT state, version, applied_at, applicant, claimed_by, claim_ends_at > NOW(3), " +
		"EXISTS (SELECT 1 FROM seller_holds__ AS h WHERE h.seller_id = sellers__.seller_id) FROM sellers__ WHERE seller_id = ? FOR UPDATE"
	moveSeller = "UPDATE sellers__ SET state = ?, version = version + 1 WHERE seller_id = ? AND state = ?"
	insertMove = "INSERT INTO seller_history__ (seller_id, version, from_state, to_state, at, actor, reason) VALUES (?, ?, ?, ?, NOW(3), ?, ?)"
	selectRole = "SELECT role FROM seller_members__ WHERE seller_id = ? AND user_id = ?"
)

// locked is a seller whose row is locked until the transaction ends.
type locked struct {
	Seller

	applicant ids.User
	reviewer  ids.User // 0: nobody has claimed it
	claimed   bool     // the claim has not ended
	held      bool     // a person has to decide before anybody reviews it
}

// change is a transaction that changes a seller.
type change struct {
	s  *Sellers
	p  place.Place
	tx *sql.Tx
	in place.Conn
	by Caller
	// act is what the audit log gets, behind all else.
	act *audit.Act
	// deed is the last act of one of the seller's people.
	deed int64
}

// once changes a seller, or finds what the same request did the first time.
func (s *Sellers) once(ctx context.Context, id ids.Seller, by Caller, route string, asked any, do func(*change) (Seller, error)) (Seller, error) {
	return once(ctx, s, id, by, route, asked, do)
}

// once does a write of a seller, or finds the answer to the same request of the first time. Answers are kept, so they have nothing
// personal. The fingerprint is of all that the client chose.
func once[T any](ctx context.Context, s *Sellers, id ids.Seller, by Caller, route string, asked any, do func(*change) (T, error)) (done T, err error) {
	chosen, err := json.Marshal(asked, json.Deterministic(true))
	if err != nil {
		return done, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	of := replay.Request{
		User: int64(by.User), Route: route, Key: by.Key, Fingerprint: replay.Fingerprint([]byte(id.String()), []byte(by.Actor), chosen),
	}
	err = s.write(ctx, id, by, func(c *change) error {
		answer, _, err := replay.Of(owner, c.p.Suffix).Do(ctx, c.tx, of, func() (replay.Answer, error) {
			now, err := do(c)
			if err != nil {
				return replay.Answer{}, err
			}
			body, err := json.Marshal(now)
			return replay.Answer{Status: 200, Body: body}, err
		})
		if err != nil {
			return err
		}
		return json.Unmarshal(answer.Body, &done)
	})
	return done, err
}

// write does a write of a seller, in a transaction of its place.
func (s *Sellers) write(ctx context.Context, id ids.Seller, by Caller, do func(*change) error) error {
	p := s.at(id)
	_, err := p.Write(ctx, "seller", func(tx *sql.Tx) error {
		c := &change{s: s, p: p, tx: tx, in: p.In(tx), by: by}
		if err := do(c); err != nil || c.act == nil { // of a repetition there is no act
			return err
		}
		return s.acts.Append(ctx, c.in, shardOf(id), *c.act)
	})
	return err
}

// lock locks the row of a seller.
func (c *change) lock(ctx context.Context, id ids.Seller) (*locked, error) {
	l := &locked{Seller: Seller{ID: id}}
	var reviewer sql.Null[ids.User]
	var claimed sql.NullBool
	err := c.in.QueryRowContext(ctx, lockSeller, id).Scan(&l.State, &l.Version, &l.AppliedAt, &l.applicant, &reviewer, &claimed, &l.held)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, errUnknown
	case err != nil:
		return nil, db.WriteError("lock seller", err)
	}
	l.reviewer, l.claimed = reviewer.V, claimed.Bool
	return l, nil
}

// role is what a user is in a seller; empty: nobody.
func (c *change) role(ctx context.Context, id ids.Seller, user ids.User) (role string, err error) {
	err = c.in.QueryRowContext(ctx, selectRole, id, user).Scan(&role)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		err = db.WriteError("look for a member", err)
	}
	return role, err
}

// move moves a seller to a state, tells why in its history, and tells others what it means.
func (c *change) move(ctx context.Context, l *locked, to State, who by, reason string) error {
	if !may(l.State, to, who) {
		return wrongState("the seller is %s", l.State)
	}
	done, err := c.in.ExecContext(ctx, moveSeller, to, l.ID, l.State)
	if err != nil {
		return db.WriteError("move seller", err)
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return fmt.Errorf("move seller: %w: %d rows have the state that was read under a lock, %w", stock.ErrNotApplied, n, err)
	}
	from := l.State
	l.State, l.Version = to, l.Version+1
	return c.tell(ctx, &l.Seller, string(from), reason)
}

// tell writes a move into the history, and its event.
func (c *change) tell(ctx context.Context, s *Seller, from, reason string) error {
	if _, err := c.in.ExecContext(ctx, insertMove, s.ID, s.Version, sql.NullString{String: from, Valid: from != ""}, s.State, c.by.Actor, reason); err != nil {
		return db.WriteError("write a move", err)
	}
	return c.publish(ctx, s.ID, eventMoved, event{s.State, Means(s.State)})
}

// publish writes an event of a locked seller, for Kafka and for the seller's webhooks.
func (c *change) publish(ctx context.Context, id ids.Seller, kind string, what any) error {
	e, err := outbox.Of(owner, c.p.Suffix).Record(ctx, c.tx, topic, id.String(), kind, what)
	if err != nil {
		return err
	}
	return c.announce(ctx, id, e)
}

// event is what others are told of a seller: nothing personal.
type event struct {
	State State `json:"state"`
	Meaning
}

// privileged notes what the audit log gets.
func (c *change) privileged(l *locked, act, reason string, changes ...audit.Change) {
	c.act = &audit.Act{Author: c.by.Author, Act: act, Object: "seller:" + l.ID.String(), Why: reason, Changes: changes}
}

// readError is the error of a reading.
func readError(p place.Place, err error) error {
	return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("seller", "sellers"+p.Suffix, err))
}

// shown is a time as the API shows it: to the millisecond, in UTC.
func shown(at time.Time) time.Time { return at.UTC() }
