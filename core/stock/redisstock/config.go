package redisstock

import (
	"errors"
	"fmt"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
)

// Config is the settings of a Store.
type Config struct {
	// Partitions is the number of partitions of the deployment, 1 to 65536. Required.
	Partitions int
	// Retention is how long Redis keeps the record of a finished reservation. Defaults to stock.RetentionDefault. Raising it
	// costs about 165 bytes of Redis memory per reservation that ends within it.
	Retention time.Duration
	// OutboxEntriesMax is the number of outbox entries of a partition at which scripts begin to refuse reserves and
	// deducts. Defaults to stock.OutboxEntriesDefault. Raising it costs up to 12 KB of Redis memory an entry.
	OutboxEntriesMax int64
	// CallTimeout bounds one call. Defaults to stock.CallTimeoutDefault. Raising it lets requests wait longer for a server
	// that hangs.
	CallTimeout time.Duration
	// ReplicaTimeout bounds the wait for a replica. Defaults to stock.ReplicaTimeoutDefault. Raising it delays answers for
	// longer while replicas lag.
	ReplicaTimeout time.Duration
	// Ack is the level of cells that did not choose one. Defaults to redis.
	Ack stock.Ack
	// Metrics receives the store's metrics. Defaults to a set of its own that nobody reads.
	Metrics *metrics.Set

	scripts version
}

func (c *Config) setDefaults() {
	if c.Retention == 0 {
		c.Retention = stock.RetentionDefault
	}
	if c.OutboxEntriesMax == 0 {
		c.OutboxEntriesMax = stock.OutboxEntriesDefault
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = stock.CallTimeoutDefault
	}
	if c.ReplicaTimeout == 0 {
		c.ReplicaTimeout = stock.ReplicaTimeoutDefault
	}
	c.Ack = c.Ack.Or(stock.AckRedis)
	if c.Metrics == nil {
		c.Metrics = metrics.NewSet()
	}
}

// Validate reports all faults at once. Zero is the default, except for Partitions.
func (c Config) Validate() error {
	var faults []error
	if c.Partitions < 1 || c.Partitions > 1<<16 {
		faults = append(faults, fmt.Errorf("partitions is %d, want 1 to %d", c.Partitions, 1<<16))
	}
	if c.OutboxEntriesMax < 0 {
		faults = append(faults, fmt.Errorf("outbox entries max is %d, want at least 0", c.OutboxEntriesMax))
	}
	for name, d := range map[string]time.Duration{
		"retention": c.Retention, "call timeout": c.CallTimeout, "replica timeout": c.ReplicaTimeout,
	} {
		if d != 0 && d < time.Millisecond {
			faults = append(faults, fmt.Errorf("%s is %v, want at least 1ms", name, d))
		}
	}
	return errors.Join(faults...)
}
