// Package vault keeps personal values as ciphertext. Each user has a data key, and so may each checkout: a subject. It is in a
// table of the owner, at the subject's place, wrapped by a key of a file. Whoever destroys it erases all that was sealed with
// it, also in copies that nobody finds.
//
// A sealed value belongs to its subject, table, column and row: copied elsewhere it does not open. Package vault knows no
// value and writes none into errors.
package vault

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	dataKeyBytes = 32 // AES-256-GCM
	// keyLife is how long an opened key is remembered, at most. An erased one opens nothing anywhere after that.
	keyLife = 5 * time.Second
	// keysMax are remembered: about 1.5 KB each.
	keysMax = 20_000
	// form is the first byte of a sealed value.
	form = 1
)

var (
	// ErrErased means that the subject's key was destroyed. What was sealed for it opens never again, and nothing is sealed.
	ErrErased = errors.New("the key of this subject was destroyed")
	// ErrSealed means that a value was altered, or sealed for another subject, table, column or row.
	ErrSealed = errors.New("a sealed value does not open: it was altered, or belongs elsewhere")
)

// Kind is what has keys of its own.
type Kind struct {
	name   string
	shards shard.Kind
	of     func(id int64) shard.Shard
}

// The kinds.
var (
	Users     = Kind{"user", shard.Users, shard.OfUser}
	Checkouts = Kind{"checkout", shard.Checkouts, func(id int64) shard.Shard { return shard.OfTimed(ids.Checkout(id)) }}
)

// Field says where a sealed value is kept.
type Field struct {
	Table, Column string // words of the program
	Row           int64  // 0 if the subject has one row there
}

// Places are those of a shop.
type Places interface {
	At(s shard.Shard) place.Place
	All(kind shard.Kind) []place.Place
}

// Config says whose values a vault keeps.
type Config struct {
	Owner  string // of the tables
	Kind   Kind
	Places Places
	Ring   *Ring
}

// Vault seals and opens the values of an owner. It is safe for concurrent use.
type Vault struct {
	Config
	statements statements
	opened     *cache
	proved     sync.Map          // provedKey
	step       func(name string) // tests stop the process there
}

// New makes a vault. Check comes before all else.
func New(cfg Config) *Vault {
	v := &Vault{Config: cfg, statements: statementsOf(cfg.Owner), opened: newCache(keysMax, keyLife), step: func(string) {}}
	cfg.Ring.serve(v)
	return v
}

// Seal seals a value. The first one of a subject makes its key, which stays also if the caller's transaction does not commit.
func (v *Vault) Seal(ctx context.Context, subject int64, f Field, value []byte) ([]byte, error) {
	box, err := v.Box(ctx, subject)
	if err != nil {
		return nil, err
	}
	return box.Seal(f, value)
}

// Open opens a value that was sealed for the same subject and field. Its error wraps ErrErased, ErrSealed, or says that the
// database did not answer.
func (v *Vault) Open(ctx context.Context, subject int64, f Field, sealed []byte) ([]byte, error) {
	box, err := v.find(ctx, subject)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("subject %d has no key: %w", subject, ErrSealed)
	}
	if err != nil {
		return nil, err
	}
	return box.Open(f, sealed)
}

// Box seals and opens the values of a subject without asking anybody. Who writes in a transaction takes one before it begins:
// a transaction that waited for a second connection could wait for ever. A box is for one request, so that an erased key is
// gone soon.
type Box struct {
	v       *Vault
	subject int64
	key     tink.AEAD
}

// Seal seals a value.
func (b Box) Seal(f Field, value []byte) ([]byte, error) {
	sealed, err := b.key.Encrypt(value, b.v.about(b.subject, f))
	if err != nil {
		return nil, fmt.Errorf("seal %s.%s: %w: %w", f.Table, f.Column, stock.ErrNotApplied, err)
	}
	return append([]byte{form}, sealed...), nil
}

