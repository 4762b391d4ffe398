package edge_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// An edge counts whom it brings back to Redis, rows that somebody has deleted, and users whom only Redis has.
func TestEditedRegistrationsAreCounted(t *testing.T) {
	t.Parallel()
	s := newStack(t, servicetest.Redis(t).Addr)
	s.start()
	s.load(1, 10, "")
	admin := s.token(1, auth.RoleAdmin)
	plan := `{"name":"club","items":[{"sku_id":"1","quantity":5}],"registered_only":true}`
	if got := s.send("PUT", "/admin/v1/sales/7", admin, plan, "Idempotency-Key", "k"); got.status/100 != 2 {
		t.Fatal(got.body)
	}
	if got := s.send("POST", "/admin/v1/sales/7/registrations", admin, `{"user_ids":["5","6"]}`, "Idempotency-Key", "k"); got.status != 200 {
		t.Fatal(got.body)
	}
	client, db := s.redis(), s.database()
	key := fmt.Sprintf("{p%d}:registered:7", stock.Cell{SKU: 1, Pool: 7}.Partition(s.cfg.Stock.Partitions))
	counted := func(what string) int {
		_, page := s.ops("/metrics")
		found := regexp.MustCompile(`(?m)^sluice_edge_registered_` + what + `_users_total (\d+)$`).FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no %s in %s", what, page)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	edit := func(command string, args ...string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().Arbitrary(command).Keys(key).Args(args...).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if n := counted("brought") + counted("gone") + counted("stranger"); n != 0 {
		t.Fatalf("%d users are counted at the beginning", n)
	}
	edit("SREM", "\x00\x00\x00\x00\x00\x00\x00\x05")
	s.until(time.Minute, "who is missing is brought back", func() bool { return counted("brought") == 1 })
	edit("SADD", "\x00\x00\x00\x00\x00\x00\x00\x09")
	s.until(time.Minute, "a user whom only Redis has is noticed", func() bool { return counted("stranger") >= 1 })
	edit("SREM", "\x00\x00\x00\x00\x00\x00\x00\x09")
	s.exec(db, "DELETE FROM registrations WHERE user_id = 6")
	edit("UNLINK")
	s.until(time.Minute, "rows that somebody has deleted are noticed", func() bool { return counted("gone") == 1 })
	s.until(time.Minute, "Redis has what MySQL has", func() bool {
		n, err := client.Do(t.Context(), client.B().Scard().Key(key).Build()).AsInt64()
		return n == 1 && err == nil
	})
}
