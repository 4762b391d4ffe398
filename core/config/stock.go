package config

import (
	"fmt"
	"time"

	"sluice/core/stock"
)

// Agreed has the settings that are the same in every process of a deployment, commands included.
type Agreed struct {
	Partitions int           `name:"partitions" env:"SLUICE_PARTITIONS" group:"Stock" default:"64"`
	Deployment string        `name:"deployment" env:"SLUICE_DEPLOYMENT" group:"Stock" default:"sluice"`
	Retention  time.Duration `name:"retention" env:"SLUICE_RETENTION" group:"Stock" default:"24h"`
}

// Validate joins all faults of the group.
func (a Agreed) Validate() error {
	var f Faults
	Between(&f, "partitions", a.Partitions, 1, 4096)
	Name(&f, "deployment", a.Deployment)
	Between(&f, "retention", a.Retention, time.Second, 30*24*time.Hour)
	return f.Err()
}

// Stock has the settings of processes that sell.
type Stock struct {
	Agreed

	OutboxEntriesMax int64  `name:"outbox-entries-max" env:"SLUICE_OUTBOX_ENTRIES_MAX" group:"Stock" default:"50000"`
	Ack              string `name:"ack" env:"SLUICE_ACK" group:"Stock" default:"redis"`
}

// Validate joins all faults of the group.
func (s Stock) Validate() error {
	var f Faults
	f.Include(s.Agreed.Validate())
	Between(&f, "outbox-entries-max", s.OutboxEntriesMax, 100, 10_000_000)
	OneOf(&f, "ack", s.Ack, "redis", "replica", "log")
	return f.Err()
}

// AckLevel returns Ack as the rules of stock know it.
func (s Stock) AckLevel() (stock.Ack, error) {
	level, err := stock.ParseAck(s.Ack)
	if err != nil {
		return 0, fmt.Errorf("ack: %w", err)
	}
	return level, nil
}
