package account

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/internal/rows"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/vault"
	"sluice/catalog/internal/web"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// Where sealed values are.
var (
	profileField = vault.Field{Table: "profiles", Column: "sealed"}
	answerField  = vault.Field{Table: "account_replays", Column: "body"}
)

func addressField(id ids.Address) vault.Field {
	return vault.Field{Table: "addresses", Column: "sealed", Row: int64(id)}
}

const (
	selectPerson = "SELECT u.state, k.subject_id IS NOT NULL, k.key_id, k.wrapped " +
		"FROM users__ u LEFT JOIN account_keys__ k ON k.subject_id = u.user_id WHERE u.user_id = ?"
	selectProfile = "SELECT u.state, k.subject_id IS NOT NULL, k.key_id, k.wrapped, COALESCE(p.version, 1), p.sealed " +
		"FROM users__ u LEFT JOIN account_keys__ k ON k.subject_id = u.user_id LEFT JOIN profiles__ p ON p.user_id = u.user_id WHERE u.user_id = ?"
)

// person is a user whose personal values are read in one request.
type person struct {
	id    ids.User
	place place.Place
	box   vault.Box
	keyed bool // else nothing was ever sealed, and there is no box
}

// person finds a user. The writer is asked, because a reader may still have the key of a user who was erased. more are
// destinations for what else the statement selects.
func (a *Accounts) person(ctx context.Context, id ids.User, statement string, more ...any) (person, error) {
	p := person{id: id, place: a.at(id)}
	var state State
	var key vault.Key
	err := p.place.In(p.place.Writer()).QueryRowContext(ctx, statement, id).Scan(append([]any{&state, &p.keyed, &key.By, &key.Wrapped}, more...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p, errUnknown
	case err != nil:
		return p, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("user", "users"+p.place.Suffix, err))
	}
	if err := may(state); err != nil || !p.keyed {
		return p, err
	}
	p.box, err = a.personal.Adopt(int64(id), key)
	return p, erased(err)
}

// may refuses users who have no personal values any longer, or may do nothing.
func may(state State) error {
	switch state {
	case StateActive:
		return nil
	case StateLocked:
		return errLocked
	case StateErased:
	}
	return errUnknown
}

// erased makes an error of the vault about a user who was erased meanwhile the refusal that it is.
func erased(err error) error {
	if errors.Is(err, vault.ErrErased) {
		return errUnknown
	}
	return err
}

// open reads what is sealed as JSON. Without a value it changes nothing.
func (p person) open(f vault.Field, sealed []byte, into any) error {
	if sealed == nil {
		return nil
	}
	text, err := p.box.Open(f, sealed)
	if err != nil {
		return fmt.Errorf("user %d: %w", p.id, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("user %d: %s.%s is not its JSON", p.id, f.Table, f.Column) // the decoder's error may quote it
	}
	return nil
}

// seal seals a value as JSON.
func (p person) seal(f vault.Field, value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return p.box.Seal(f, text)
}

// writing is a transaction that changes personal values of a user, who is locked until it ends.
type writing struct {
	person
	*rows.Queries
	tx *sql.Tx
}

// asked is a request to write: its route, its key, and all that the client chose.
type asked struct {
	route, key string
	request    any
}

// once does a write once, however often it is asked for. The answer that is kept is sealed, and the fingerprint of the request
// is a keyed one: both may have personal values.
func (a *Accounts) once(ctx context.Context, user ids.User, of asked, do func(writing) (replay.Answer, error)) (replay.Answer, error) {
	p, err := a.person(ctx, user, selectPerson)
	if err == nil && !p.keyed {
		p.box, err = a.personal.Box(ctx, int64(user))
	}
	if err != nil {
		return replay.Answer{}, erased(err)
	}
	a.step("found")
	text, err := json.Marshal(of.request)
	if err != nil {
		return replay.Answer{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	request := replay.Request{User: int64(user), Route: of.route, Key: of.key, Fingerprint: a.personal.Index("request "+of.route, string(text))}
	var answer replay.Answer
	position, err := p.place.Write(ctx, of.route, func(tx *sql.Tx) error {
		var plain []byte
		kept, replayed, err := replay.Of(owner, p.place.Suffix).Do(ctx, tx, request, func() (replay.Answer, error) {
			w := writing{p, rows.New(p.place.In(tx)), tx}
			if err := w.lock(ctx); err != nil {
				return replay.Answer{}, err
			}
			answer, err := do(w)
			if err != nil {
				return replay.Answer{}, err
			}
			plain = answer.Body
			if answer.Body, err = p.box.Seal(answerField, plain); err != nil {
				return replay.Answer{}, err
			}
			return answer, nil
		})
		if err == nil && replayed {
			if plain, err = p.box.Open(answerField, kept.Body); err == nil && kept.Header == nil {
				kept.Header = http.Header{}
			}
			if err == nil {
				kept.Header.Set("Idempotent-Replayed", "true")
			}
		}
		kept.Body = plain
		answer = kept
		return err
	})
	if err != nil {
		return replay.Answer{}, err
	}
	web.Wrote(ctx, position)
	return answer, nil
}

// lock locks the user, so that the writes of one come one after the other, and none comes after the erasure.
func (w writing) lock(ctx context.Context) error {
	held, err := lock(ctx, w.place.In(w.tx), w.id)
	if err != nil {
		return err
	}
	return may(held.state)
}
