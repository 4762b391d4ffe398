package place_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// TestDatabaseIsSplit makes a database of its own of a replica. Everybody's rows are found as before.
func TestDatabaseIsSplit(t *testing.T) {
	t.Parallel()
	primary, replicas := servicetest.ReplicatedMariaDB(t, 1)
	if err := primary.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	openBy := func(file string) *place.Databases {
		t.Helper()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.dsn"), primary.DSN("shop"))
		write(t, filepath.Join(dir, "b.dsn"), replicas[0].DSN("shop"))
		write(t, filepath.Join(dir, "shards.json"), file)
		d, err := place.Config{File: filepath.Join(dir, "shards.json")}.Open(place.Options{MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: time.Hour, Log: discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	before := openBy(strings.NewReplacer(`, {"name": "b", "dsn_file": "b.dsn"}`, "", `{"name": "a", "dsn_file": "a.dsn"}`,
		`{"name": "a", "dsn_file": "a.dsn", "readers": [{"dsn_file": "b.dsn"}]}`, `"database": "b", "table": 0`, `"database": "a", "table": 0`,
		`"database": "b", "table": 1`, `"database": "a", "table": 1`, `"database": "b"`, `"database": "a"`).Replace(file))
	if err := before.Migrate(t.Context(), owners, place.Quiet); err != nil {
		t.Fatal(err)
	}
	const users = 40
	for user := int64(1); user <= users; user++ {
		p := before.At(shard.OfUser(user))
		if _, err := p.In(p.Writer()).ExecContext(t.Context(), "INSERT INTO things__ (user_id) VALUES (?)", user); err != nil {
			t.Fatal(err)
		}
	}
	run(t, before)
	p := before.At(shard.OfUser(1))
	last := p.Position(t.Context())
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		reads, _, _ := p.Reads()
		if _, err := place.Read(t.Context(), p, last, func(place.Conn) (int, error) { return 0, nil }); err != nil {
			t.Fatal(err)
		}
		if now, _, _ := p.Reads(); now > reads {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the replica does not catch up")
		}
	}
	if err := replicas[0].Lag(t.Context(), true); err != nil { // it takes nothing from its primary any more
		t.Fatal(err)
	}

	after := openBy(file)
	if err := after.Check(t.Context(), owners); err == nil || !strings.Contains(err.Error(), "or a copy of it") {
		t.Errorf("with the identity of the other: %v", err)
	}
	if _, err := after.At(shard.OfValue("x")).Writer().ExecContext(t.Context(), "UPDATE database_beats SET identity = UNHEX(REPLACE(UUID(), '-', ''))"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(after.Migrate(t.Context(), owners, place.Quiet), after.Check(t.Context(), owners)); err != nil {
		t.Fatal(err)
	}
	moved := 0
	for user := int64(1); user <= users; user++ {
		p := after.At(shard.OfUser(user))
		n, err := place.Read(t.Context(), p, db.Never, func(in place.Conn) (n int, err error) {
			err = in.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM things__ WHERE user_id = ?", user).Scan(&n)
			return n, err
		})
		if err != nil || n != 1 {
			t.Errorf("user %d in %s: %d, %v", user, p.Name, n, err)
		}
		if strings.HasPrefix(p.Name, "b_") {
			moved++
		}
	}
	if moved == 0 {
		t.Error("nobody is in the new database")
	}
}

// TestAReadingThatRunsTwice: what the first run has read is not in the answer of the second.
func TestAReadingThatRunsTwice(t *testing.T) {
	t.Parallel()
	primary, replicas := servicetest.ReplicatedMariaDB(t, 1)
	if err := primary.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	d, err := place.Open(place.Options{
		Map: mapOf(primary.DSN("shop"), replicas[0].DSN("shop")), MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: time.Hour, Log: discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), owners, place.Quiet); err != nil {
		t.Fatal(err)
	}
	run(t, d)
	p := d.At(shard.OfUser(1))
	if _, err := p.In(p.Writer()).ExecContext(t.Context(), "INSERT INTO things__ (user_id) VALUES (1), (2), (3)"); err != nil {
		t.Fatal(err)
	}
	runs := 0
	read := func(in place.Conn) (users []int64, err error) {
		runs++
		err = db.Rows(t.Context(), in, func(row *sql.Rows) error {
			var user int64
			if err := row.Scan(&user); err != nil {
				return err
			}
			if users = append(users, user); runs == 1 && user == 2 {
				return driver.ErrBadConn // the connection to the reader breaks
			}
			return nil
		}, "SELECT user_id FROM things__ ORDER BY user_id")
		return users, err
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		runs = 0
		users, err := place.Read(t.Context(), p, 0, read)
		if runs == 2 {
			if err != nil || !slices.Equal(users, []int64{1, 2, 3}) {
				t.Errorf("the second run has read %v, %v", users, err)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("no reader was ever asked")
		}
	}
	for _, from := range []db.Position{0, db.Never} {
		_, err = place.Read(t.Context(), p, from, func(in place.Conn) (int, error) {
			_, err := in.ExecContext(t.Context(), "INSERT INTO things__ (user_id) VALUES (9)")
			return 0, err
		})
		if err == nil || !strings.Contains(err.Error(), "a reading writes") {
			t.Errorf("a reading from %d on wrote: %v", from, err)
		}
	}
}

// run runs the databases for the time of the test.
func run(t *testing.T, d *place.Databases) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { d.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
}

// TestReadersThatLag has two real replicas: one is stopped, and one may be read from.
func TestReadersThatLag(t *testing.T) {
	t.Parallel()
	primary, replicas := servicetest.ReplicatedMariaDB(t, 2)
	fast, slow := replicas[0], replicas[1]
	if err := primary.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	m := mapOf(primary.DSN("shop"), fast.DSN("shop"), slow.DSN("shop"))
	d, err := place.Open(place.Options{Map: m, MySQL: db.Config{ConnsMax: 4, Timeout: time.Minute}, LagMax: 2 * time.Second, Log: discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if err := d.Migrate(t.Context(), owners, place.Quiet); err != nil {
		t.Fatal(err)
	}
	run(t, d)
	p := d.At(shard.OfUser(1))

	type answer struct {
		port int
		has  bool
	}
	ask := func(from db.Position, user int64) (answer, error) {
		return place.Read(t.Context(), p, from, func(in place.Conn) (a answer, err error) {
			err = in.QueryRowContext(t.Context(), "SELECT @@port, (SELECT COUNT(*) FROM things__ WHERE user_id = ?)", user).Scan(&a.port, &a.has)
			return a, err
		})
	}
	// whoIs reads who answers from a position on, and whether the user's row is there.
	whoIs := func(from db.Position, user int64) (port int, has bool) {
		t.Helper()
		got, err := ask(from, user)
		if err != nil {
			t.Fatal(err)
		}
		return got.port, got.has
	}
	ports := map[int]string{portOf(t, primary.Addr): "primary", portOf(t, fast.Addr): "fast", portOf(t, slow.Addr): "slow"}
	await := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain: %s", what)
			}
		}
	}
	answers := func(n int) map[string]int {
		counts := map[string]int{}
		for range n {
			port, _ := whoIs(0, 1)
			counts[ports[port]]++
		}
		return counts
	}
	await("both replicas are read from", func() bool { c := answers(10); return c["fast"] > 0 && c["slow"] > 0 })

	user := int64(0)
	// seesOwn writes many rows, and each is there for who reads it from its position on.
	seesOwn := func() (by map[string]int) {
		t.Helper()
		by = map[string]int{}
		for range 50 {
			user++
			from, err := p.Write(t.Context(), "a thing", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "INSERT INTO things (user_id) VALUES (?)", user)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			port, has := whoIs(from, user)
			if !has {
				t.Errorf("the %s does not have row %d of who reads it", ports[port], user)
			}
			by[ports[port]]++
			if user%10 == 0 { // a reader catches up, and takes over
				await("a reader reaches a position", func() bool { port, _ := whoIs(from, user); return ports[port] != "primary" })
			}
		}
		return by
	}
	if by := seesOwn(); by["primary"] == 0 {
		t.Errorf("who has just written was answered by %v", by)
	}

	lag := func(yes bool) {
		t.Helper()
		if err := slow.Lag(t.Context(), yes); err != nil {
			t.Fatal(err)
		}
	}
	lag(true)
	if by := seesOwn(); by["slow"] != 0 {
		t.Errorf("with a stopped replica: %v", by)
	}
	await("a replica that lags is not read from", func() bool { return answers(10)["slow"] == 0 })
	if err := fast.Kill(); err != nil {
		t.Fatal(err)
	}
	if c := answers(10); c["primary"] != 10 {
		t.Errorf("with a dead replica and one that lags: %v", c)
	}
	_, _, fellBack := p.Reads()
	if fellBack == 0 {
		t.Log("the look was faster than a read")
	}
	lag(false)
	await("a replica that has caught up is read from", func() bool { return answers(10)["slow"] > 0 })

	// A replica cannot be written to by mistake, though root may write everywhere.
	reader, err := db.Config{DSN: config.Secret(slow.DSN("shop")), ConnsMax: 1, Timeout: time.Minute}.OpenReader()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if _, err := reader.ExecContext(t.Context(), "INSERT INTO things (user_id) VALUES (1000)"); err == nil {
		t.Error("a reader wrote")
	}
	// The writer goes: who needs no position is still answered.
	last := p.Position(t.Context())
	await("the replica has everything", func() bool { port, _ := whoIs(last, 1); return ports[port] == "slow" })
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	await("without a writer the replica answers", func() bool { // on a busy machine it may miss a look
		got, err := ask(0, 1)
		return err == nil && ports[got.port] == "slow" && got.has
	})
	if at := p.Position(t.Context()); at != db.Never {
		t.Errorf("without a writer its position is %d", at)
	}
}
