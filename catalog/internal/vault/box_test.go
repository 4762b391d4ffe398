package vault

import (
	"database/sql"
	"errors"
	"testing"
	"time"

	"sluice/core/db"
	"sluice/core/stock"
)

// TestBoxesInTransactions takes boxes in a transaction. It asks nobody but the transaction, which sees what it has done itself.
func TestBoxesInTransactions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opened = newCache(100, time.Minute)
	sealed := w.seal(w.Vault, 1, "a word")
	other := w.another("vault.json") // it remembers nothing
	if err := db.Write(t.Context(), w.place(1).Writer(), "a user", func(tx *sql.Tx) error {
		box, err := other.BoxIn(t.Context(), tx, 1)
		if err != nil {
			return err
		}
		if text, err := box.Open(word, sealed); err != nil || string(text) != "a word" {
			t.Errorf("%q, %v", text, err)
		}
		if _, err := other.BoxIn(t.Context(), tx, 2); !errors.Is(err, stock.ErrNotApplied) {
			t.Errorf("who has no key: %v", err)
		}
		if err := other.Erase(t.Context(), tx, 1); err != nil {
			return err
		}
		if _, err := other.BoxIn(t.Context(), tx, 1); !errors.Is(err, ErrErased) {
			t.Errorf("who was erased: %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// TestAdoptedKeysAreRemembered: who has read a key goes on with it, however old what was remembered is.
func TestAdoptedKeysAreRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.opened = newCache(100, time.Minute)
	w.seal(w.Vault, 1, "a word")
	var k Key
	p := w.place(1)
	if err := p.In(p.Writer()).QueryRowContext(t.Context(), w.statements.read, 1).Scan(&k.By, &k.Wrapped); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.opened.turn()
		if _, err := w.Adopt(1, k); err != nil {
			t.Fatal(err)
		}
		w.opened.turn()
		if w.opened.get(1) == nil {
			t.Fatal("the key is forgotten at once")
		}
	}
}

// TestWhoIsNobody has a box too, and no key.
func TestWhoIsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 2 {
		box, err := w.Pretend(1)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := box.Seal(word, []byte("a word"))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := w.Open(t.Context(), 1, word, sealed); !errors.Is(err, ErrSealed) {
			t.Errorf("%q, %v", text, err)
		}
	}
	if n := w.count("SELECT COUNT(*) FROM thing_keys__"); n != 0 {
		t.Errorf("%d have keys", n)
	}
}
