package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tink-crypto/tink-go/v2/tink"

	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/stock"
)

// batchMax bounds a transaction that wraps keys again: others wait for its locks, and replicas for its end.
const batchMax = 200

// State says what a wrapping key of the file does.
type State struct {
	ID        uint32     `json:"key_id"`
	Does      string     `json:"does"`
	From      *time.Time `json:"wraps_from,omitempty"`
	Wraps     int64      `json:"wrapped_keys"` // of subjects
	Droppable bool       `json:"droppable"`    // nothing needs it, in no vault of the ring
}

// What keys of the file do.
const (
	DoesWrap = "wraps" // and opens
	DoesWait = "waits" // wraps from a time on
	DoesOpen = "opens" // what it has wrapped
)

// Wrapping reports whether the key wraps now.
func (s State) Wrapping() bool { return s.Does == DoesWrap }

// Status says what each wrapping key does, in the order of the file. Check has found all of them there.
func (v *Vault) Status(ctx context.Context) ([]State, error) {
	counts, others := map[uint32]int64{}, map[uint32]int64{}
	for _, of := range v.Ring.vaults() {
		to := others
		if of == v {
			to = counts
		}
		for _, p := range of.Places.All(of.Kind.shards) {
			if err := of.countKeys(ctx, p, to); err != nil {
				return nil, err
			}
		}
	}
	k := v.Ring.look()
	primary, _ := k.primary(v.Ring.now())
	var all []State
	for _, id := range k.ids() {
		s := State{ID: id, Does: DoesOpen, Wraps: counts[id]}
		switch {
		case id == primary:
			s.Does = DoesWrap
		case k.next != nil && id == k.next.ID:
			s.Does, s.From = DoesWait, &k.next.From
		default:
			s.Droppable = s.Wraps == 0 && others[id] == 0
		}
		all = append(all, s)
	}
	return all, nil
}

func (v *Vault) countKeys(ctx context.Context, p place.Place, counts map[uint32]int64) error {
	err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
		var id uint32
		var n int64
		err := row.Scan(&id, &n)
		counts[id] += n
		return err
	}, v.statements.count)
	if err != nil {
		return fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("keys", v.Owner+"_keys"+p.Suffix, err))
	}
	return nil
}

// Rewrap wraps with the key that wraps whatever another one does, in bounded transactions, while others work. It keeps no mark
// of how far it is: what another key wraps is what remains, so it can end anywhere and begin again. progress is told after each
// transaction how many keys were wrapped. Keys that do not open stay as they are, and the error says how many.
func (v *Vault) Rewrap(ctx context.Context, progress func(done int64)) (done int64, err error) {
	var broken int64
	for _, p := range v.Places.All(v.Kind.shards) {
		counts := map[uint32]int64{}
		if err := v.countKeys(ctx, p, counts); err != nil {
			return done, err
		}
		for old := range counts {
			n, b, err := v.rewrapAll(ctx, p, old, func(n int64) { progress(done + n) })
			done, broken = done+n, broken+b
			if err != nil {
				return done, err
			}
		}
	}
	if broken > 0 {
		return done, fmt.Errorf("%d keys do not open, and stay as they are: the rows were altered, or belong elsewhere", broken)
	}
	return done, nil
}

// rewrapAll wraps what one key of the file does in a place.
func (v *Vault) rewrapAll(ctx context.Context, p place.Place, old uint32, progress func(int64)) (done, broken int64, err error) {
	for after := int64(math.MinInt64); ; { // a subject may be any number: 0 is who has no account
		id, with := v.Ring.primary()
		if id == old {
			return done, broken, nil
		}
		if err := v.prove(ctx, p, id, with); err != nil {
			return done, broken, err
		}
		var batch []wrapped
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			var w wrapped
			err := row.Scan(&w.subject, &w.key)
			batch = append(batch, w)
			return err
		}, v.statements.list, old, after, batchMax)
		if err != nil {
			return done, broken, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError("keys", v.Owner+"_keys"+p.Suffix, err))
		}
		if len(batch) == 0 {
			return done, broken, nil
		}
		after = batch[len(batch)-1].subject
		var again []wrapped
		for _, w := range batch {
			plain, err := v.Ring.unwrap(old, w.key, v.aboutKey(w.subject))
			if errors.Is(err, ErrSealed) {
				broken++
				continue
			}
			if err != nil {
				return done, broken, err
			}
			key, err := with.Encrypt(plain, v.aboutKey(w.subject))
			clear(plain)
			if err != nil {
				return done, broken, fmt.Errorf("wrap a key: %w: %w", stock.ErrNotApplied, err)
			}
			again = append(again, wrapped{w.subject, key})
		}
		v.step("opened")
		n, err := v.replace(ctx, p, old, id, again)
		if err != nil {
			return done, broken, err
		}
		v.step("wrapped")
		done += n
		progress(done)
	}
}

type wrapped struct {
	subject int64
	key     []byte
}

// replace writes keys that were wrapped again. One that was destroyed meanwhile stays destroyed.
func (v *Vault) replace(ctx context.Context, p place.Place, old, by uint32, keys []wrapped) (done int64, err error) {
	err = db.Write(ctx, p.Writer(), "keys", func(tx *sql.Tx) error {
		in := p.In(tx)
		for _, w := range keys {
			result, err := in.ExecContext(ctx, v.statements.rewrap, by, w.key, w.subject, old)
			if err != nil {
				return db.WriteError("wrap a key again", err)
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			done += n
		}
		return nil
	})
	return done, err
}

// Drop takes a key out of the file that wraps nothing in any vault of the ring: the caller makes all vaults that have the file.
// The database refuses it while it wraps something anywhere, and refuses from then on what a process with an older file wraps
// with it.
func (v *Vault) Drop(ctx context.Context, id uint32) error {
	k := v.Ring.look()
	primary, with := k.primary(v.Ring.now())
	switch {
	case !k.has(id):
		return fmt.Errorf("key %d is not in %s", id, v.Ring.path)
	case id == primary || k.next != nil && id == k.next.ID:
		return fmt.Errorf("key %d wraps, or will: only a key that another one has followed can be dropped", id)
	}
	for _, of := range v.Ring.vaults() {
		if err := of.refuse(ctx, id, primary, with); err != nil {
			return err
		}
	}
	return change(v.Ring.path, func(k *keys) (*keys, error) { return k.without(id, v.Ring.now()) })
}

// refuse has the database take no more of what a key wraps, unless it has some.
func (v *Vault) refuse(ctx context.Context, id, primary uint32, with tink.AEAD) error {
	for _, p := range v.Places.All(v.Kind.shards) {
		if err := v.prove(ctx, p, primary, with); err != nil { // who has no key but the dropped one learns of the other
			return err
		}
		_, err := p.In(p.Writer()).ExecContext(ctx, v.statements.drop, id)
		switch {
		case db.Answer(err) == db.AnswerReferenced:
			return fmt.Errorf("key %d wraps keys of %s in place %s: run sluice catalog vault rewrap first: %w", id, v.Owner, p.Name, stock.ErrNotApplied)
		case err != nil:
			return db.WriteError("drop a key", err)
		}
	}
	return nil
}
