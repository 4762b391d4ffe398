package edge

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/client"
	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/telemetry"
	"sluice/edge/batch"
	"sluice/edge/cells"
)

func defaults(t *testing.T) (c Config) {
	t.Helper()
	_ = kong.ApplyDefaults(&c) // it misses its servers
	if c.QueueMax == 0 {
		t.Fatal("no defaults")
	}
	return c
}

// The tags of settings repeat constants of the parts that they are for.
func TestDefaultsAreThoseOfTheParts(t *testing.T) {
	t.Parallel()
	c := defaults(t)
	for setting, is := range map[string]bool{
		"queue-max":            c.QueueMax == batch.QueueMaxDefault,
		"shed-after":           c.ShedAfter == batch.ShedAfterDefault,
		"vector-max":           c.VectorMax == stock.VectorMax,
		"in-flight-max":        c.InFlightMax == batch.InFlightMaxDefault,
		"log-timeout":          c.LogTimeout == batch.LogTimeoutDefault,
		"cells-max":            c.CellsMax == cells.CellsMaxDefault,
		"publish-buffer-bytes": c.PublishMax == outbox.BufferBytesDefault,
		"redis-call-timeout":   c.Redis.CallTimeout == stock.CallTimeoutDefault,
	} {
		if !is {
			t.Errorf("%s is not the constant of its part", setting)
		}
	}
}

// A client that is left to its defaults waits longer than an edge that is left to its own, and lets go of a connection
// before the edge does.
func TestClientsWaitLongerThanEdges(t *testing.T) {
	t.Parallel()
	c := defaults(t)
	longest := c.ReadTimeout + c.Redis.CallTimeout + 2*c.Replicas.Timeout
	atLog := c.Redis.CallTimeout + 2*c.Replicas.Timeout + c.LogTimeout
	for name, edge := range map[string]time.Duration{"arriving slowly": longest, "at level log": atLog} {
		if client.TimeoutDefault <= edge {
			t.Errorf("%s: a client waits %v, an edge takes up to %v", name, client.TimeoutDefault, edge)
		}
	}
	if client.AdminTimeoutDefault <= adminTimeout {
		t.Errorf("a client waits %v, an edge works on a sale for %v", client.AdminTimeoutDefault, adminTimeout)
	}
	if client.IdleTimeout >= c.IdleTimeout {
		t.Errorf("a client keeps a connection for %v, an edge for %v", client.IdleTimeout, c.IdleTimeout)
	}
}

// The check of Redis ends before its time is over, so that it still tells of the parts that answer.
func TestLooksAtRedisEndBeforeTheirCheck(t *testing.T) {
	t.Parallel()
	if openTimeout >= telemetry.ProbeTimeout {
		t.Errorf("a look at Redis takes up to %v, the check that makes it %v", openTimeout, telemetry.ProbeTimeout)
	}
}
