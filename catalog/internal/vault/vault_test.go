package vault

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/stock"
)

func TestMain(m *testing.M) {
	if os.Getenv(dirEnv) != "" {
		killedRewrap(os.Getenv(dirEnv), os.Getenv(stepEnv), strings.Fields(os.Getenv(dsnsEnv)))
	}
	os.Exit(servicetest.Main(m).Run())
}

var discard = slog.New(slog.DiscardHandler)

var word = Field{Table: "things", Column: "word"}

// places are two databases with two tables each.
type places []place.Place

func (p places) At(s shard.Shard) place.Place { return p[int(s.Number)*len(p)/shard.Count] }

func (p places) All(shard.Kind) []place.Place { return p }

func openPlaces(dsns ...string) (all places) {
	for i, dsn := range dsns {
		pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
		if err != nil {
			panic(err)
		}
		copies := db.NewCopies("shop", pool, nil, 0, discard)
		for _, suffix := range []string{"_0", "_1"} {
			all = append(all, place.Place{Copies: copies, Name: string(rune('a'+i)) + suffix, Suffix: suffix})
		}
	}
	return all
}

// world is a vault with its databases, and a directory with its file.
type world struct {
	testing.TB
	dir  string
	dsns []string
	places
	*Vault
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), dsns: []string{servicetest.MariaDB(t), servicetest.MariaDB(t)}}
	w.places = openPlaces(w.dsns...)
	for i := range w.places {
		if i%2 == 0 {
			t.Cleanup(func() { _ = w.places[i].Close() })
		}
	}
	for statement := range strings.SplitSeq(strings.TrimSpace(Tables("thing")), ";\n") {
		w.exec(statement)
	}
	if _, err := Generate(w.file()); err != nil {
		t.Fatal(err)
	}
	w.Vault = w.another("vault.json")
	if err := w.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// another is a process of its own that has a file.
func (w *world) another(file string) *Vault {
	w.Helper()
	ring, err := ReadRing(filepath.Join(w.dir, file), discard)
	if err != nil {
		w.Fatal(err)
	}
	return New(Config{Owner: "thing", Kind: Users, Places: w.places, Ring: ring})
}

func (w *world) seal(v *Vault, user int64, text string) []byte {
	w.Helper()
	sealed, err := v.Seal(w.Context(), user, word, []byte(text))
	if err != nil {
		w.Fatal(err)
	}
	return sealed
}

func (w *world) opens(v *Vault, user int64, sealed []byte, want string) {
	w.Helper()
	if text, err := v.Open(w.Context(), user, word, sealed); err != nil || string(text) != want {
		w.Fatalf("user %d: %q, %v, want %q", user, text, err, want)
	}
}

func (w *world) erase(v *Vault, user int64) {
	w.Helper()
	if err := db.Write(w.Context(), v.place(user).Writer(), "a user", func(tx *sql.Tx) error { return v.Erase(w.Context(), tx, user) }); err != nil {
		w.Fatal(err)
	}
}

