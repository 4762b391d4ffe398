package config

import (
	"fmt"
	"time"

	"sluice/core/stock"
)

// Agreed is what everything that touches a deployment must agree on, commands included.
type Agreed struct {
	Partitions int           `name:"partitions" env:"SLUICE_PARTITIONS" group:"Stock" default:"64" help:"Partitions that the stock is spread over. Every reservation id contains its partition, so the number never changes. Each start compares it with Redis." cost:"more: smaller vectors and more polling; fewer: fewer Redis nodes can share the load"`
	Deployment string        `name:"deployment" env:"SLUICE_DEPLOYMENT" group:"Stock" default:"sluice" help:"Name of the deployment. It is written into a new Redis, and each start compares it. So nobody sells from the Redis of another deployment." cost:"none"`
	Retention  time.Duration `name:"retention" env:"SLUICE_RETENTION" group:"Stock" default:"24h" help:"How long a finished reservation still answers to its Idempotency-Key. The API promises 24h: set no less." cost:"higher: each finished reservation takes about 165 bytes of Redis memory for that long"`
}

// Validate joins all faults of the group.
func (a Agreed) Validate() error {
	var f Faults
	Between(&f, "partitions", a.Partitions, 1, 4096)
	Name(&f, "deployment", a.Deployment)
	Between(&f, "retention", a.Retention, time.Second, 30*24*time.Hour)
	return f.Err()
}

// Stock is how those who sell treat stock.
type Stock struct {
	Agreed

	ReplicaTimeout   time.Duration `name:"redis-replica-timeout" env:"SLUICE_REDIS_REPLICA_TIMEOUT" group:"Redis" default:"100ms" help:"How long to wait until a replica has the effects of a call, at the acknowledge level replica." cost:"higher: slower answers while replicas lag"`
	OutboxEntriesMax int64         `name:"outbox-entries-max" env:"SLUICE_OUTBOX_ENTRIES_MAX" group:"Stock" default:"50000" help:"Outbox entries that a partition may have. With more it refuses reserves (backpressure): MySQL or Kafka has been down for long." cost:"higher: more Redis memory in an outage, at up to 12 KB an entry"`
	Ack              string        `name:"ack" env:"SLUICE_ACK" group:"Stock" default:"redis" help:"What an answer waits for, unless the sale says otherwise: redis (the script), replica (a replica has it; without one nothing is taken), log (Kafka has it, acks=all)." cost:"replica and log add a round trip to every answer; redis can lose its last second in a crash"`
}

// Validate joins all faults of the group.
func (s Stock) Validate() error {
	var f Faults
	f.Include(s.Agreed.Validate())
	Between(&f, "outbox-entries-max", s.OutboxEntriesMax, 100, 10_000_000)
	Between(&f, "redis-replica-timeout", s.ReplicaTimeout, time.Millisecond, 10*time.Second)
	OneOf(&f, "ack", s.Ack, "redis", "replica", "log")
	return f.Err()
}

// AckLevel is Ack as the rules know it.
func (s Stock) AckLevel() (stock.Ack, error) {
	level, err := stock.ParseAck(s.Ack)
	if err != nil {
		return 0, fmt.Errorf("ack: %w", err)
	}
	return level, nil
}
