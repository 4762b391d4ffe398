package screen

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sluice/edge/localstore"
)

// edge is a screen in one life of an edge.
type edge struct {
	*Known
	t   *testing.T
	log *strings.Builder
}

func TestRestartIsWarm(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "edge.db")
	c := newCatalog(skusFrom(1, 500)...)
	// life starts an edge with what the last one left.
	life := func(deployment string, use func(e edge)) {
		t.Helper()
		local, err := localstore.Open(path, quiet())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			log := &strings.Builder{}
			k, stop := startKnown(t, c, KnownConfig{Deployment: deployment, Snapshots: local, Log: slog.New(slog.NewTextHandler(log, nil))})
			use(edge{k, t, log})
			stop()
		})
		if err := local.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wait := func(edge) {
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	life("a", wait)
	if got := c.scanCount(); got != partitions {
		t.Fatalf("%d scans, want one of each partition", got)
	}

	c.scanTime = 10 * time.Second // the restarted edge must be complete before it
	life("a", func(e edge) {
		time.Sleep(time.Second)
		synctest.Wait()
		if !e.Ready() || !mayExist(e.t, e.Known, sku(1)) || mayExist(e.t, e.Known, sku(9999)) {
			e.t.Error("the restarted edge is not warm")
		}
		wait(e)
		if got := c.scanCount(); got <= partitions {
			e.t.Error("what came from a snapshot was not scanned again")
		}
	})

	c.add(1000)
	life("a", func(e edge) {
		time.Sleep(time.Second)
		synctest.Wait()
		if e.Ready() {
			e.t.Error("ready with one cell more than in the snapshot")
		}
		if !mayExist(e.t, e.Known, sku(1000)) {
			e.t.Error("a SKU was refused that is not in the snapshot")
		}
	})

	life("b", func(e edge) {
		time.Sleep(time.Second)
		synctest.Wait()
		if e.Ready() {
			e.t.Error("ready from another deployment's snapshot")
		}
		if lines := strings.Split(e.log.String(), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `of deployment \"a\"`) {
			e.t.Errorf("want one line that says why, got %q", lines)
		}
	})
}
