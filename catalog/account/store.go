package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sluice/catalog/account/audit"
	"sluice/catalog/account/internal/password"
	"sluice/catalog/account/internal/rows"
	"sluice/catalog/account/provider"
	"sluice/catalog/internal/vault"
	"sluice/core/auth"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

// Signer signs the tokens of shoppers, for the deployment's issuer and audience.
type Signer interface {
	Issue(c auth.Claims) (string, error)
	Published() []auth.PublishedKey
}

// Config has what accounts call.
type Config struct {
	Databases *place.Databases // the caller closes them
	Secret    *Secret
	Vault     *vault.Vault // that of NewVault
	Signer    Signer
	Messenger Messenger
	Assessor  Assessor            // nil: everybody passes
	Providers *provider.Providers // nil: none; the caller closes them
	Shop      string              // its name, as apps of second factors show it
	HashesMax int                 // of passwords that are made at the same time: 19 MiB and a core each
	Now       func() time.Time
	Log       *slog.Logger
}

// Accounts has the users. It is safe for concurrent use.
type Accounts struct {
	databases *place.Databases
	acts      audit.Log
	secret    *Secret
	personal  *vault.Vault
	signer    Signer
	messenger Messenger
	assessor  Assessor
	others    []Keeper
	providers *provider.Providers
	shop      string
	hasher    *password.Hasher
	throttle  *throttle
	granted   granted
	now       func() time.Time
	log       *slog.Logger
	step      func(name string) // tests stop a request there

	exchangeMax time.Duration // tests have less
}

// New makes the accounts.
func New(cfg Config) *Accounts {
	a := &Accounts{
		databases: cfg.Databases, secret: cfg.Secret, personal: cfg.Vault, signer: cfg.Signer, messenger: cfg.Messenger, assessor: cfg.Assessor, providers: cfg.Providers, shop: cfg.Shop,
		hasher: password.NewHasher(cfg.HashesMax), throttle: newThrottle(), now: cfg.Now, log: cfg.Log, step: func(string) {},
		exchangeMax: exchangeMax,
	}
	if a.assessor == nil {
		a.assessor = everybody{}
	}
	return a
}

// at is where the rows of a user are.
func (a *Accounts) at(user ids.User) place.Place { return a.databases.At(shard.OfUser(int64(user))) }

// User returns a user as of a position, or as of later: 0 may be a little old, and db.Never is as of now. Its error is a
// problem if there is none.
func (a *Accounts) User(ctx context.Context, id ids.User, from db.Position) (User, error) {
	p := a.at(id)
	read := func(conn place.Conn) (rows.User, error) { return rows.New(conn).User(ctx, id) }
	row, err := place.Read(ctx, p, from, read)
	if errors.Is(err, sql.ErrNoRows) && from != db.Never {
		row, err = place.Read(ctx, p, db.Never, read) // who is new is not in a reader yet
	}
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return User{}, errUnknown
	case err != nil: // whatever happened, nothing was changed
		return User{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("user", "users"+p.Suffix, err))
	}
	return User{ID: row.UserID, Home: Home{row.Region, row.Locale}, State: State(row.State), CreatedAt: row.CreatedAt}, nil
}

// Make makes a user who has an id already. A user who is known with the same home is a success. The first of several that
// come at once makes the user.
func (a *Accounts) Make(ctx context.Context, id ids.User, home Home, by audit.Author) (user User, made bool, err error) {
	if p := home.check(); p != nil {
		return user, false, p
	}
	p := a.at(id)
	err = db.Write(ctx, p.Writer(), "user", func(tx *sql.Tx) error {
		err := rows.New(p.In(tx)).InsertUser(ctx, rows.InsertUserParams{UserID: id, State: string(StateActive), Region: home.Region, Locale: home.Locale})
		if err != nil {
			return db.WriteError("write user", err)
		}
		if err := tell(ctx, p, tx, id, eventMade, event{State: StateActive}); err != nil {
			return err
		}
		return a.acts.Append(ctx, p.In(tx), shard.OfUser(int64(id)), audit.Act{
			Author: by, Act: "user.make", Object: audit.Of("user", int64(id)),
			Changes: []audit.Change{{Name: "region", After: home.Region}, {Name: "locale", After: home.Locale}},
		})
	})
	made = err == nil
	if err != nil && db.Answer(err) != db.AnswerDuplicate {
		return user, false, err
	}
	user, err = a.User(ctx, id, db.Never)
	switch {
	case err != nil && made:
		return user, false, fmt.Errorf("%w: %w", stock.ErrUnknown, err) // it was made, and the caller learns of it by asking again
	case err == nil && user.State == StateErased:
		return user, false, errErased
	case err == nil && user.Home != home:
		return user, false, errOther
	}
	return user, made, err
}