// Open opens a value.
func (b Box) Open(f Field, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != form {
		return nil, fmt.Errorf("%s.%s: %w", f.Table, f.Column, ErrSealed)
	}
	value, err := b.key.Decrypt(sealed[1:], b.v.about(b.subject, f))
	if err != nil {
		return nil, fmt.Errorf("%s.%s: %w", f.Table, f.Column, ErrSealed)
	}
	return value, nil
}

// about is what a sealed value belongs to. The name of the place is no part of it, so that rows can be moved.
func (v *Vault) about(subject int64, f Field) []byte {
	about := make([]byte, 0, 128)
	for _, word := range [...]string{"sluice value", v.Owner, v.Kind.name, f.Table, f.Column} {
		about = append(append(about, word...), 0)
	}
	about = binary.BigEndian.AppendUint64(about, uint64(subject))
	return binary.BigEndian.AppendUint64(about, uint64(f.Row))
}

// aboutKey is what a wrapped key belongs to.
func (v *Vault) aboutKey(subject int64) []byte {
	about := make([]byte, 0, 64)
	for _, word := range [...]string{"sluice key", v.Owner, v.Kind.name} {
		about = append(append(about, word...), 0)
	}
	return binary.BigEndian.AppendUint64(about, uint64(subject))
}

// Index is the blind index of a value: equal values have equal ones, and nobody without the key of the file can tell which
// value one has. The name says what the value is. The caller brings values that are the same to people into one form first.
func (v *Vault) Index(name, value string) [IndexBytes]byte {
	return v.Ring.held.Load().index(v.Owner, name, value)
}

// Erase destroys the key of a subject in the caller's transaction. Once it commits, nothing that was sealed opens, in other
// processes after keyLife at most, and nothing more is sealed.
func (v *Vault) Erase(ctx context.Context, tx *sql.Tx, subject int64) error {
	p := v.place(subject)
	if _, err := p.In(tx).ExecContext(ctx, v.statements.erase, subject); err != nil {
		return db.WriteError("destroy a key", err)
	}
	v.opened.forget(subject)
	return nil
}

// place is where the key of a subject is.
func (v *Vault) place(subject int64) place.Place { return v.Places.At(v.Kind.of(subject)) }

// Box is the box of a subject, whose key is made if there is none.
func (v *Vault) Box(ctx context.Context, subject int64) (Box, error) {
	box, err := v.find(ctx, subject)
	if !errors.Is(err, sql.ErrNoRows) {
		return box, err
	}
	box, made, err := v.make(ctx, subject)
	if err != nil || made {
		return box, err
	}
	return v.find(ctx, subject) // of several that make it at once, one did
}

// BoxIn is the box of a subject who has a key, for who is in a transaction already and has none. If the key is not remembered, the
// transaction is asked: it must be one of the subject's place.
func (v *Vault) BoxIn(ctx context.Context, tx *sql.Tx, subject int64) (Box, error) {
	if key := v.opened.get(subject); key != nil {
		return Box{v, subject, key}, nil
	}
	box, err := v.read(ctx, v.place(subject).In(tx), subject)
	if errors.Is(err, sql.ErrNoRows) {
		return box, fmt.Errorf("subject %d has no key: %w", subject, stock.ErrNotApplied)
	}
	return box, err
}

// Pretend is a box for who is no subject. It takes as long as one of a subject whose key was read, so that time does not tell the two
// apart.
func (v *Vault) Pretend(subject int64) (Box, error) {
	subject = ^subject // whose id no subject has
	key := v.opened.get(subject)
	if key == nil {
		var plain [dataKeyBytes]byte
		_, _ = rand.Read(plain[:]) // it never fails
		_, with := v.Ring.primary()
		_, err := with.Encrypt(plain[:], v.aboutKey(subject))
		if err == nil {
			key, err = newKey(plain[:])
		}
		if err != nil {
			return Box{}, fmt.Errorf("key of subject %d: %w", subject, err)
		}
	}
	v.opened.put(subject, key)
	return Box{v, subject, key}, nil
}

// find finds the key of a subject, or returns sql.ErrNoRows. It is always read from the writer: a replica may still have a
// destroyed one.
func (v *Vault) find(ctx context.Context, subject int64) (Box, error) {
	if key := v.opened.get(subject); key != nil {
		return Box{v, subject, key}, nil
	}
	p := v.place(subject)
	return v.read(ctx, p.In(p.Writer()), subject)
}

