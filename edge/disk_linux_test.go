package edge_test

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"sluice/core/auth"
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
