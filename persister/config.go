package persister

import (
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/redis"
)

// Config configures a persister.
type Config struct {
	Redis redis.Config  `embed:""`
	MySQL db.Config     `embed:""`
	Kafka kafka.Config  `embed:""`
	Stock config.Agreed `embed:""`
	Ops   config.Ops    `embed:"" set:"ops_listen=127.0.0.1:9181"`

	Workers     int           `name:"workers" env:"SLUICE_PERSISTER_WORKERS" group:"Persister" default:"2"`
	BatchEvents int           `name:"batch-events" env:"SLUICE_PERSISTER_BATCH_EVENTS" group:"Persister" default:"4000"`
	FetchBytes  int           `name:"fetch-bytes" env:"SLUICE_PERSISTER_FETCH_BYTES" group:"Persister" default:"262144"`
	BatchWait   time.Duration `name:"batch-wait" env:"SLUICE_PERSISTER_BATCH_WAIT" group:"Persister" default:"20ms"`

	ReconcileWithin time.Duration `name:"reconcile-within" env:"SLUICE_PERSISTER_RECONCILE_WITHIN" group:"Persister" default:"60s"`

	AllowVolatileMySQL bool `name:"allow-volatile-mysql" env:"SLUICE_ALLOW_VOLATILE_MYSQL" group:"Persister"`
}

// Validate joins all faults of the configuration.
func (c Config) Validate() error {
	var f config.Faults
	f.Include(c.Redis.Validate())
	f.Include(c.MySQL.Validate())
	f.Include(c.Kafka.Validate())
	f.Include(c.Stock.Validate())
	f.Include(c.Ops.Validate())
	config.Between(&f, "workers", c.Workers, 1, 64)
	config.Between(&f, "batch-events", c.BatchEvents, 1, 100_000)
	config.Between(&f, "fetch-bytes", c.FetchBytes, 1<<10, 16<<20)
	config.Between(&f, "batch-wait", c.BatchWait, 0, 10*time.Second)
	if c.ReconcileWithin != 0 {
		config.Between(&f, "reconcile-within", c.ReconcileWithin, time.Second, 24*time.Hour)
	}
	if c.MySQL.ConnsMax < c.Workers+2 {
		f.Add("mysql-conns-max", c.MySQL.ConnsMax, "two more than workers, for marks and checks")
	}
	return f.Err()
}
