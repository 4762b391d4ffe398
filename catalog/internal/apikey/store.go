package apikey

import (
	"cmp"
	"context"
	"crypto/subtle"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
	"sluice/core/text"
)

//go:embed table.sql
var table string

// Table returns the statement that makes the table of an owner. A migration of the owner has it. It is in every place of values.
func Table(owner string) string { return strings.ReplaceAll(table, "OWNER", owner) }

// Bounds of keys.
const (
	LifeMin       = time.Hour
	LifeMax       = 366 * 24 * time.Hour
	PerHolderMax  = 20 // keys that have not ended
	nameBytesMax  = 100
	scopesMax     = 16
	usedEvery     = 5 * time.Minute
	noteWithin    = 500 * time.Millisecond // of the request's time
	columns       = "prefix, holder, name, scopes, made_at, ends_at, last_used_at, revoked_at"
	duplicatesMax = 3
)

// Key is a key as its holder sees it.
type Key struct {
	Prefix     string
	Holder     int64
	Name       string
	Scopes     []string
	MadeAt     time.Time
	EndsAt     time.Time
	LastUsedAt time.Time // to a few minutes; zero: never
	RevokedAt  time.Time // zero: it was not
}

// Allows reports whether the key has a scope.
func (k *Key) Allows(scope string) bool { return slices.Contains(k.Scopes, scope) }

var (
	// ErrKey means that a text is no key that is good. It does not say whether it ever was.
	ErrKey = errors.New("it is no valid API key")
	// ErrForm means that a key was asked for that none can be.
	ErrForm = errors.New("no such API key is made")
	// ErrTooMany means that a holder has as many keys as it may have.
	ErrTooMany = fmt.Errorf("the holder has %d API keys: revoke one first", PerHolderMax)
	// ErrMade means that a seed has made another key than the one that is asked for, or one that is not good any more.
	ErrMade = errors.New("the API key was made as another one, or has ended")
	// ErrUnknown means that a holder has no such key.
	ErrUnknown = errors.New("there is no such API key")
)

// Keys are the keys of an owner, in all places. They are safe for concurrent use.
type Keys struct {
	databases *place.Databases
	scopes    []string

	insert, find, look, used, list, knows, count, revoke string
}

// Of returns the keys of an owner, and the scopes that they may have.
func Of(owner string, databases *place.Databases, scopes ...string) *Keys {
	name := owner + "_api_keys__"
	const good = " AND revoked_at IS NULL AND ends_at > NOW(3)"
	return &Keys{
		databases: databases, scopes: scopes,
		insert: "INSERT INTO " + name + " (prefix, hash, holder, name, scopes, made_at, ends_at) VALUES (?, ?, ?, ?, ?, NOW(3), NOW(3) + INTERVAL ? SECOND)",
		find:   "SELECT hash, " + columns + ", last_used_at IS NULL OR last_used_at < NOW(3) - INTERVAL ? SECOND FROM " + name + " WHERE prefix = ?" + good,
		look:   "SELECT hash, " + columns + ", revoked_at IS NULL AND ends_at > NOW(3) FROM " + name + " WHERE prefix = ?",
		used:   "UPDATE " + name + " SET last_used_at = NOW(3) WHERE prefix = ?",
		list:   "SELECT " + columns + ", revoked_at IS NULL AND ends_at > NOW(3) AS good FROM " + name + " WHERE holder = ? ORDER BY good DESC, made_at DESC, prefix LIMIT ?",
		knows:  "SELECT COUNT(*) FROM " + name + " WHERE prefix = ? AND holder = ?",
		count:  "SELECT COUNT(*) FROM " + name + " WHERE holder = ?" + good,
		revoke: "UPDATE " + name + " SET revoked_at = NOW(3) WHERE prefix = ? AND holder = ? AND revoked_at IS NULL",
	}
}

var scopeForm = regexp.MustCompile(`^[a-z]+:[a-z]+$`)

