package vault

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"sluice/core/db"
)

// TestWhoReadsBeforeTheEnd opens a value after its key was destroyed, and before that commits.
func TestWhoReadsBeforeTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opened = newCache(100, time.Minute)
	sealed := w.seal(w.Vault, 1, "a word")
	if err := db.Write(t.Context(), w.place(1).Writer(), "a user", func(tx *sql.Tx) error {
		if err := w.Erase(t.Context(), tx, 1); err != nil {
			return err
		}
		w.opens(w.Vault, 1, sealed, "a word") // by the row of before
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Open(t.Context(), 1, word, sealed); !errors.Is(err, ErrErased) {
		t.Errorf("it opens: %v", err)
	}

	// Another process has the key, and learns of its end from a row.
	other := w.another("vault.json")
	other.opened = newCache(100, time.Minute)
	sealed = w.seal(other, 2, "another")
	w.erase(w.Vault, 2)
	if _, err := other.Adopt(2, Key{}); !errors.Is(err, ErrErased) {
		t.Errorf("a destroyed key is adopted: %v", err)
	}
	if _, err := other.Open(t.Context(), 2, word, sealed); !errors.Is(err, ErrErased) {
		t.Errorf("it opens although the process has seen its end: %v", err)
	}
}

// TestWhoHasNoAccount wraps the key of subject 0 again, and of one that is less.
func TestWhoHasNoAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sealed := map[int64][]byte{}
	for _, subject := range []int64{-1, 0, 1} {
		sealed[subject] = w.seal(w.Vault, subject, "a word")
	}
	old, _ := w.Ring.primary()
	w.rotate()
	fresh := w.another("vault.json")
	if done, err := fresh.Rewrap(t.Context(), func(int64) {}); done != 3 || err != nil {
		t.Errorf("%d keys were wrapped again, %v", done, err)
	}
	if err := fresh.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	last := w.another("vault.json")
	for subject, value := range sealed {
		w.opens(last, subject, value, "a word")
	}
}

// TestAFileOfTwoOwners: a key that wraps for one of them is not dropped for the other.
func TestAFileOfTwoOwners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for statement := range strings.SplitSeq(strings.TrimSpace(Tables("other")), ";\n") {
		w.exec(statement)
	}
	of := func(ring *Ring) (things, others *Vault) {
		return New(Config{Owner: "thing", Kind: Users, Places: w.places, Ring: ring}), New(Config{Owner: "other", Kind: Users, Places: w.places, Ring: ring})
	}
	_, others := of(w.Ring)
	if err := others.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.seal(w.Vault, 1, "a word")
	sealed := w.seal(others, 1, "another")
	old, _ := w.Ring.primary()
	w.rotate()
	ring, err := ReadRing(w.file(), discard)
	if err != nil {
		t.Fatal(err)
	}
	things, others := of(ring)
	if _, err := things.Rewrap(t.Context(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(things); s[old].Droppable || s[old].Wraps != 0 {
		t.Errorf("%+v", s)
	}
	if err := things.Drop(t.Context(), old); err == nil || !strings.Contains(err.Error(), "wraps keys of other") {
		t.Errorf("it is dropped: %v", err)
	}
	w.opens(others, 1, sealed, "another")
	if _, err := others.Rewrap(t.Context(), func(int64) {}); err != nil {
		t.Fatal(err)
	}
	if s := w.status(things); !s[old].Droppable {
		t.Errorf("%+v", s)
	}
	if err := things.Drop(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if ring, err = ReadRing(w.file(), discard); err != nil {
		t.Fatal(err)
	}
	_, others = of(ring)
	w.opens(others, 1, sealed, "another")
}
