package command

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	kafkago "github.com/segmentio/kafka-go"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/place"
	"sluice/core/schema"
)

const (
	migrateTimeout = 10 * time.Minute // time for the work itself, because changing a large table takes long
	migratePause   = 300 * time.Millisecond
)

// Migrate makes the tables and the topic that this program needs.
type Migrate struct {
	MySQL db.Config     `embed:""`
	Kafka kafka.Config  `embed:""`
	Owner string        `name:"owner" env:"SLUICE_MIGRATE_OWNER" group:"Operations" placeholder:"NAME"`
	Wait  time.Duration `name:"wait" env:"SLUICE_MIGRATE_WAIT" group:"Operations" default:"1m"`
}

// Help is called by kong.
func (Migrate) Help() string {
	return `Creates or updates the tables, and creates the topic. It can be run again at any time, also while services
run: schemas only grow. Each owner of tables has a version of its own.

Examples:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/sluice' sluice migrate --kafka-brokers kafka:9092 --kafka-replication 3
  sluice migrate --owner persister`
}

// Validate joins all faults.
func (m *Migrate) Validate() error {
	var f config.Faults
	f.Include(m.MySQL.Validate())
	f.Include(m.Kafka.Validate())
	_, err := Schemas().Named(m.Owner)
	f.Include(err)
	config.Between(&f, "wait", m.Wait, 0, time.Hour)
	return f.Err()
}

// Run is called by kong.
func (m *Migrate) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, m.Wait+migrateTimeout)
	defer cancel()
	named, err := Schemas().Named(m.Owner)
	if err == nil {
		var owners place.Owners
		for _, owner := range named {
			owners = append(owners, place.Owner{Owner: owner, Where: place.Everywhere})
		}
		err = migrateTables(ctx, c, log, place.Config{}, m.MySQL, m.Wait, owners, "sluice grants")
	}
	if err != nil {
		return err
	}
	err = untilUp(ctx, c, m.Wait, "Kafka", func() error {
		return inKafka(outbox.CreateTopic(ctx, m.Kafka.Brokers, m.Kafka.Topic, m.Kafka.Partitions, m.Kafka.Replication))
	})
	if err != nil {
		return err
	}
	c.Printf("Kafka has topic %s with %d partitions\n", m.Kafka.Topic, m.Kafka.Partitions)
	if m.Kafka.Replication == 2 {
		c.Notef("of 2 copies one is enough for an event to count: while the other lags, a lost disk loses what MySQL does not have yet; on three brokers or more, use --kafka-replication 3")
	}
	return nil
}

// migrateTables brings the tables of owners up to date, once their databases are up. grants is the command that prints what
// accounts may do with them.
func migrateTables(ctx context.Context, c *Console, log *slog.Logger, in place.Config, mysql db.Config, wait time.Duration, owners place.Owners, grants string) (err error) {
	shards, err := in.Map(mysql)
	if err != nil {
		return err
	}
	open := func(mysql db.Config) (*place.Databases, error) {
		return place.Open(place.Options{Map: shards, MySQL: mysql, Log: log})
	}
	err = untilUp(ctx, c, wait, "MySQL", func() error {
		databases, err := open(mysql)
		if err != nil {
			return err
		}
		return errors.Join(databases.Vet(ctx), databases.Close())
	})
	if err != nil {
		return err
	}
	patient := mysql
	patient.Timeout = max(patient.Timeout, migrateTimeout) // a server sends nothing while it changes a table
	databases, err := open(patient)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, databases.Close()) }()
	return databases.Migrate(ctx, owners, func(of string, owner string, done schema.Migrated, err error) {
		if in.File == "" {
			of = "MySQL"
		}
		if len(done.New) > 0 {
			c.Notef("new in %s: %s: give the accounts again what %s prints", of, strings.Join(done.New, ", "), grants)
		}
		if err == nil {
			c.Printf("%s has schema version %d of %s\n", of, done.Version, owner)
		}
	})
}

// untilUp tries again while it cannot reach the server.
func untilUp(ctx context.Context, c *Console, wait time.Duration, server string, try func() error) error {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	told := false
	err := lifecycle.Poll(bounded, migratePause, try, func(err error) bool {
		if !unreachable(err) {
			return true
		}
		if !told {
			told = true
			c.Notef("waiting up to %v for %s: %v", wait, server, err)
		}
		return false
	})
	switch {
	case err == nil || !unreachable(err):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("wait for %s: %w", server, context.Cause(ctx))
	}
	return fmt.Errorf("%s did not come up within %v: %w", server, wait, err)
}

// unreachable reports whether an error may come from a server that is starting.
func unreachable(err error) bool {
	var network *net.OpError
	var answer kafkago.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, context.DeadlineExceeded) || errors.As(err, &answer) && answer.Temporary()
}
