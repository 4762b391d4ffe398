// Package audit keeps the log of privileged acts: who did what to what, what was before and after, from where, and why. It is
// append-only. An entry is written in the transaction of its act, and is one link of a chain, so that a row that is changed,
// removed, inserted or moved later shows. Checkpoints, which are signed and kept elsewhere, show a tail that was cut off.
package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
	"sluice/core/text"
)

// Bounds of an entry.
const (
	WhyMax          = 500 // bytes
	reasonMax       = 200 // of what a client of the API gives as the reason of an act
	namesMax        = 100 // of the actor, the object, the origin and the ref
	changesBytesMax = 16 << 10
)

// CheckReason refuses what is no reason of an act, by a problem.
func CheckReason(reason string) error {
	if err := text.Check(reason, reasonMax); err != nil {
		return &problem.Problem{Kind: problem.Malformed, Pointer: "/reason", Detail: err.Error()}
	}
	return nil
}

// Author is who does an act, and from where.
type Author struct {
	Actor  string // a role and who has it, such as admin:1; or another word, such as operator
	Origin string // an address and a request; may be empty
}

// Act is what is written down about a privileged act.
type Act struct {
	Author

	Act    string // what: two words with a dot between them, such as user.make
	Object string // on what: Of
	Why    string // may be empty where the act says it
	// Changes are what was before and after.
	Changes []Change
	// Ref is the name of an act that was done elsewhere: it is written down once, however often it is told. Else it is empty.
	Ref string
}

// Change is one value, before and after. A value that was not there is nil.
type Change struct {
	Name   string
	Before any
	After  any
	// Personal is the user whom the value tells about. It is sealed with the user's key, or left out where nobody can seal.
	Personal ids.User
}

// Sealer encrypts personal values by the key of a user: what it seals nobody reads once the key is gone.
type Sealer interface {
	Seal(ctx context.Context, user ids.User, value []byte) ([]byte, error)
}

// Entry is an act as the log has it.
type Entry struct {
	Chain   Chain          `json:"chain"`
	N       uint64         `json:"n"`
	At      time.Time      `json:"at"`
	Actor   string         `json:"actor"`
	Act     string         `json:"act"`
	Object  string         `json:"object"`
	Origin  string         `json:"origin,omitempty"`
	Why     string         `json:"why,omitempty"`
	Changes jsontext.Value `json:"changes"`
	Ref     string         `json:"ref,omitempty"`
	Hash    Hash           `json:"hash"`
}

// change is a Change as an entry has it.
type change struct {
	Name   string `json:"name"`
	Before any    `json:"before,omitzero"`
	After  any    `json:"after,omitzero"`
	Sealed bool   `json:"sealed,omitzero"` // both in base64
	Hidden bool   `json:"hidden,omitzero"` // both left out
}

// MarshalText is the hash in hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads what MarshalText writes.
func (h *Hash) UnmarshalText(digits []byte) error {
	if len(digits) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a hash of %d digits, want %d", len(digits), hex.EncodedLen(len(h)))
	}
	_, err := hex.Decode(h[:], digits)
	return err
}

// Of names an object or an actor by its kind and its number.
func Of(kind string, id int64) string { return kind + ":" + strconv.FormatInt(id, 10) }

var (
	nameForm = regexp.MustCompile(`^[a-z][a-z_]{0,39}(:[\x21-\x7E]{1,59})?$`)
	actForm  = regexp.MustCompile(`^[a-z][a-z_]{0,30}(\.[a-z][a-z_]{0,30})$`)
)

// IsName reports whether a text has the form of an actor or an object.
func IsName(name string) bool { return nameForm.MatchString(name) }

// IsAct reports whether a text has the form of an act.
func IsAct(act string) bool { return actForm.MatchString(act) }

// ErrActForm means that a program describes an act as no entry can have it.
var ErrActForm = errors.New("no entry of the audit log")

func (a *Act) check() error {
	plain := func(s string, bytesMax int) bool { return s == "" || text.Check(s, bytesMax) == nil }
	ascii := func(s string) bool {
		for _, c := range []byte(s) {
			if c < ' ' || c > '~' {
				return false
			}
		}
		return len(s) <= namesMax
	}
	switch {
	case !nameForm.MatchString(a.Actor):
		return fmt.Errorf("%w: actor %.120q", ErrActForm, a.Actor)
	case !nameForm.MatchString(a.Object):
		return fmt.Errorf("%w: object %.120q", ErrActForm, a.Object)
	case !actForm.MatchString(a.Act):
		return fmt.Errorf("%w: act %.80q", ErrActForm, a.Act)
	case !ascii(a.Origin) || !ascii(a.Ref):
		return fmt.Errorf("%w: origin %.120q, ref %.120q", ErrActForm, a.Origin, a.Ref)
	case !plain(a.Why, WhyMax):
		return fmt.Errorf("%w: why it was done is no line of plain text of at most %d bytes", ErrActForm, WhyMax)
	}
	return nil
}

// Log writes entries. The zero Log leaves out personal values.
type Log struct{ Sealer Sealer }

// Append writes an act down, in the transaction of the act, in the place of the act's shard, which conn is of: place.In. It is
// the last statement of its transaction, because the next act of the shard waits for its commit. It checks the act before it
// writes anything. If a transaction is rolled back behind it while two others wait, the database ends one of these as a deadlock.
func (l Log) Append(ctx context.Context, conn place.Conn, of shard.Shard, a Act) error {
	if err := a.check(); err != nil {
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	changes, err := l.seal(ctx, a.Changes)
	if err != nil {
		return fmt.Errorf("write down %s: %w: %w", a.Act, stock.ErrNotApplied, err)
	}
	return insert(ctx, conn, &Entry{
		Chain: ChainOf(of), Actor: a.Actor, Act: a.Act, Object: a.Object, Origin: a.Origin, Why: a.Why, Changes: changes, Ref: a.Ref,
	})
}

// seal makes the JSON of changes.
func (l Log) seal(ctx context.Context, all []Change) (jsontext.Value, error) {
	shown := make([]change, len(all))
	for i, c := range all {
		shown[i] = change{Name: c.Name, Before: c.Before, After: c.After}
		if c.Personal == 0 {
			continue
		}
		shown[i].Before, shown[i].After = nil, nil
		if shown[i].Hidden = l.Sealer == nil; shown[i].Hidden {
			continue
		}
		shown[i].Sealed = true
		for _, value := range []struct{ from, to *any }{{&c.Before, &shown[i].Before}, {&c.After, &shown[i].After}} {
			if *value.from == nil {
				continue
			}
			plain, err := json.Marshal(*value.from, json.Deterministic(true))
			if err != nil {
				return nil, fmt.Errorf("value %s: %w", c.Name, err)
			}
			if *value.to, err = l.Sealer.Seal(ctx, c.Personal, plain); err != nil {
				return nil, fmt.Errorf("seal %s: %w", c.Name, err)
			}
		}
	}
	encoded, err := json.Marshal(shown, json.Deterministic(true))
	if err == nil && len(encoded) > changesBytesMax {
		err = fmt.Errorf("%d bytes of changes, want at most %d", len(encoded), changesBytesMax)
	}
	return encoded, err
}
