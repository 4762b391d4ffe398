// Package place opens the databases of a shard.Map, and says where to read and write the rows of a logical shard. It owns
// the beats of these databases, and no row of the shop.
package place

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/shard"
)

// LagMaxDefault is how far a replica may be behind to be read from.
const LagMaxDefault = 10 * time.Second

// Options say which databases to open, and how.
type Options struct {
	Map     *shard.Map
	MySQL   db.Config     // but for the DSN: the map has those
	LagMax  time.Duration // Defaults to LagMaxDefault. A higher one lets pages show what is older.
	Metrics *metrics.Set  // of the readers; nil for none
	Log     *slog.Logger
}

// Databases are all databases of a map. They are safe for concurrent use.
type Databases struct {
	shards *shard.Map
	all    []*db.Copies
	log    *slog.Logger
}

// Open opens all databases, and asks none of them. The caller migrates or checks them, runs Run, and closes them.
func Open(o Options) (*Databases, error) {
	if o.LagMax == 0 {
		o.LagMax = LagMaxDefault
	}
	d := &Databases{shards: o.Map, log: o.Log}
	for i, of := range o.Map.Databases() {
		copies, err := open(o, of)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s%w", d.about(i), err), d.Close())
		}
		d.all = append(d.all, copies)
		if o.Metrics != nil {
			copies.Measure(o.Metrics, "catalog")
		}
	}
	return d, nil
}

func open(o Options, of shard.Database) (*db.Copies, error) {
	mysql := o.MySQL
	mysql.DSN, mysql.DSNFile = of.DSN, ""
	writer, err := mysql.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	mysql.Timeout = min(mysql.Timeout, db.ReadTimeout)
	var readers []*sql.DB
	for _, dsn := range of.Readers {
		mysql.DSN = dsn
		reader, err := mysql.OpenReader()
		if err != nil {
			return nil, errors.Join(err, db.NewCopies(of.Name, writer, readers, 0, nil).Close())
		}
		readers = append(readers, reader)
	}
	return db.NewCopies(of.Name, writer, readers, o.LagMax, o.Log), nil
}

// Close closes all databases.
func (d *Databases) Close() error {
	var err error
	for _, copies := range d.all {
		err = errors.Join(err, copies.Close())
	}
	return err
}

// Run keeps every database's readers usable, until ctx ends.
func (d *Databases) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, copies := range d.all {
		running.Go(func() { copies.Run(ctx) })
	}
	running.Wait()
}

// At is the place of a logical shard.
func (d *Databases) At(s shard.Shard) Place { return d.of(d.shards.Place(s)) }

// All are all places of a kind, each once.
func (d *Databases) All(kind shard.Kind) []Place {
	var all []Place
	for _, p := range d.shards.Places(kind) {
		all = append(all, d.of(p))
	}
	return all
}

func (d *Databases) of(p shard.Place) Place {
	return Place{Copies: d.all[p.Database], Name: d.name(p.Database) + p.Suffix, Suffix: p.Suffix}
}

func (d *Databases) name(i int) string { return d.shards.Databases()[i].Name }

// about begins what is said of a database. If there is one only, nobody has to be told which.
func (d *Databases) about(i int) string {
	if len(d.shards.Databases()) == 1 {
		return ""
	}
	return "database " + d.name(i) + ": "
}

// Place is where rows are: a database, and a suffix of the names of its tables.
type Place struct {
	*db.Copies
	Name   string // for people, logs and errors
	Suffix string
}
