package persister

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/schema"
)

// TestHealthSeesMySQL changes a MySQL under a running persister so that it takes no events, in several ways: health
// and metrics tell which, nothing is lost, and all goes on by itself once it is mended.
func TestHealthSeesMySQL(t *testing.T) {
	t.Parallel()
	const (
		user         = "persister"
		noSuchThread = 1094 // ER_NO_SUCH_THREAD
	)
	for _, c := range []struct {
		name, spoil, mend, reason, settings string
	}{
		{"read-only", "SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", "read_only", `mysql",fault="read_only`},
		{"grant lost", "REVOKE INSERT ON sluice.ledger FROM persister", "GRANT INSERT ON sluice.ledger TO persister", "setup", ""},
		{"packet below an event", "SET GLOBAL max_allowed_packet = 1024", "SET GLOBAL max_allowed_packet = 16777216", "too_large", `mysql",fault="packet`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, dsn := servicetest.PrivateDatabase(t)
			w := newWorld(t, servicetest.Broker(t), dsn)
			grants, err := schema.Owners{Schema()}.Statements(schema.RolePersister, "sluice", user, "%")
			if err != nil {
				t.Fatal(err)
			}
			exec := func(statements ...string) {
				t.Helper()
				for _, s := range statements {
					if _, err := w.db.ExecContext(t.Context(), s); err != nil {
						t.Fatal(s, err)
					}
				}
			}
			exec(append([]string{"CREATE USER persister"}, grants...)...)
			// A connection keeps the settings and grants of the moment it was made. One of the list may end by itself
			// before its turn comes.
			reconnect := func() {
				for _, id := range lines(t, w.db, "SELECT id FROM information_schema.processlist WHERE user = 'persister'") {
					_, err := w.db.ExecContext(t.Context(), "KILL "+id)
					if refused := (*mysql.MySQLError)(nil); err != nil && (!errors.As(err, &refused) || refused.Number != noSuchThread) {
						t.Fatal("KILL", id, err)
					}
				}
			}
			w.cfg.MySQL.DSN = config.Secret(strings.Replace(dsn, "root@", user+"@", 1))
			n := w.start()
			w.happen(50, true)
			w.atRest()

			exec(c.spoil)
			reconnect()
			w.happen(50, true)
			w.eventually("not ready", func() string {
				if body := get(t, n, "readyz"); !strings.Contains(body, `"name":"mysql_writes","status":"fail"`) || !strings.Contains(body, ": "+c.reason+": ") {
					return body
				}
				return "not ready"
			})
			w.eventually("told", func() string {
				page := get(t, n, "metrics")
				if strings.Contains(page, `sluice_persister_blocked_workers{reason="`+c.reason+`"} 0`) ||
					c.settings != "" && !strings.Contains(page, `sluice_core_server_faults{server="`+c.settings+`"} 1`) {
					return page
				}
				return "told"
			})
			exec(c.mend)
			reconnect()
			w.atRest()
			w.eventually(`{"status":"ok","checks":[]}`, func() string { return strings.TrimSpace(get(t, n, "readyz")) })
		})
	}
}

// TestSmallPackets uses a server that takes statements of some ten events only, from before the persister starts.
func TestSmallPackets(t *testing.T) {
	t.Parallel()
	mariadb, dsn := servicetest.PrivateDatabase(t)
	w := newWorld(t, servicetest.Broker(t), dsn)
	if err := mariadb.SetGlobal(t.Context(), "max_allowed_packet = 4096"); err != nil {
		t.Fatal(err)
	}
	w.happen(300, true)
	n := w.start()
	w.atRest()
	w.eventually("0", func() string { // the marks come along too
		return lines(t, w.db, "SELECT COUNT(*) FROM product_inventories i LEFT JOIN applied_marks m USING (sku_id, pool, bucket) "+
			"WHERE m.seq IS NULL OR m.seq <> i.seq")[0]
	})
	w.eventually("degraded", func() string {
		body := get(t, n, "readyz")
		if strings.HasPrefix(body, `{"status":"degraded"`) && strings.Contains(body, "max_allowed_packet is 4096") {
			return "degraded"
		}
		return body
	})
	// The bytes of a dead letter cannot be taken apart.
	letter := []letter{{reason: reasonMalformed, data: make([]byte, 20_000)}}
	small := writer{db: openDatabase(t, dsn)}
	if _, err := small.write(t.Context(), nil, letter); db.FailureOf(err) != db.FailureTooLarge {
		t.Errorf("a letter above the packet is %s: %v", db.FailureOf(err), err)
	}
}

// TestHealthSeesSettings changes live what the persister refuses at its start.
func TestHealthSeesSettings(t *testing.T) {
	t.Parallel()
	mariadb, dsn := servicetest.PrivateDatabase(t)
	w := newWorld(t, servicetest.Broker(t), dsn)
	n := w.start()
	if body := get(t, n, "readyz"); !strings.HasPrefix(body, `{"status":"ok"`) {
		t.Fatal(body)
	}
	if err := mariadb.SetGlobal(t.Context(), "innodb_flush_log_at_trx_commit = 2"); err != nil {
		t.Fatal(err)
	}
	w.eventually("degraded", func() string {
		body := get(t, n, "readyz")
		if strings.HasPrefix(body, `{"status":"degraded"`) && strings.Contains(body, "innodb_flush_log_at_trx_commit is 2") {
			return "degraded"
		}
		return body
	})
	servicetest.GrowTopic(t, w.cfg.Kafka.Brokers, w.cfg.Kafka.Topic, int32(w.cfg.Kafka.Partitions+2))
	w.eventually("told", func() string {
		body := get(t, n, "readyz")
		if strings.Contains(body, "no persister starts any more: set --kafka-partitions to ") {
			return "told"
		}
		return body
	})
	want := `sluice_core_server_faults{server="mysql",fault="durability"} 1`
	if page := get(t, n, "metrics"); !strings.Contains(page, want) {
		t.Errorf("no %s", want)
	}
}

func TestBlockedTellsOfTheOldest(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	b := blocked{now: func() time.Time { return now }, workers: map[*applier]obstacle{}}
	first, second := new(applier), new(applier)
	b.add(first, db.FailureFull, fmt.Errorf("no space"))
	now = now.Add(blockedAfter - 1)
	b.add(second, db.FailureSetup, fmt.Errorf("no grant"))
	b.add(first, db.FailureReadOnly, fmt.Errorf("read-only"))
	if err := b.err(); err != nil {
		t.Errorf("too early: %v", err)
	}
	now = now.Add(1)
	if err := b.err(); err == nil || !strings.Contains(err.Error(), "5s: read_only: read-only") {
		t.Errorf("got %v", err)
	}
	if full, readOnly, setup := b.count(db.FailureFull), b.count(db.FailureReadOnly), b.count(db.FailureSetup); full != 0 || readOnly != 1 || setup != 1 {
		t.Errorf("blocked are %v full, %v read-only, %v setup", full, readOnly, setup)
	}
	b.remove(first)
	if err := b.err(); err != nil {
		t.Errorf("the other is not that old: %v", err)
	}
}
