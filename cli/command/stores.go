package command

import (
	"context"
	"errors"
	"time"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/deployment"
	"sluice/core/kafka"
	"sluice/core/ledger"
	"sluice/core/operate"
	"sluice/core/redis"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/vetting"
)

// Stores has the settings of a command that looks at stock.
type Stores struct {
	Redis redis.Config  `embed:""`
	MySQL db.Config     `embed:""`
	Stock config.Agreed `embed:""`
	Dev   DevFile       `embed:""`
}

// Validate joins all faults.
func (s *Stores) Validate() error {
	var f config.Faults
	f.Include(s.Redis.Validate())
	f.Include(s.MySQL.Validate())
	f.Include(s.Stock.Validate())
	return f.Err()
}

// Opened has the stores of a deployment, connected.
type Opened struct{ *deployment.Stores }

// Sales runs sales.
func (o *Opened) Sales(retention time.Duration) *sale.Desk {
	return sale.NewDesk(o.Stock, o.DB, retention).Bringing(registry.New(o.DB, o.Stock).BringSale)
}

// Books returns a reader of single cells in MySQL.
func (o *Opened) Books() *ledger.Reader { return ledger.New(o.DB, nil) }

// Open connects, and refuses a Redis of another deployment. The caller closes the result.
func (s *Stores) Open(ctx context.Context) (*Opened, error) {
	stores, err := deployment.Open(ctx, s.Redis, s.MySQL, s.Stock)
	if err != nil {
		return nil, err
	}
	return &Opened{stores}, nil
}

// openRedis connects to Redis alone. The caller closes the result.
func (s *Stores) openRedis(ctx context.Context) (*deployment.Redis, error) {
	return deployment.OpenRedis(ctx, s.Redis, s.Stock, redisstock.Config{})
}

// Writer has the settings of a command that changes stock. It needs Kafka too, because it opens a shut server only
// after a comparison with everything that was ever acknowledged.
type Writer struct {
	Stores `embed:""`

	Kafka kafka.Config `embed:""`
}

// Validate joins all faults.
func (w *Writer) Validate() error {
	var f config.Faults
	f.Include(w.Stores.Validate())
	f.Include(w.Kafka.Validate())
	return f.Err()
}

// OpenToCreate connects and vets Redis, so that cells may be created. The caller closes the result.
func (w *Writer) OpenToCreate(ctx context.Context, c *Console) (*Opened, error) {
	return w.target(ctx, c, false, true)
}

// target connects, and vets Redis if it is shut or if cells are to be created. Data that were set back lack some
// cells, and only a process that has compared them knows which. A dry run vets nothing.
func (w *Writer) target(ctx context.Context, c *Console, dryRun, creates bool) (*Opened, error) {
	o, err := w.Open(ctx)
	if err != nil || dryRun {
		return o, err
	}
	shut, err := o.Stock.Shut(ctx)
	if err == nil && (len(shut) > 0 || creates) {
		err = w.vet(ctx, c, o, creates)
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// vet compares Redis with MySQL and Kafka, and opens what is shut of it. If only some partitions stay shut, it says
// so, and the command goes on with the others.
func (w *Writer) vet(ctx context.Context, c *Console, o *Opened, creates bool) error {
	err := w.open(ctx, c, o)
	if errors.Is(err, redisstock.ErrVetting) && o.Stock.Trusts() && (!creates || o.Stock.Vetted()) {
		c.Notef("%v", Explain(err))
		return nil
	}
	return err
}

func (w *Writer) open(ctx context.Context, c *Console, o *Opened) error {
	c.Notef("comparing Redis with MySQL and Kafka first")
	report, err := w.vetting(o).Open(ctx, o.Stock)
	if err != nil {
		return err
	}
	c.Notef("Redis is open: it lacks nothing that MySQL and Kafka know (%s positions of SKUs compared)", number(report.Positions))
	return nil
}

// vetting returns the comparison of the opened stores with everything that these settings name.
func (w *Writer) vetting(o *Opened) vetting.Vetter {
	return vetting.Vetter{Client: o.Client, DB: o.DB, Redis: w.Redis, Kafka: w.Kafka, Stock: w.Stock}
}

// warnOfReplicas warns if something is wrong with the replicas for the level in the settings.
func (o *Opened) warnOfReplicas(ctx context.Context, c *Console, level stock.Ack) {
	warning, err := operate.WarningOf(ctx, level, o.Stock)
	switch {
	case err != nil:
		c.Notef("warning: %s: %v", warning, Explain(err))
	case warning != "":
		c.Notef("warning: %s", warning)
	}
}

// cellOf returns the cell of a SKU in a sale, or in normal stock if the sale is 0.
func cellOf(sku int64, sale uint32) stock.Cell { return stock.Cell{SKU: sku, Pool: sale} }
