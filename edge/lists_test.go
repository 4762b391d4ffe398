package edge_test

import (
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/event"
	"sluice/core/stock"
)

// database is the stack's, past the edge.
func (s *stack) database() *sql.DB {
	s.t.Helper()
	db, err := s.cfg.MySQL.OpenUnchecked()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *stack) exec(db *sql.DB, statement string, values ...any) {
	s.t.Helper()
	if _, err := db.ExecContext(s.t.Context(), statement, values...); err != nil {
		s.t.Fatal(err)
	}
}

// letter puts a dead letter down, as a persister would, and returns its path.
func (s *stack) letter(db *sql.DB, reason string, data []byte) string {
	s.t.Helper()
	id := sha256.Sum256(append([]byte(reason+"\x00"), data...))
	s.exec(db, `INSERT INTO dead_letters (letter_id, reason, detail, kafka_partition, kafka_offset, data) VALUES (?, ?, 'why', 3, 9, ?)`,
		id[:], reason, data)
	return "/admin/v1/dead-letters/" + hex.EncodeToString(id[:])
}

// persisted puts a reservation down, as a persister would.
func (s *stack) persisted(db *sql.DB, n int, sku int64, pool uint32, user int64, state string, deadlineMS int64) string {
	s.t.Helper()
	id := stock.ReservationID{15: byte(n)}
	s.exec(db, `INSERT INTO reservations (reservation_id, sku_id, pool, bucket, user_id, quantity, state, deadline_ms, reserved_ms, epoch, seq, updated_ms)
		VALUES (?, ?, ?, 0, ?, 1, ?, ?, ?, 1, ?, 6)`, id[:], sku, pool, user, state, deadlineMS, 1_700_000_000_000+n, n)
	s.exec(db, `INSERT INTO product_inventories (sku_id, pool, bucket, total_stock, available_stock, reserved_stock, sold_stock, epoch, seq, last_updated)
		VALUES (?, ?, 0, 9, 9, 0, 0, 1, ?, NOW(3)) ON DUPLICATE KEY UPDATE seq = VALUES(seq)`, sku, pool, n)
	return id.String()
}

type listed struct {
	Data []struct {
		ID         string `json:"reservation_id"`
		State      string
		User       string `json:"user_id"`
		ReservedMS int64  `json:"reserved_ms"`
	}
	Next string `json:"next_cursor"`
	AsOf string `json:"as_of"`
}

// list reads a page.
func (s *stack) list(path, token string) (l listed) {
	s.t.Helper()
	got := s.send("GET", path, token, "")
	if err := json.Unmarshal([]byte(got.body), &l); err != nil || got.status != 200 {
		s.t.Fatalf("%s: %d %s", path, got.status, got.body)
	}
	return l
}

// TestServicesListWhatIsHeld follows the pages of a sale's held reservations, to which others are added.
func TestServicesListWhatIsHeld(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.start()
	db := s.database()
	service := s.token(2, auth.RoleService)
	later := time.Now().Add(time.Hour).UnixMilli()
	var want []string
	for n := 1; n <= 5; n++ {
		want = append(want, s.persisted(db, n, int64(n), 7, 42, "held", later))
	}
	s.persisted(db, 6, 3, 7, 42, "confirmed", later)
	s.persisted(db, 7, 3, 0, 42, "held", later)
	s.persisted(db, 8, 3, 7, 42, "held", 1) // has expired; the sweep has not come
	var got []string
	path := "/v1/reservations?sale_id=7&limit=2"
	for pages, cursor := 0, ""; ; pages++ {
		l := s.list(path+cursor, service)
		if l.AsOf == "" {
			t.Error("nothing tells how fresh the list is")
		}
		for _, r := range l.Data {
			got = append(got, r.ID)
			if r.State != "held" || r.User != "42" || r.ReservedMS != 1_700_000_000_000+int64(len(got)) {
				t.Errorf("%+v", r)
			}
		}
		if l.Next == "" {
			break
		}
		cursor = "&cursor=" + l.Next
		s.persisted(db, 100+pages, 1, 7, 42, "held", later) // by its SKU before what was read
	}
	if fmt.Sprint(got[:5]) != fmt.Sprint(want) || len(got) != 5 {
		t.Errorf("%v, want %v", got, want)
	}
	if got := s.send("GET", "/v1/reservations?sale_id=7", s.token(42, auth.RoleShopper), ""); got.code() != "forbidden" {
		t.Errorf("a shopper: %s", got.body)
	}
	// An event that waits in the outbox is not in MySQL, and the list says so.
	s.load(1001, 5, "")
	before := time.Now().Add(-time.Second)
	s.until(10*time.Second, "the list knows that MySQL lacks an event", func() bool {
		asOf, err := time.Parse(time.RFC3339, s.list(path, service).AsOf)
		return err == nil && asOf.After(before.Add(-time.Minute)) && time.Since(asOf) > 1500*time.Millisecond
	})
}

