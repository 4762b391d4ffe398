package apikey

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
	"sluice/core/stock"
	"sluice/core/tally"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// things is an owner that has keys.
var things = place.Owner{Where: place.Of(shard.Values), Owner: schema.Owner{Name: "thing", Table: "thing_schema_version", Files: fstest.MapFS{
	"00001_keys.sql": {Data: []byte("-- +goose Up\n" + Table("thing"))},
}}}

// file has keys in two databases of two tables.
const file = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}, {"name": "b", "dsn_file": "b.dsn"}],
  "users": [{"first": 0, "last": 1023, "database": "a"}],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [
    {"first": 0, "last": 255, "database": "a", "table": 0},
    {"first": 256, "last": 511, "database": "a", "table": 1},
    {"first": 512, "last": 767, "database": "b", "table": 0},
    {"first": 768, "last": 1023, "database": "b", "table": 1}
  ],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "b"}]}]
}`

func newKeys(t *testing.T) *Keys {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "b.dsn": servicetest.MariaDB(t), "shards.json": file} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{
		MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), place.Owners{things}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	return Of("thing", d, "stock:read", "stock:write", "orders:read")
}

func (k *Keys) make(t *testing.T, holder int64, scopes ...string) (key, prefix string) {
	t.Helper()
	secret, made, err := k.Derive(t.Context(), draw(), holder, "a system", scopes, time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal(), made.Prefix
}

// exec runs a statement about the keys in all places.
func (k *Keys) exec(t *testing.T, statement string) {
	t.Helper()
	for _, p := range k.databases.All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKeysAreGoodUntilTheyEnd(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key, prefix := k.make(t, 7, "stock:read", "orders:read")
	other, _ := k.make(t, 8, "stock:write")
	good := func(key string) error {
		_, err := k.Verify(t.Context(), key)
		return err
	}
	got, err := k.Verify(t.Context(), key)
	if err != nil || got.Holder != 7 || got.Prefix != prefix || !got.Allows("orders:read") || got.Allows("stock:write") || got.Allows("stock") {
		t.Errorf("%+v, %v", got, err)
	}
	if err := errors.Join(good(key), good(other)); err != nil {
		t.Error(err)
	}
	if err := k.Revoke(t.Context(), 8, prefix, nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("revoked by another holder: %v", err)
	}
	for range 2 {
		if err := k.Revoke(t.Context(), 7, prefix, nil); err != nil {
			t.Error(err)
		}
		if err := good(key); !errors.Is(err, ErrKey) {
			t.Errorf("revoked: %v", err)
		}
	}
	if err := good(other); err != nil {
		t.Errorf("another key: %v", err)
	}
	k.exec(t, "UPDATE thing_api_keys__ SET made_at = NOW(3) - INTERVAL 2 DAY, ends_at = NOW(3) - INTERVAL 1 SECOND")
	if err := good(other); !errors.Is(err, ErrKey) {
		t.Errorf("ended: %v", err)
	}
	if err := k.Revoke(t.Context(), 7, "000000000000", nil); !errors.Is(err, ErrUnknown) {
		t.Errorf("no such key: %v", err)
	}
}

// TestOnlyTheWholeKeyIsOne changes every digit, and guesses behind a known prefix.
func TestOnlyTheWholeKeyIsOne(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key, prefix := k.make(t, 7, "stock:read")
	refused := func(text string) {
		t.Helper()
		if _, err := k.Verify(t.Context(), text); !errors.Is(err, ErrKey) || err.Error() != ErrKey.Error() {
			t.Errorf("%q: %v", text, err)
		}
	}
	for i := range key {
		other := byte('0')
		if key[i] == other {
			other = '1'
		}
		refused(key[:i] + string(other) + key[i+1:])
	}
	for range 20 { // of the right form, behind the right prefix
		guess, _ := draw().key()
		body := mark + prefix + guess.Reveal()[len(mark)+prefixDigits:len(guess)-checkDigits]
		refused(body + check(body))
	}
	for _, text := range []string{"", "slk_", key[:len(key)-1], key + "0", strings.ToUpper(key), " " + key, key + "\n", strings.Replace(key, "_", "-", 1)} {
		refused(text)
	}
}

// TestNothingKeepsTheKey looks for it in all columns.
func TestNothingKeepsTheKey(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key, prefix := k.make(t, 7, "stock:read")
	secret := key[len(mark)+prefixDigits+1:]
	p := k.at(prefix)
	var row string
	const all = "SELECT CONCAT_WS(' ', prefix, HEX(hash), holder, name, scopes) FROM thing_api_keys__ WHERE prefix = ?"
	if err := p.In(p.Writer()).QueryRowContext(t.Context(), all, prefix).Scan(&row); err != nil || strings.Contains(row, secret[:8]) || !strings.Contains(row, prefix) {
		t.Errorf("%s, %v", row, err)
	}
	made, _, err := k.Derive(t.Context(), draw(), 7, "another", []string{"stock:read"}, time.Hour, nil)
	if shown := fmt.Sprintf("%v %+v %#v", made, made, made); err != nil || strings.Contains(shown, "slk_") {
		t.Errorf("shown as %s, %v", shown, err)
	}
}

func TestUseIsNotedNowAndThen(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key, _ := k.make(t, 7, "stock:read")
	used := func() time.Time {
		t.Helper()
		all, err := k.List(t.Context(), 7, 10)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0].LastUsedAt
	}
	verify := func(want int64) {
		t.Helper()
		ctx, calls := tally.Count(t.Context())
		if _, err := k.Verify(ctx, key); err != nil || calls.Load() != want {
			t.Errorf("%v, by %d calls, want %d", err, calls.Load(), want)
		}
	}
	if !used().IsZero() {
		t.Error("used before")
	}
	verify(2)
	first := used()
	if time.Since(first).Abs() > time.Hour {
		t.Errorf("used at %v", first)
	}
	verify(1)
	if !used().Equal(first) {
		t.Error("noted again at once")
	}
	k.exec(t, "UPDATE thing_api_keys__ SET last_used_at = NOW(3) - INTERVAL 6 MINUTE")
	verify(2)
}

// TestUseThatCannotBeNoted: a key is good also while its row cannot be written, as in a database that only reads.
func TestUseThatCannotBeNoted(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	key, prefix := k.make(t, 7, "stock:read")
	p := k.at(prefix)
	k.exec(t, "CREATE TRIGGER refuse_thing__ BEFORE UPDATE ON thing_api_keys__ FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'")
	if got, err := k.Verify(t.Context(), key); err != nil || got.Prefix != prefix {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := p.In(p.Writer()).ExecContext(t.Context(), "DROP TRIGGER refuse_thing__"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(t.Context(), key); err != nil {
		t.Error(err)
	}
	if all, err := k.List(t.Context(), 7, 1); err != nil || all[0].LastUsedAt.IsZero() {
		t.Errorf("%+v, %v: its use is not noted afterwards", all, err)
	}
}

// TestKeysMadeAtOnce makes more keys at once than a holder may have. Whoever is told of a key has a good one, and they are not too many.
func TestKeysMadeAtOnce(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for range PerHolderMax - 1 {
		k.make(t, 7, "stock:read")
	}
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			if _, _, err := k.Derive(t.Context(), draw(), 7, "another", []string{"stock:read"}, time.Hour, nil); err != nil && !errors.Is(err, ErrTooMany) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	keys, err := k.List(t.Context(), 7, 100)
	keys = slices.DeleteFunc(keys, func(of Key) bool { return !of.RevokedAt.IsZero() })
	if err != nil || len(keys) > PerHolderMax {
		t.Errorf("%d good keys, %v", len(keys), err)
	}
}

func TestKeysOfAHolder(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	var prefixes []string
	places := map[string]bool{}
	for range PerHolderMax {
		_, prefix := k.make(t, 7, "stock:read")
		prefixes = append(prefixes, prefix)
		places[k.at(prefix).Name] = true
	}
	if _, _, err := k.Derive(t.Context(), draw(), 7, "one more", []string{"stock:read"}, time.Hour, nil); !errors.Is(err, ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	k.make(t, 8, "stock:read")
	all, err := k.List(t.Context(), 7, 100)
	var listed []string
	for _, key := range all {
		listed = append(listed, key.Prefix)
	}
	slices.Sort(prefixes)
	if slices.Sort(listed); err != nil || !slices.Equal(listed, prefixes) || len(places) < 2 {
		t.Errorf("%d keys in %d places are listed, %v", len(listed), len(places), err)
	}
	if err := k.Revoke(t.Context(), 7, prefixes[0], nil); err != nil {
		t.Error(err)
	}
	k.make(t, 7, "stock:read") // there is room again
	if all, err = k.List(t.Context(), 7, 3); err != nil || len(all) != 3 {
		t.Errorf("%d keys, %v", len(all), err)
	}
}

// TestManyEndedKeys: a list that is shorter than all keys has those that are good, and then the newest.
func TestManyEndedKeys(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	var want []string
	for range 2 {
		_, prefix := k.make(t, 7, "stock:read")
		want = append(want, prefix)
	}
	k.exec(t, "UPDATE thing_api_keys__ SET made_at = '2026-01-01', ends_at = '2100-01-01'")
	slices.Sort(want) // made at once, as it seems
	var ended []string
	for range 15 {
		_, prefix := k.make(t, 7, "stock:read")
		ended = append(ended, prefix)
		if err := k.Revoke(t.Context(), 7, prefix, nil); err != nil {
			t.Fatal(err)
		}
	}
	for i, prefix := range ended {
		k.exec(t, fmt.Sprintf("UPDATE thing_api_keys__ SET made_at = NOW(3) - INTERVAL %d MINUTE WHERE prefix = '%s'", i, prefix))
	}
	want = append(want, ended[:3]...)
	all, err := k.List(t.Context(), 7, len(want))
	var listed []string
	for _, key := range all {
		listed = append(listed, key.Prefix)
	}
	if err != nil || !slices.Equal(listed, want) {
		t.Errorf("listed are %v, %v, want %v of %v", listed, err, want, ended)
	}
}

func TestWhatNoKeyCanBe(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for name, c := range map[string]struct {
		name   string
		scopes []string
		life   time.Duration
	}{
		"no name": {"", []string{"stock:read"}, time.Hour}, "a name of two lines": {"a\nb", []string{"stock:read"}, time.Hour},
		"a long name": {strings.Repeat("x", 101), []string{"stock:read"}, time.Hour}, "no scope": {"x", nil, time.Hour},
		"an unknown scope": {"x", []string{"users:write"}, time.Hour}, "a scope twice": {"x", []string{"stock:read", "stock:read"}, time.Hour},
		"two scopes in one": {"x", []string{"stock:read stock:write"}, time.Hour}, "no life": {"x", []string{"stock:read"}, time.Minute},
		"for ever": {"x", []string{"stock:read"}, LifeMax + time.Second},
	} {
		if key, _, err := k.Derive(t.Context(), draw(), 7, c.name, c.scopes, c.life, nil); !errors.Is(err, ErrForm) || key != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWhatIsWrittenWithAKey: if who made it cannot be written down, there is no key.
func TestWhatIsWrittenWithAKey(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	fails := func(*sql.Tx, place.Place, string, bool) error { return fmt.Errorf("no: %w", stock.ErrNotApplied) }
	if key, _, err := k.Derive(t.Context(), draw(), 7, "x", []string{"stock:read"}, time.Hour, fails); err == nil || key != "" {
		t.Errorf("made: %v", err)
	}
	if all, err := k.List(t.Context(), 7, 10); err != nil || len(all) != 0 {
		t.Errorf("%d keys, %v", len(all), err)
	}
	key, prefix := k.make(t, 7, "stock:read")
	if err := k.Revoke(t.Context(), 7, prefix, fails); err == nil {
		t.Error("revoked")
	}
	if _, err := k.Verify(t.Context(), key); err != nil {
		t.Error(err)
	}
	asked := 0
	counts := func(_ *sql.Tx, p place.Place, of string, _ bool) error {
		if asked++; of != prefix || p.Name != k.at(prefix).Name {
			t.Errorf("about %s in %s", of, p.Name)
		}
		return nil
	}
	for range 2 { // the second time nothing is done
		if err := k.Revoke(t.Context(), 7, prefix, counts); err != nil {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("written down %d times", asked)
	}
}

func TestFormOfKeys(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		key, prefix := draw().key()
		read, ok := prefixOf(key.Reveal())
		if !ok || read != prefix || seen[prefix] || len(key) != keyDigits {
			t.Fatalf("%q has the prefix %q, %v", key.Reveal(), read, ok)
		}
		seen[prefix] = true
	}
	var _ config.Secret
}

// TestDerivedKeyIsMadeOnce makes the key of a seed many times at once, and then for others.
func TestDerivedKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	seed := draw()
	var written atomic.Int64
	derive := func(holder int64, name string, life time.Duration, scopes ...string) (string, error) {
		secret, key, err := k.Derive(t.Context(), seed, holder, name, scopes, life, func(*sql.Tx, place.Place, string, bool) error {
			written.Add(1)
			return nil
		})
		if err == nil && (key.Holder != holder || key.Name != name || key.EndsAt.Sub(key.MadeAt) != life) {
			t.Errorf("%+v", key)
		}
		return secret.Reveal(), err
	}
	want, _ := seed.key()
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			got, err := derive(7, "a system", time.Hour, "stock:read")
			if err == nil && got != want.Reveal() {
				err = errors.New("another key")
			}
			return err
		})
	}
	if err := group.Wait(); err != nil || written.Load() != 1 {
		t.Errorf("written down %d times, %v", written.Load(), err)
	}
	if key, err := k.Verify(t.Context(), want.Reveal()); err != nil || key.Holder != 7 {
		t.Errorf("%+v, %v", key, err)
	}
	for what, err := range map[string]error{
		"holder": second(derive(8, "a system", time.Hour, "stock:read")), "name": second(derive(7, "another", time.Hour, "stock:read")),
		"life": second(derive(7, "a system", 2*time.Hour, "stock:read")), "scope": second(derive(7, "a system", time.Hour, "stock:write")),
	} {
		if !errors.Is(err, ErrMade) {
			t.Errorf("another %s: %v", what, err)
		}
	}
	_, prefix := seed.key()
	if err := k.Revoke(t.Context(), 7, prefix, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := derive(7, "a system", time.Hour, "stock:read"); !errors.Is(err, ErrMade) || written.Load() != 1 {
		t.Errorf("after it was revoked: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }
