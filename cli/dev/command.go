package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/dirlock"
	"sluice/core/kafka"
	"sluice/core/local"
	"sluice/core/redis"
	"sluice/edge"
)

// Command is `sluice dev`. All other settings of edge, persister and shop come from the environment.
type Command struct {
	Dir                 string        `name:"dir" env:"SLUICE_DEV_DIR" group:"Development" default:".sluice" placeholder:"PATH"`
	Install             bool          `name:"install" env:"SLUICE_DEV_INSTALL" group:"Development" default:"true" negatable:""`
	Sample              bool          `name:"sample" env:"SLUICE_DEV_SAMPLE" group:"Development" default:"true" negatable:""`
	Listen              string        `name:"listen" env:"SLUICE_LISTEN" group:"Development" default:"127.0.0.1:8090" placeholder:"HOST:PORT"`
	OpsListen           string        `name:"ops-listen" env:"SLUICE_OPS_LISTEN" group:"Development" default:"127.0.0.1:8091" placeholder:"HOST:PORT"`
	DevListen           string        `name:"dev-listen" env:"SLUICE_DEV_LISTEN" group:"Development" default:"127.0.0.1:8092" placeholder:"HOST:PORT"`
	CatalogListen       string        `name:"catalog-listen" env:"SLUICE_CATALOG_LISTEN" group:"Development" default:"127.0.0.1:8093" placeholder:"HOST:PORT"`
	CatalogOpsListen    string        `name:"catalog-ops-listen" env:"SLUICE_CATALOG_OPS_LISTEN" group:"Development" default:"127.0.0.1:8094" placeholder:"HOST:PORT"`
	RedisAddr           []string      `name:"redis-addr" env:"SLUICE_REDIS_ADDR" group:"Redis" placeholder:"HOST:PORT"`
	RedisSentinelAddrs  []string      `name:"redis-sentinel-addrs" env:"SLUICE_REDIS_SENTINEL_ADDRS" group:"Redis" placeholder:"HOST:PORT"`
	RedisSentinelMaster string        `name:"redis-sentinel-master" env:"SLUICE_REDIS_SENTINEL_MASTER" group:"Redis" placeholder:"NAME"`
	MySQLDSN            config.Secret `kong:"-" env:"SLUICE_MYSQL_DSN" help:"Use this database instead of a private one."`
	KafkaBrokers        []string      `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT"`
	TokenKeyFile        string        `name:"token-key-file" private:"" env:"SLUICE_TOKEN_KEY_FILE" group:"Tokens" placeholder:"PATH"`
	Restore             string        `name:"restore" env:"SLUICE_RESTORE" group:"Development" default:"manual" placeholder:"WHEN"`

	RatePerUser    float64 `name:"rate-per-user" env:"SLUICE_RATE_PER_USER" group:"Limits" default:"1000000"`
	RatePerAddress float64 `name:"rate-per-address" env:"SLUICE_RATE_PER_ADDRESS" group:"Limits" default:"1000000"`
}

// Help is called by kong.
func (Command) Help() string {
	return `Starts a private redis-server and mariadbd, an embedded Kafka-protocol broker, an edge, a persister and the shop, with
data under .sluice; loads a little stock if there is none at all, and gives the shop the goods of a demo if it has no
product; prints the addresses, a demo token, and three curl lines to try. Ctrl-C stops everything it started; the next run finds its data again.

The other commands find the stack by themselves while it runs, by .sluice/dev.json.

The limits of requests per user and per address are so high by default that a load test from one machine does not
meet them. The private servers have no passwords: they listen on 127.0.0.1 only.

Examples:
  sluice dev
  sluice dev --listen 127.0.0.1:9000
  sluice dev --restore auto
  SLUICE_REDIS_ADDR=127.0.0.1:6379 sluice dev`
}

// Validate reports wrong settings before anything starts, including those of the edge, the persister and the shop. It checks
// them with made-up addresses, because those of private servers are not known yet.
func (c *Command) Validate() error {
	var f config.Faults
	if _, port, err := net.SplitHostPort(c.DevListen); err != nil || port == "" {
		f.Add("dev-listen", fmt.Sprintf("%q", c.DevListen), "host:port")
	}
	f.Include(command.TokenKey{File: c.TokenKeyFile}.Check())
	e := edge.Config{
		Redis: c.redis(), MySQL: db.Config{DSN: c.MySQLDSN}, Kafka: kafka.Config{Brokers: c.KafkaBrokers},
		Listen: c.Listen, Ops: config.Ops{Listen: c.OpsListen}, TokenKeyFile: c.TokenKeyFile, Restore: c.Restore,
	}
	if e.Redis.Places() == "" {
		e.Redis.Addrs = []string{"private:1"}
	}
	if e.MySQL.DSN == "" {
		e.MySQL.DSN = "root@tcp(private:1)/" + database
	}
	if len(e.Kafka.Brokers) == 0 {
		e.Kafka.Brokers = []string{"private:1"}
	}
	if e.TokenKeyFile == "" {
		e.TokenKeyFile = "made at the start"
	}
	f.Include(c.complete(&e))
	if f.Err() == nil { // otherwise they would repeat the faults that they share
		_, err := persisterConfig(&e)
		f.Include(err)
		_, err = c.catalogConfig(&e, c.CatalogListen, c.CatalogOpsListen)
		f.Include(err)
	}
	return f.Err()
}

// redis returns the settings of the external Redis. They have no address if there is none.
func (c *Command) redis() redis.Config {
	return redis.Config{Addrs: c.RedisAddr, SentinelAddrs: c.RedisSentinelAddrs, SentinelMaster: c.RedisSentinelMaster}
}

// Run runs the stack until ctx ends.
func (c *Command) Run(ctx context.Context, console *command.Console, log *slog.Logger) (err error) {
	command.OutliveReaders()
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return fmt.Errorf("find directory of data: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make directory of data (--dir): %w", err)
	}
	lock, err := dirlock.Acquire(dir)
	if errors.Is(err, dirlock.ErrTaken) {
		return fmt.Errorf("another sluice dev runs in %s: stop it, or choose another directory with --dir", dir)
	}
	if err != nil {
		return err
	}
	s := &stack{command: c, dir: dir, console: console, log: log}
	s.parts.Later("unlock", func(context.Context) error { return lock.Release() })
	defer func() { err = errors.Join(err, s.parts.Stop(context.WithoutCancel(ctx))) }()

	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("start: %w", ctx.Err())
		}
		if errors.Is(err, local.ErrDir) {
			return fmt.Errorf("%w with --dir", err)
		}
		if full := noRoom(dir, roomToRun); full != nil || errors.Is(err, errNoRoom) {
			return withRoom(err, full)
		}
		given := c.redis()
		lost := refused(err) && given.Places() == ""
		if lost {
			err = fmt.Errorf("%w\nsluice dev --restore auto writes a lost Redis anew from MySQL and Kafka", err)
		}
		if lost || errors.Is(err, errPrivate) {
			err = fmt.Errorf("%w\nRemoving %s starts anew, without its data", err, dir)
		}
		return err
	}
	console.Write([]byte(s.banner()))
	if err := s.untilGone(ctx, lock); err != nil {
		s.lost = errors.Is(err, dirlock.ErrGone)
		return withRoom(err, noRoom(dir, roomToRun))
	}
	console.Notef("stopping")
	return nil
}