// everyList is a request per operation that MySQL answers.
func (c *contract) everyList(db *sql.DB) []shot {
	e := event.Event{
		Kind: event.KindReserve, Cell: stock.Cell{SKU: 5, Pool: 7}, Position: stock.Position{Epoch: 1, Seq: 2}, User: 3, Quantity: 4, Held: 2, DeadlineMS: 9,
	}
	change := e
	change.Kind, change.Quantity, change.Change = event.KindAdjust, 0, event.Change{Delta: -1, Reason: "x"}
	letter := c.letter(db, "inconsistent", event.Append(nil, event.Batch{TimeMS: time.Now().UnixMilli(), Events: []event.Event{e, change}}))
	return []shot{
		{method: "GET", path: "/v1/reservations?sale_id=7", token: c.service},
		{method: "GET", path: "/admin/v1/skus", token: c.admin},
		{method: "GET", path: "/admin/v1/reservations", token: c.admin},
		{method: "GET", path: "/admin/v1/sales", token: c.admin},
		{method: "GET", path: "/admin/v1/dead-letters", token: c.admin},
		{method: "GET", path: letter, token: c.admin},
		{method: "POST", path: letter + "/resolve", token: c.admin, body: `{"reason":"x"}`},
		{method: "POST", path: letter + "/replay", token: c.admin, body: `{"reason":"x"}`},
	}
}

func (c *contract) exerciseLists() {
	db := c.database()
	c.lookUpReturns("unknown_reservation")
	all := c.everyList(db)
	for n := range 3 {
		c.persisted(db, n, int64(n+1), 7, 42, "held", time.Now().Add(time.Hour).UnixMilli())
		c.persisted(db, 10+n, int64(n+1), 0, 42, "confirmed", 0)
	}
	for _, s := range all[:6] {
		s.want = "ok"
		c.shoot(s)
		if strings.Contains(s.path, "dead-letters/") {
			continue
		}
		path := s.path + "?"
		if strings.Contains(s.path, "?") {
			path = s.path + "&"
		}
		s.path = path + "limit=1"
		if next := c.shoot(s).text("next_cursor"); next != "" {
			s.path += "&cursor=" + next
			c.shoot(s)
		}
		s.path, s.want = path+"cursor=x", "malformed"
		c.shoot(s)
		s.path, s.undocumented = path+"limit=501", true
		c.shoot(s)
	}
	forgotten := c.persisted(db, 20, 1, 7, 42, "returned", 0) // by Redis
	c.shoot(shot{method: "GET", path: "/v1/returns/" + forgotten, token: c.service, want: "ok"})
	id := stock.Identity{User: 42, Route: stock.OpReturn, Cell: stock.Cell{SKU: 1, Pool: 7}, Key: "refund"}.ID(c.cfg.Stock.Partitions)
	c.exec(db, "UPDATE reservations SET reservation_id = ? WHERE state = 'returned'", id[:])
	again := c.shoot(shot{
		method: "POST", path: "/v1/returns", token: c.service, want: "ok", header: http.Header{"Idempotency-Key": {"refund"}},
		body: `{"sku_id":"1","sale_id":"7","quantity":1,"user_id":"42","reason":"x","asked_at":"2026-01-01T00:00:00Z"}`,
	})
	c.shoot(shot{method: "GET", path: again.header.Get("Location"), token: c.service, want: "ok"})
	c.lookUpReturns("unavailable") // a dead letter may have them
	list := func(path, want string, undocumented bool) {
		c.t.Helper()
		c.shoot(shot{method: "GET", path: "/admin/v1/" + path, token: c.admin, want: want, undocumented: undocumented})
	}
	list("skus?sale_id=7&avail_max=0", "ok", false)
	list("skus?avail_max=00", "malformed", false)
	list("sales?phase=open", "ok", false)
	list("sales?phase=odd", "malformed", true)
	list("reservations?user_id=42", "ok", false)
	list("reservations?sku_id=1&sale_id=7&state=held", "ok", false)
	list("reservations?state=held", "malformed", false)
	list("reservations?user_id=0", "malformed", true)
	list("dead-letters?reason=fork&kafka_partition=0&resolved=any", "ok", false)
	list("dead-letters?resolved=maybe", "malformed", true)
	list("dead-letters/"+strings.Repeat("0", 64), "unknown_dead_letter", false)
	c.shoot(shot{method: "GET", path: "/v1/reservations", token: c.service, want: "malformed", undocumented: true})

	decide := func(path, want string, status int) answer {
		c.t.Helper()
		got := c.shoot(shot{method: "POST", path: path, token: c.admin, body: `{"reason":"mended"}`, want: want})
		if got.status != status {
			c.t.Errorf("%s: %d %s, want %d", path, got.status, got.body, status)
		}
		return got
	}
	letter, fork := c.letter(db, "malformed", []byte{1}), c.letter(db, "fork", []byte{2})
	if got := decide(letter+"/replay", "ok", 202); !strings.HasSuffix(got.body, `"changed":true}`) {
		c.t.Errorf("asked: %s", got.body)
	}
	if got := decide(letter+"/replay", "ok", 202); !strings.HasSuffix(got.body, `"changed":false}`) || got.header.Get("Idempotent-Replayed") != "true" || got.text("replay_asked_by") != "admin 1" {
		c.t.Errorf("asked twice: %v %s", got.header, got.body)
	}
	decide(fork+"/replay", "wrong_state", 409)
	if got := decide(letter+"/resolve", "ok", 200); !strings.HasSuffix(got.body, `"changed":true}`) {
		c.t.Errorf("resolved: %s", got.body)
	}
	if got := decide(letter+"/resolve", "ok", 200); !strings.HasSuffix(got.body, `"changed":false}`) || got.header.Get("Idempotent-Replayed") != "true" || got.text("resolution") != "mended" {
		c.t.Errorf("resolved twice: %v %s", got.header, got.body)
	}
	decide(letter+"/replay", "ok", 200)
	nobody := "/admin/v1/dead-letters/" + strings.Repeat("0", 64)
	decide(nobody+"/replay", "unknown_dead_letter", 404)
	decide(nobody+"/resolve", "unknown_dead_letter", 404)
	for _, s := range all {
		c.exerciseForm(s)
	}
	c.exerciseMySQLOutage(db, all)
}

