package account_test

import (
	"database/sql"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// The sweep reads pending claims only, however many addresses there are.
func TestSweepReadsPendingClaimsOnly(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	p := a.databases.All(shard.Values)[0]
	for _, statement := range []string{
		"INSERT INTO claims__ (value_index, user_id, claim, final, claimed_at) SELECT UNHEX(SHA2(seq, 256)), seq, 1, seq > 3, NOW(3) - INTERVAL 1 DAY FROM seq_1_to_3000",
		"ANALYZE TABLE claims__",
	} {
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var key sql.NullString
	var examined int
	var other [10]sql.RawBytes
	err := db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		return row.Scan(&other[0], &other[1], &other[2], &other[3], &other[4], &key, &other[5], &other[6], &examined, &other[7])
	}, "EXPLAIN "+account.SelectPending, 600, time.UnixMilli(0).UTC(), time.UnixMilli(0).UTC(), []byte{}, 500)
	if err != nil || !strings.HasPrefix(key.String, "claims") || !strings.HasSuffix(key.String, "pending") || examined > 10 {
		t.Errorf("by key %q it examines %d rows, %v: want 3", key.String, examined, err)
	}
}

// The sweep reads second factors that were begun and not finished, however many users have one.
func TestSweepReadsPendingFactorsOnly(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	p := a.databases.All(shard.Users)[0]
	for _, statement := range []string{
		"INSERT INTO factors__ (user_id, secret, active, codes, made_by, made_at) SELECT seq, X'01', seq > 3, '', '', NOW(3) - INTERVAL 2 DAY FROM seq_1_to_3000",
		"ANALYZE TABLE factors__",
	} {
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	var key sql.NullString
	var examined int
	var other [8]sql.RawBytes
	err := db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		return row.Scan(&other[0], &other[1], &other[2], &other[3], &other[4], &key, &other[5], &other[6], &examined, &other[7])
	}, "EXPLAIN "+account.SweepFactors, 500)
	if err != nil || !strings.HasPrefix(key.String, "factors") || !strings.HasSuffix(key.String, "pending") || examined > 10 {
		t.Errorf("by key %q it examines %d rows, %v: want 3", key.String, examined, err)
	}
}

const twoTables = `{
  "databases": [{"name": "a", "dsn_file": "a.dsn"}],
  "users": [{"first": 0, "last": 511, "database": "a", "table": 0}, {"first": 512, "last": 1023, "database": "a", "table": 1}],
  "products": [{"first": 0, "last": 1023, "database": "a"}],
  "values": [{"first": 0, "last": 1023, "database": "a"}],
  "checkouts": [{"from": "2024-01", "shards": [{"first": 0, "last": 1023, "database": "a"}]}]
}`

// A place that is away keeps back the claims of its own users only.
func TestSweepGoesOnBehindAPlaceThatIsAway(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	for name, text := range map[string]string{"a.dsn": servicetest.MariaDB(t), "shards.json": twoTables} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := must(place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler)}))(t)
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(ctx, place.Owners{account.Schema(), audit.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	a := account.New(account.Config{Databases: d, HashesMax: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	away, here := d.At(shard.OfUser(1)), int64(2)
	for d.At(shard.OfUser(here)).Name == away.Name {
		here++
	}
	values := d.All(shard.Values)[0]
	do := func(p place.Place, statement string, of ...any) {
		t.Helper()
		if _, err := p.In(p.Writer()).ExecContext(ctx, statement, of...); err != nil {
			t.Fatal(err)
		}
	}
	const claim = "INSERT INTO claims__ (value_index, user_id, claim, claimed_at) VALUES (?, ?, 1, NOW(3) - INTERVAL 1 HOUR)"
	// The older ones come first, and are more than a page.
	do(values, "INSERT INTO claims__ (value_index, user_id, claim, claimed_at) SELECT UNHEX(SHA2(seq, 256)), 1, seq, NOW(3) - INTERVAL 2 HOUR FROM seq_1_to_1200")
	do(values, claim, []byte(strings.Repeat("b", 32)), here)
	do(away, "RENAME TABLE identities__ TO gone__")
	left := func() (users []int64) {
		t.Helper()
		err := db.Rows(ctx, values.In(values.Writer()), func(row *sql.Rows) error {
			var user int64
			err := row.Scan(&user)
			users = append(users, user)
			return err
		}, "SELECT DISTINCT user_id FROM claims__")
		if err != nil {
			t.Fatal(err)
		}
		return users
	}
	if err := a.Sweep(ctx); err == nil || len(left()) != 1 || left()[0] != 1 {
		t.Errorf("%v, the claims of %v are left, want that of 1", err, left())
	}
	do(away, "RENAME TABLE gone__ TO identities__")
	if err := a.Sweep(ctx); err != nil || len(left()) != 0 {
		t.Errorf("%v, the claims of %v are left", err, left())
	}
}

// A request whose answer was lost may come again after all tries and after the end of its code.
func TestUsedCodesAnswerRepetitions(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	registered := must(a.Register(ctx, from("r"), account.Registration{Email: mia, Password: good, Home: home}))(t)
	code := a.last("verify_email").Values["code"]
	user := must(a.Verify(ctx, from("v"), registered.Challenge, code))(t)
	again := func(what string) {
		t.Helper()
		if same := must(a.Verify(ctx, from("v"), registered.Challenge, code))(t); same != user {
			t.Errorf("%s it is %+v", what, same)
		}
	}
	for range 6 {
		again("once more")
	}
	a.exec(user.ID, "UPDATE challenges__ SET ends_at = NOW(3) - INTERVAL 23 HOUR")
	again("after its end")
	_, err := a.Verify(ctx, from("v"), registered.Challenge, wrongOf(code))
	refused(t, "another code with the key", err, kindCode)
	_, err = a.Verify(ctx, from("w"), registered.Challenge, code)
	refused(t, "the code with another key", err, kindCode)
	_, err = a.Reset(ctx, from("v"), registered.Challenge, code, another)
	refused(t, "the code for another purpose", err, kindCode)

	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	code = a.last("reset_password").Values["code"]
	for range 7 {
		must(a.Reset(ctx, from("reset"), asked.Challenge, code, another))(t)
	}
}

// Messages to an account go to the address that its owner wrote.
func TestMessagesGoToTheAddressThatIsKept(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member("Mia@example.org")
	asked := must(a.AskReset(ctx, from("ask"), "MIA@Example.org"))(t)
	m := a.last("reset_password")
	must(a.Reset(ctx, from("reset"), asked.Challenge, m.Values["code"], another))(t)
	if changed := a.last("password_changed"); m.To != "Mia@example.org" || changed.To != m.To {
		t.Errorf("to %s and %s", m.To, changed.To)
	}
	must(a.AskReset(ctx, from("nobody"), "Eve@example.org"))(t)
	if m := a.last("no_account"); m.To != "Eve@example.org" {
		t.Errorf("to %s", m.To)
	}
}