func (k *Keys) check(name string, scopes []string, life time.Duration) error {
	switch {
	case text.Check(name, nameBytesMax) != nil:
		return fmt.Errorf("%w: the name is no line of 1 to %d bytes", ErrForm, nameBytesMax)
	case len(scopes) == 0 || len(scopes) > scopesMax:
		return fmt.Errorf("%w: %d scopes, want 1 to %d", ErrForm, len(scopes), scopesMax)
	case life < LifeMin || life > LifeMax:
		return fmt.Errorf("%w: it would be good for %v, want %v to %v", ErrForm, life, LifeMin, LifeMax)
	}
	for i, scope := range scopes {
		if !scopeForm.MatchString(scope) || !slices.Contains(k.scopes, scope) || slices.Contains(scopes[:i], scope) {
			return fmt.Errorf("%w: scope %.40q, want some of %s, each once", ErrForm, scope, strings.Join(k.scopes, ", "))
		}
	}
	return nil
}

// With is called in the transaction that makes a key, or ends it, so that it can be written down who did.
type With func(tx *sql.Tx, p place.Place, prefix string, made bool) error

// Derive makes the key that follows from a seed, which nobody else knows. Again it returns the same one, as long as that is good: so
// a request whose answer was lost can be repeated, and nobody else can show it again. With may be nil. ErrMade says that the seed has made another key, or one that has ended.
func (k *Keys) Derive(ctx context.Context, seed Seed, holder int64, name string, scopes []string, life time.Duration, with With) (secret config.Secret, key Key, err error) {
	if err := k.check(name, scopes, life); err != nil {
		return "", Key{}, err
	}
	secret, prefix := seed.key()
	for range duplicatesMax { // another request with the seed may be under way
		made, good, err := k.made(ctx, secret, prefix)
		switch {
		case err != nil:
			return "", Key{}, err
		case made.Prefix == "":
		case !good || made.Holder != holder || made.Name != name || !slices.Equal(made.Scopes, scopes) || made.EndsAt.Sub(made.MadeAt) != life:
			return "", Key{}, ErrMade
		default:
			return secret, made, nil
		}
		if err := k.room(ctx, holder, PerHolderMax-1); err != nil {
			return "", Key{}, err
		}
		if err := k.write(ctx, secret, prefix, holder, name, scopes, life, with); err != nil && db.Answer(err) != db.AnswerDuplicate {
			return "", Key{}, err
		}
	}
	return "", Key{}, ErrMade
}

// made is the key of a secret, with an empty prefix if there is none.
func (k *Keys) made(ctx context.Context, secret config.Secret, prefix string) (key Key, good bool, err error) {
	p := k.at(prefix)
	var kept []byte
	key, err = scan(func(to ...any) error {
		return p.In(p.Writer()).QueryRowContext(ctx, k.look, prefix).Scan(append(append([]any{&kept}, to...), &good)...)
	})
	sum := hash(secret.Reveal())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Key{}, false, nil
	case err != nil:
		return Key{}, false, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("API keys", "api_keys", err))
	}
	return key, good && subtle.ConstantTimeCompare(kept, sum[:]) == 1, nil
}

// room refuses a holder that has more keys than so many.
func (k *Keys) room(ctx context.Context, holder int64, most int) error {
	have := 0
	for _, p := range k.databases.All(shard.Values) {
		var here int
		if err := p.In(p.Writer()).QueryRowContext(ctx, k.count, holder).Scan(&here); err != nil {
			return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("API keys", "api_keys", err))
		}
		have += here
	}
	if have > most {
		return ErrTooMany
	}
	return nil
}

