package edge_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// TestFullDiskSellsOn has no room for what an edge keeps over its restarts. It sells, and says so; with room again all is
// well by itself, and the next start knows.
func TestFullDiskSellsOn(t *testing.T) {
	t.Parallel()
	disk, here := servicetest.SmallDisk(t, 1<<20)
	if !here {
		return
	}
	s := newStack(t)
	s.cfg.DataDir = disk
	free := servicetest.Fill(t, disk)
	s.start()
	s.load(1, 5, "")
	buy := func() {
		t.Helper()
		if a := s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`); a.status != http.StatusCreated {
			t.Fatalf("an edge on a full disk answers %d %s", a.status, a.body)
		}
	}
	const fault = `sluice_core_server_faults{server="local_store",fault="write"} `
	tells := func(what string) {
		t.Helper()
		degraded := what == "1"
		s.until(40*time.Second, "it tells "+fault+what, func() bool {
			status, body := s.ready()
			_, page := s.ops("/metrics")
			return status == http.StatusOK && strings.Contains(body, `"status":"degraded"`) == degraded &&
				strings.Contains(body, disk+" does not take ") == degraded && strings.Contains(page, fault+what+"\n")
		})
	}
	tells("1")
	buy()
	free()
	tells("0")
	buy()
	s.shutdown()
	if info, err := os.Stat(disk + "/edge.db"); err != nil || info.Size() == 0 {
		t.Fatalf("what the next start is to know: %v", err)
	}
	s.start()
	buy()
}

// TestFullDiskOfRedis takes Redis the room to write. It refuses what it has not executed, so no outcome is unknown, and
// selling goes on by itself once there is room: the same keys then get what they asked for.
func TestFullDiskOfRedis(t *testing.T) {
	t.Parallel()
	disk, here := servicetest.SmallDisk(t, 4<<20)
	if !here {
		return
	}
	redis, err := local.StartRedis(t.Context(), filepath.Join(disk, "redis"), local.RedisOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = redis.Kill() }() // with its disk
	s := newStack(t, redis.Addr)
	s.start()
	const units = 1000
	s.load(1, units, "")
	buy := func(key int) answer {
		t.Helper()
		return s.send("POST", "/v1/reservations", s.token(7, auth.RoleShopper), `{"sku_id":"1","quantity":1}`, "Idempotency-Key", fmt.Sprint("disk-", key))
	}
	accepted, key := 0, 0
	buys := func(want int) {
		t.Helper()
		for {
			key++
			a := buy(key)
			if a.status == want {
				break
			}
			if accepted++; a.status != http.StatusCreated || accepted > units/2 {
				t.Fatalf("purchase %d: %d %s", key, a.status, a.body)
			}
		}
	}
	free := servicetest.Fill(t, disk)
	buys(http.StatusServiceUnavailable)
	first := key
	for ; key < first+20; key++ {
		a := buy(key)
		if a.status != http.StatusServiceUnavailable || a.json["retryable"] != true || a.header.Get("Retry-After") == "" {
			t.Fatalf("purchase %d on a full disk: %d %v %s", key, a.status, a.header, a.body)
		}
	}
	s.until(20*time.Second, "readiness tells of the disk", func() bool {
		_, body := s.ready() // it fails where no server takes anything: PING is refused too
		return strings.Contains(body, "it could not write its files")
	})
	if a := s.send("GET", "/v1/stock/1", "", ""); a.status != http.StatusOK {
		t.Errorf("a read on a full disk: %d %s", a.status, a.body)
	}
	free()
	s.until(20*time.Second, "it sells again", func() bool { return buy(first).status == http.StatusCreated })
	for again := first + 1; again < key; again++ {
		if a := buy(again); a.status != http.StatusCreated {
			t.Errorf("purchase %d with room again: %d %s", again, a.status, a.body)
		}
	}
	accepted += key - first
	s.until(20*time.Second, "readiness is well", func() bool {
		_, body := s.ready()
		return strings.Contains(body, `"status":"ok"`)
	})
	s.until(10*time.Second, fmt.Sprintf("%d units are held", accepted), func() bool {
		a := s.send("GET", "/v1/stock/1", "", "")
		return a.json["avail"] == float64(units-accepted)
	})
}
