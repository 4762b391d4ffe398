package audit_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account/audit"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

// BenchmarkVerify verifies a log in which one chain has all entries but for a few. It has as many as -benchtime says: 100000x.
//
//	go test -run '^$' -bench BenchmarkVerify -benchtime 100000x -benchmem ./catalog/account/audit
func BenchmarkVerify(b *testing.B) {
	d, err := place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(b)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Migrate(b.Context(), place.Owners{audit.Schema()}, place.Quiet); err != nil {
		b.Fatal(err)
	}
	if err := do(b.Context(), d, audit.Log{}, 1, nil); err != nil {
		b.Fatal(err)
	}
	p := d.At(shard.OfUser(1))
	for n := 2; n <= b.N; { // with hashes that are wrong, which costs the same
		var rows []string
		for ; len(rows) < 1000 && n <= b.N; n++ {
			rows = append(rows, fmt.Sprint(n))
		}
		statement := "INSERT INTO audit_entries (chain, n, at, actor, act, object, origin, why, changes, hash) " +
			"SELECT e.chain, s.n, e.at, e.actor, e.act, e.object, e.origin, e.why, e.changes, e.hash FROM audit_entries AS e JOIN (SELECT " +
			strings.Join(rows, " AS n UNION ALL SELECT ") + " AS n) AS s WHERE e.n = 1"
		if _, err := p.Writer().ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	c := audit.NewChecker()
	if err := audit.NewReader(d).Verify(b.Context(), c, func() {}); err != nil {
		b.Fatal(err)
	}
	if entries, _, _ := c.Counts(); entries != int64(b.N) {
		b.Errorf("%d entries, want %d", entries, b.N)
	}
}

// BenchmarkAppend writes acts on different users down, one after the other, each in a transaction of its own.
//
//	go test -run '^$' -bench BenchmarkAppend -benchtime 2000x ./catalog/account/audit
func BenchmarkAppend(b *testing.B) {
	d, err := place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(b)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	if err := d.Migrate(b.Context(), place.Owners{audit.Schema()}, place.Quiet); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		if err := do(b.Context(), d, audit.Log{}, int64(1+i%500), nil); err != nil {
			b.Fatal(err)
		}
	}
}