// write writes a key. Keys of a holder are in many places, which no lock has together: so they are counted again behind the write, and
// a key that is one too many is ended.
func (k *Keys) write(ctx context.Context, key config.Secret, prefix string, holder int64, name string, scopes []string, life time.Duration, with With) error {
	sum, p := hash(key.Reveal()), k.at(prefix)
	_, err := p.Write(ctx, "an API key", func(tx *sql.Tx) error {
		_, err := p.In(tx).ExecContext(ctx, k.insert, prefix, sum[:], holder, name, strings.Join(scopes, " "), int64(life/time.Second))
		switch {
		case err != nil:
			return db.WriteError("write an API key", err)
		case with != nil:
			return with(tx, p, prefix, true)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := k.room(ctx, holder, PerHolderMax); errors.Is(err, ErrTooMany) {
		return cmp.Or(k.Revoke(ctx, holder, prefix, with), err)
	}
	return nil // the key is there, also if nobody could count
}

func (k *Keys) at(prefix string) place.Place { return k.databases.At(shard.OfValue(prefix)) }

// Verify returns the key that a text is, if it is good at this moment by the clock of the database. ErrKey is the answer to all
// that is not, and the same statements are made for all that has the form of a key: nobody learns which keys there are.
func (k *Keys) Verify(ctx context.Context, secret string) (Key, error) {
	prefix, ok := prefixOf(secret)
	if !ok {
		return Key{}, ErrKey
	}
	p := k.at(prefix)
	conn := p.In(p.Writer()) // a replica may not have its revocation yet
	var kept []byte
	var stale bool
	key, err := scan(func(to ...any) error {
		return conn.QueryRowContext(ctx, k.find, int64(usedEvery/time.Second), prefix).Scan(append(append([]any{&kept}, to...), &stale)...)
	})
	sum := hash(secret)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Key{}, ErrKey
	case err != nil:
		return Key{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("API keys", "api_keys", err))
	case subtle.ConstantTimeCompare(kept, sum[:]) != 1:
		return Key{}, ErrKey
	}
	if stale {
		within, cancel := context.WithTimeout(ctx, noteWithin)
		defer cancel()
		_, _ = conn.ExecContext(within, k.used, prefix) // the key is good: if its use cannot be noted, the next one is
	}
	return key, nil
}

// List lists keys of a holder, the newest first: those that are good, and behind them those that have ended. However many have
// ended, none that is good is left out.
func (k *Keys) List(ctx context.Context, holder int64, limit int) ([]Key, error) {
	type listed struct {
		Key
		good int
	}
	var all []listed
	for _, p := range k.databases.All(shard.Values) {
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var l listed
			var err error
			l.Key, err = scan(func(to ...any) error { return row.Scan(append(to, &l.good)...) })
			all = append(all, l)
			return err
		}, k.list, holder, limit)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("API keys", "api_keys", err))
		}
	}
	slices.SortFunc(all, func(a, b listed) int {
		return cmp.Or(cmp.Compare(b.good, a.good), b.MadeAt.Compare(a.MadeAt), cmp.Compare(a.Prefix, b.Prefix))
	})
	var keys []Key
	for _, l := range all[:min(limit, len(all))] {
		keys = append(keys, l.Key)
	}
	return keys, nil
}

// Revoke ends a key of a holder at once. A key that was revoked already is a success. With may be nil.
func (k *Keys) Revoke(ctx context.Context, holder int64, prefix string, with With) error {
	p := k.at(prefix)
	_, err := p.Write(ctx, "the end of an API key", func(tx *sql.Tx) error {
		done, err := p.In(tx).ExecContext(ctx, k.revoke, prefix, holder)
		if err != nil {
			return db.WriteError("revoke an API key", err)
		}
		n, err := done.RowsAffected()
		switch {
		case err != nil:
			return err
		case n == 0:
			return k.known(ctx, p.In(tx), holder, prefix)
		case with != nil:
			return with(tx, p, prefix, false)
		}
		return nil
	})
	return err
}

// known returns ErrUnknown if a holder has no such key.
func (k *Keys) known(ctx context.Context, conn place.Conn, holder int64, prefix string) error {
	found := false
	err := conn.QueryRowContext(ctx, k.knows, prefix, holder).Scan(&found)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("API keys", "api_keys", err))
	case !found:
		return ErrUnknown
	}
	return nil
}

// scan reads the columns of a key.
func scan(into func(...any) error) (k Key, err error) {
	var scopes string
	var used, revoked sql.NullTime
	err = into(&k.Prefix, &k.Holder, &k.Name, &scopes, &k.MadeAt, &k.EndsAt, &used, &revoked)
	k.Scopes, k.LastUsedAt, k.RevokedAt = strings.Fields(scopes), used.Time, revoked.Time
	return k, err
}