func (v *Vault) read(ctx context.Context, in place.Conn, subject int64) (Box, error) {
	var k Key
	err := in.QueryRowContext(ctx, v.statements.read, subject).Scan(&k.By, &k.Wrapped)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return Box{}, err
	case err != nil:
		return Box{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("key", v.Owner+"_keys"+v.place(subject).Suffix, err))
	}
	return v.Adopt(subject, k)
}

// Key is a row of the table of keys.
type Key struct {
	By      sql.Null[uint32] // the key of the file that wraps it
	Wrapped []byte
}

// Adopt is the box of a subject whose key the caller has just read from the writer, in one query with rows of its own. From then on the
// key is remembered.
func (v *Vault) Adopt(subject int64, k Key) (Box, error) {
	if !k.By.Valid {
		v.opened.forget(subject)
		return Box{}, ErrErased
	}
	if key := v.opened.get(subject); key != nil {
		v.opened.put(subject, key)
		return Box{v, subject, key}, nil
	}
	plain, err := v.Ring.unwrap(k.By.V, k.Wrapped, v.aboutKey(subject))
	if err != nil {
		return Box{}, fmt.Errorf("key of subject %d: %w", subject, err)
	}
	key, err := newKey(plain)
	clear(plain)
	if err != nil {
		return Box{}, fmt.Errorf("key of subject %d: %w", subject, err)
	}
	v.opened.put(subject, key)
	return Box{v, subject, key}, nil
}

// Made is a key that nobody has yet.
type Made struct {
	Box

	by      uint32 // the key of the file that wraps it
	wrapped []byte
}

// Make makes a key for who becomes a subject. Insert gives it to the subject: what was sealed before opens then.
func (v *Vault) Make(ctx context.Context, subject int64) (m Made, err error) {
	var plain [dataKeyBytes]byte
	_, _ = rand.Read(plain[:]) // it never fails
	defer clear(plain[:])
	by, with := v.Ring.primary()
	m.by = by
	if m.wrapped, err = with.Encrypt(plain[:], v.aboutKey(subject)); err != nil {
		return m, fmt.Errorf("wrap a key: %w: %w", stock.ErrNotApplied, err)
	}
	if err := v.prove(ctx, v.place(subject), by, with); err != nil {
		return m, err
	}
	key, err := newKey(plain[:])
	if err != nil {
		return m, fmt.Errorf("key of subject %d: %w", subject, err)
	}
	m.Box = Box{v, subject, key}
	return m, nil
}

// Insert gives a subject its key, in the transaction that makes the subject.
func (v *Vault) Insert(ctx context.Context, tx *sql.Tx, m Made) error {
	return v.insert(ctx, v.place(m.subject).In(tx), m)
}

func (v *Vault) insert(ctx context.Context, in place.Conn, m Made) error {
	_, err := in.ExecContext(ctx, v.statements.insert, m.subject, m.by, m.wrapped)
	switch {
	case err == nil:
		return nil
	case db.Answer(err) == db.AnswerNoReference:
		return fmt.Errorf("make a key: %w: key %d was dropped: give this process the file of the others", stock.ErrNotApplied, m.by)
	}
	return db.WriteError("make a key", err)
}

// make makes the key of a subject that has none, and reports whether it was the first to do so.
func (v *Vault) make(ctx context.Context, subject int64) (box Box, made bool, err error) {
	m, err := v.Make(ctx, subject)
	if err != nil {
		return box, false, err
	}
	p := v.place(subject)
	switch err = v.insert(ctx, p.In(p.Writer()), m); {
	case db.Answer(err) == db.AnswerDuplicate:
		return box, false, nil
	case err != nil:
		return box, false, err
	}
	v.step("made")
	v.opened.put(subject, m.key)
	return m.Box, true, nil
}

func newKey(plain []byte) (tink.AEAD, error) { return subtle.NewAESGCM(plain) }
