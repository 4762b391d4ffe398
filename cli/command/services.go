package command

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sluice/core/config"
	"sluice/edge"
	"sluice/persister"
)

// Edge serves shoppers.
type Edge struct {
	Config edge.Config `embed:""`
	Drain  Drain       `embed:""`
}

// Drain says how long a service may take to end.
type Drain struct {
	Timeout time.Duration `name:"drain-timeout" env:"SLUICE_DRAIN_TIMEOUT" group:"Operations" default:"30s"`
}

// Validate reports a wrong value.
func (d Drain) Validate() error {
	var f config.Faults
	config.Between(&f, "drain-timeout", d.Timeout, time.Second, 10*time.Minute)
	return f.Err()
}

// Validate joins all faults. Kong would stop at the first part with a fault.
func (e *Edge) Validate() error {
	var f config.Faults
	f.Include(e.Config.Validate())
	f.Include(TokenKey{File: e.Config.TokenKeyFile}.Check())
	f.Include(e.Drain.Validate())
	return f.Err()
}

// Help is called by kong.
func (Edge) Help() string {
	return `Answers shoppers' requests, decides them in Redis and publishes what happened to Kafka. Ends on SIGINT,
SIGTERM or SIGHUP, after the requests that it has begun to read.

Example:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/sluice' sluice edge --redis-addr redis:6379 --kafka-brokers kafka:9092 --token-key-file keys.json`
}

// Run is called by kong.
func (e *Edge) Run(ctx context.Context, log *slog.Logger, c *Console) error {
	OutliveReaders()
	e.Config.CheckSchema = persister.Schema().Check // services do not import each other
	e.Config.Between = c.Between
	node, err := edge.Start(ctx, e.Config, log)
	if err != nil {
		return err
	}
	log.Info("edge is up", "addr", node.Addr(), "ops", node.OpsAddr())
	return serve(ctx, log, e.Drain.Timeout, node)
}

// Persister brings events to MySQL.
type Persister struct {
	Config persister.Config `embed:""`
	Drain  Drain            `embed:""`
}

// Validate joins all faults.
func (p *Persister) Validate() error {
	var f config.Faults
	f.Include(p.Config.Validate())
	f.Include(p.Drain.Validate())
	return f.Err()
}

// Help is called by kong.
func (Persister) Help() string {
	return `Reads events from Kafka and writes them to MySQL, publishes what an edge could not, and gives expired
reservations back. Any number of persisters share the work. Ends on SIGINT, SIGTERM or SIGHUP, after the batch under way.

Example:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/sluice' sluice persister --redis-addr redis:6379 --kafka-brokers kafka:9092`
}

// Run is called by kong.
func (p *Persister) Run(ctx context.Context, log *slog.Logger) error {
	OutliveReaders()
	node, err := persister.Start(ctx, p.Config, log)
	if err != nil {
		return err
	}
	log.Info("persister is up", "ops", node.OpsAddr())
	return serve(ctx, log, p.Drain.Timeout, node)
}

// OutliveReaders keeps a service alive when nobody reads its log any more. Without it, the next line of the log would
// kill the service in the middle of its work.
func OutliveReaders() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

// serve waits for the signal, then lets the node finish what it has begun.
func serve(ctx context.Context, log *slog.Logger, timeout time.Duration, node interface{ Shutdown(context.Context) error }) error {
	<-ctx.Done()
	log.Info("draining", "timeout", timeout)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil {
		return err
	}
	log.Info("drained")
	return nil
}
