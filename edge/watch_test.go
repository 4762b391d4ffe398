package edge

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock/redisstock"
)

func TestOutboxFigures(t *testing.T) {
	t.Parallel()
	set := metrics.NewSet()
	w := newOutboxWatch(nil, 50, set)
	now := time.UnixMilli(1_000_000)
	w.note([]redisstock.OutboxStat{{Entries: 3, OldestMS: 991_000}, {}, {Entries: 5, OldestMS: 998_500}}, now)
	var text bytes.Buffer
	set.WritePrometheus(&text)
	for _, want := range []string{"sluice_edge_outbox_entries 8\n", "sluice_edge_outbox_fullest_partition_entries 5\n", "sluice_edge_outbox_oldest_seconds 9\n", "sluice_edge_outbox_max_entries 50\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in %s", want, text.String())
		}
	}
}