// lookUpReturns looks up a return that does not exist.
func (c *contract) lookUpReturns(want string) {
	c.t.Helper()
	c.shoot(shot{method: "GET", path: "/v1/returns/" + strings.Repeat("0", 31) + "f", token: c.service, want: want})
	c.shoot(shot{
		method: "POST", path: "/v1/returns", token: c.service, want: want,
		body: `{"sku_id":"1","quantity":1,"user_id":"7","reason":"x","asked_at":"2026-01-01T00:00:00Z"}`,
	})
}

// exerciseMySQLOutage lets MySQL hang: lists are refused, and more of them at once, and selling goes on.
func (c *contract) exerciseMySQLOutage(db *sql.DB, all []shot) {
	conn, err := db.Conn(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = conn.Raw(func(any) error { return driver.ErrBadConn }) }() // ends the lock with the connection
	if _, err := conn.ExecContext(c.t.Context(), "LOCK TABLES dead_letters WRITE, reservations WRITE, product_inventories WRITE, sales WRITE"); err != nil {
		c.t.Fatal(err)
	}
	resolve := all[6]
	// MySQL gives up the wait for the lock just before the edge gives up MySQL, unless it is late.
	if got := c.send(resolve.method, resolve.path, resolve.token, resolve.body); got.code() != "unavailable" && got.code() != "outcome_unknown" {
		c.t.Errorf("resolve while MySQL hangs: %d %s", got.status, got.body)
	}
	var hanging sync.WaitGroup
	var busy atomic.Int64
	for range 12 { // more than are read at once
		hanging.Go(func() {
			if c.shoot(all[1]).code() == "overloaded" {
				busy.Add(1)
			}
		})
	}
	c.held(c.fresh(""))
	hanging.Wait()
	if n := busy.Load(); n < 1 || n > 8 {
		c.t.Errorf("%d of 12 lists were refused at once", n)
	}
	for _, s := range append(slices.Clone(all[:6]), all[7]) {
		s.want = "unavailable"
		c.shoot(s)
	}
}
