package queue_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/queue"
)

// The gauges are of the last look at all queues: a queue that no source names is empty, and while a part is away nothing falls.
func TestWatch(t *testing.T) {
	t.Parallel()
	var found map[string]queue.Waiting
	var fault error
	set := metrics.NewSet()
	w := queue.NewWatch(set, []string{"a", "b"},
		func(context.Context) (map[string]queue.Waiting, error) { return found, nil },
		func(context.Context) (map[string]queue.Waiting, error) { return nil, fault },
	)
	f := func(ok bool, want ...string) {
		t.Helper()
		if err := w.Look(t.Context()); (err == nil) != ok {
			t.Errorf("look: %v", err)
		}
		var page bytes.Buffer
		set.WritePrometheus(&page)
		for _, line := range want {
			if !strings.Contains(page.String(), "sluice_catalog_queue_"+line+"\n") {
				t.Errorf("%s is not in\n%s", line, &page)
			}
		}
	}
	found = map[string]queue.Waiting{"a": {Cases: 3, Oldest: 1500 * time.Millisecond}}
	f(true, `waiting_cases{queue="a"} 3`, `oldest_seconds{queue="a"} 1.5`, `waiting_cases{queue="b"} 0`)
	found, fault = map[string]queue.Waiting{"b": {Cases: 1}}, errors.New("away")
	f(false, `waiting_cases{queue="a"} 3`, `oldest_seconds{queue="a"} 1.5`, `waiting_cases{queue="b"} 1`)
	fault = nil
	f(true, `waiting_cases{queue="a"} 0`, `oldest_seconds{queue="a"} 0`, `waiting_cases{queue="b"} 1`)
	found = map[string]queue.Waiting{"c": {Cases: 1}}
	f(false, `waiting_cases{queue="b"} 1`)
}
