package config

import (
	"fmt"
	"time"

	"sluice/core/stock"
)

// Agreed is what everything that touches a deployment must agree on, commands included.
type Agreed struct {
	Partitions int           `name:"partitions" env:"SLUICE_PARTITIONS" group:"Stock" default:"64" help:"Logical shards. Fixed when a deployment is born: part of every reservation id, and checked against Redis at start." cost:"more: smaller vectors and more polling; fewer: fewer Redis nodes can share the load"`
	Deployment string        `name:"deployment" env:"SLUICE_DEPLOYMENT" group:"Stock" default:"sluice" help:"Name of the deployment, written into Redis and checked at start, so that nobody sells from another's Redis." cost:"none"`
	Retention  time.Duration `name:"retention" env:"SLUICE_RETENTION" group:"Stock" default:"24h" help:"How long a finished reservation still answers to its Idempotency-Key. Below 24h the API's promise does not hold." cost:"higher: about 165 bytes of Redis memory per finished reservation for that long"`
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

	ReplicaTimeout   time.Duration `name:"redis-replica-timeout" env:"SLUICE_REDIS_REPLICA_TIMEOUT" group:"Redis" default:"100ms" help:"How long to wait until a replica has a vector's effects (acknowledge level replica)." cost:"higher: slower answers while replicas lag"`
	OutboxEntriesMax int64         `name:"outbox-entries-max" env:"SLUICE_OUTBOX_ENTRIES_MAX" group:"Stock" default:"50000" help:"Outbox entries per partition above which reserves are refused (backpressure) while MySQL or Kafka is down." cost:"higher: more Redis memory in an outage, at up to 12 KB an entry"`
	Ack              string        `name:"ack" env:"SLUICE_ACK" group:"Stock" default:"redis" help:"When a request is acknowledged, unless its sale says otherwise: redis (after the script), replica (after a replica has it; without one nothing is taken), log (after Kafka has it, acks=all)." cost:"replica and log add a round trip to every answer; redis can lose its last second in a crash"`
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