func (w *world) exec(statement string, values ...any) {
	w.Helper()
	for _, p := range w.places {
		if _, err := p.In(p.Writer()).ExecContext(w.Context(), statement, values...); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) count(query string, values ...any) (sum int) {
	w.Helper()
	for _, p := range w.places {
		var n int
		if err := p.In(p.Writer()).QueryRowContext(w.Context(), query, values...).Scan(&n); err != nil {
			w.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestSealedValuesOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.another("vault.json")
	for user := int64(1); user <= 50; user++ {
		for _, text := range []string{"", "a word", strings.Repeat("größer ", 300)} {
			sealed := w.seal(w.Vault, user, text)
			w.opens(w.Vault, user, sealed, text)
			w.opens(other, user, sealed, text)
			if len(text) > 0 && bytes.Contains(sealed, []byte(text)) {
				t.Errorf("%q shows", text)
			}
			if bytes.Equal(sealed, w.seal(w.Vault, user, text)) {
				t.Error("one value is sealed twice to the same: equal values can be told")
			}
		}
	}
	if n := w.count("SELECT COUNT(*) FROM thing_keys__"); n != 50 {
		t.Errorf("%d keys for 50 users", n)
	}
}

// TestSealedValuesStayWhereTheyAre moves values to another user, table, column, row, owner and kind, and alters them.
func TestSealedValuesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	at := Field{"things", "word", 7}
	sealed, err := w.Seal(t.Context(), 1, at, []byte("a word"))
	if err != nil {
		t.Fatal(err)
	}
	w.seal(w.Vault, 2, "")
	refuses := func(what string, v *Vault, user int64, f Field, sealed []byte) {
		t.Helper()
		if text, err := v.Open(t.Context(), user, f, sealed); !errors.Is(err, ErrSealed) || strings.Contains(fmt.Sprint(err), "a word") {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
	refuses("another user", w.Vault, 2, at, sealed)
	refuses("a user without a key", w.Vault, 3, at, sealed)
	refuses("another table", w.Vault, 1, Field{"thing", "word", 7}, sealed)
	refuses("another column", w.Vault, 1, Field{"things", "other", 7}, sealed)
	refuses("another row", w.Vault, 1, Field{"things", "word", 8}, sealed)
	refuses("words that run together", w.Vault, 1, Field{"things\x00word", "", 7}, sealed)
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		refuses(fmt.Sprintf("byte %d is altered", i), w.Vault, 1, at, altered)
		refuses(fmt.Sprintf("only %d bytes", i), w.Vault, 1, at, sealed[:i])
	}
	refuses("one byte more", w.Vault, 1, at, append(bytes.Clone(sealed), 0))

	// The wrapped key of a user opens for nobody else either.
	w.exec("UPDATE thing_keys__ SET key_id = key_id WHERE subject_id = 1") // it is somewhere
	p, q := w.place(1), w.place(2)
	var by uint32
	var key []byte
	if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT key_id, wrapped FROM thing_keys__ WHERE subject_id = 1").Scan(&by, &key); err != nil {
		t.Fatal(err)
	}
	if _, err := q.In(q.Writer()).ExecContext(t.Context(), "UPDATE thing_keys__ SET wrapped = ? WHERE subject_id = 2", key); err != nil {
		t.Fatal(err)
	}
	refuses("a key that was copied", w.another("vault.json"), 2, at, sealed)
}

// TestOneMakesAKey lets processes make the keys of users at once: what each seals the others open.
func TestOneMakesAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const processes, users = 6, 20
	var vaults []*Vault
	for range processes {
		vaults = append(vaults, w.another("vault.json"))
	}
	var sealed [processes][users][]byte
	var group errgroup.Group
	for i, v := range vaults {
		for user := range users {
			group.Go(func() (err error) {
				sealed[i][user], err = v.Seal(t.Context(), int64(user+1), word, []byte{byte(i)})
				return err
			})
		}
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for user := range users {
			w.opens(vaults[(i+1)%processes], int64(user+1), sealed[i][user], string([]byte{byte(i)}))
		}
	}
}

// TestErasedKeysAreGone erases a user. Another process that has the key opened forgets it within its life.
func TestErasedKeysAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.another("vault.json")
	other.opened = newCache(100, 200*time.Millisecond)
	sealed := w.seal(w.Vault, 1, "a word")
	stays := w.seal(w.Vault, 2, "another")
	w.opens(other, 1, sealed, "a word")

	// A transaction that does not commit erases nothing.
	err := db.Write(t.Context(), w.place(1).Writer(), "a user", func(tx *sql.Tx) error {
		return errors.Join(w.Erase(t.Context(), tx, 1), errors.New("after all not"))
	})
	if err == nil {
		t.Fatal("it committed")
	}
	w.opens(w.Vault, 1, sealed, "a word")

	w.erase(w.Vault, 1)
	w.erase(w.Vault, 1) // again is no harm
	w.erase(w.Vault, 3) // who never had a key
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := other.Open(t.Context(), 1, word, sealed); errors.Is(err, ErrErased) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("another process still opens it")
		}
	}
	for _, v := range []*Vault{w.Vault, other, w.another("vault.json")} {
		for _, user := range []int64{1, 3} {
			if _, err := v.Open(t.Context(), user, word, sealed); !errors.Is(err, ErrErased) {
				t.Errorf("user %d opens: %v", user, err)
			}
			if _, err := v.Seal(t.Context(), user, word, nil); !errors.Is(err, ErrErased) {
				t.Errorf("user %d seals: %v", user, err)
			}
		}
		w.opens(v, 2, stays, "another")
	}
	if n := w.count("SELECT COUNT(*) FROM thing_keys__ WHERE subject_id IN (1, 3) AND (wrapped IS NOT NULL OR key_id IS NOT NULL)"); n != 0 {
		t.Errorf("%d keys are still there", n)
	}
}

func TestIndexes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.another("vault.json")
	seen := map[[IndexBytes]byte]string{}
	for _, name := range []string{"email", "phone", ""} {
		for _, value := range []string{"", "ann@example.org", "Ann@example.org", "аnn@example.org", "+4917012345678"} { // the third а is Cyrillic
			sum := w.Index(name, value)
			if sum != other.Index(name, value) {
				t.Errorf("%s %q has two indexes", name, value)
			}
			if was, twice := seen[sum]; twice {
				t.Errorf("%s %q has the index of %s", name, value, was)
			}
			seen[sum] = name + " " + value
		}
	}
	if _, err := Generate(filepath.Join(w.dir, "other.json")); err != nil {
		t.Fatal(err)
	}
	if w.another("other.json").Index("email", "") == w.Index("email", "") {
		t.Error("two files have one index")
	}
}

// An error says whether a key may have been made.
func TestErrorsSayWhatWasDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Open(ctx, 1, word, []byte{1}); !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("an opening that was cancelled: %v", err)
	}
	if _, err := w.Seal(ctx, 1, word, nil); !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("a sealing that was cancelled: %v", err)
	}
	w.exec("RENAME TABLE thing_keys__ TO elsewhere__")
	if _, err := w.Seal(t.Context(), 1, word, nil); err == nil || !strings.Contains(err.Error(), "there is no table thing_keys") {
		t.Errorf("without its table: %v", err)
	}
}

// secretsIn fails if a text has key material of a file.
func secretsIn(t testing.TB, file, text string) {
	t.Helper()
	held, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(held), `"value"`)[1:] {
		secret := strings.Split(part, `"`)[1]
		if strings.Contains(text, secret) {
			t.Errorf("a key shows in %.60s...", text)
		}
	}
}
