package command

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/catalog"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

// Catalog serves the shop.
type Catalog struct {
	Config catalog.Config `embed:""`
	Drain  Drain          `embed:""`
}

// Validate joins all faults.
func (s *Catalog) Validate() error {
	var f config.Faults
	f.Include(s.Config.Validate())
	f.Include(TokenKey{File: s.Config.TokenKeyFile}.Check())
	f.Include(s.Drain.Validate())
	return f.Err()
}

// Help is called by kong.
func (Catalog) Help() string {
	return `Serves the shop behind the hot path: docs/api/catalog.yaml describes its API. Its tables are in a database of their own,
or in that of the stock; --shards-file spreads them over several databases. Any number of processes share the work. Ends on
SIGINT, SIGTERM or SIGHUP, after the requests that it has read.

Examples:
  sluice catalog keys create --signing-keys-file signing.json --account-secret-file account.secret
  sluice catalog vault keygen --out vault.json
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog --kafka-brokers kafka:9092 --token-key-file keys.json \
      --signing-keys-file signing.json --account-secret-file account.secret --vault-key-file vault.json
  sluice catalog routes`
}

// Run is called by kong.
func (s *Catalog) Run(ctx context.Context, log *slog.Logger) error {
	OutliveReaders()
	node, err := catalog.Start(ctx, s.Config, log)
	if err != nil {
		return err
	}
	log.Info("catalog is up", "addr", node.Addr(), "ops", node.OpsAddr())
	return serve(ctx, log, s.Drain.Timeout, node)
}

// CatalogMigrate makes the tables of the shop.
type CatalogMigrate struct {
	MySQL  place.MySQL   `embed:""`
	Places place.Config  `embed:""`
	Kafka  kafka.Cluster `embed:""`
	Owner  string        `name:"owner" env:"SLUICE_MIGRATE_OWNER" group:"Operations" placeholder:"NAME"`
	Wait   time.Duration `name:"wait" env:"SLUICE_MIGRATE_WAIT" group:"Operations" default:"1m"`
}

// Help is called by kong.
func (CatalogMigrate) Help() string {
	return `Creates or updates the tables of the shop, in all databases of the shards file, and creates the topics of its events. It can be
run again at any time, also while the shop runs: schemas only grow. The tables of stock have a command of their own, sluice migrate.

Examples:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog migrate --kafka-brokers kafka:9092 --kafka-replication 3
  sluice catalog migrate --shards-file shards.json`
}

// Validate joins all faults.
func (m *CatalogMigrate) Validate() error {
	var f config.Faults
	f.Include(m.Places.Check(db.Config(m.MySQL)))
	f.Include(m.Kafka.Validate())
	_, err := catalog.Schemas().Named(m.Owner)
	f.Include(err)
	config.Between(&f, "wait", m.Wait, 0, time.Hour)
	return f.Err()
}

// Run is called by kong.
func (m *CatalogMigrate) Run(ctx context.Context, c *Console, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, m.Wait+migrateTimeout)
	defer cancel()
	owners, err := catalog.Schemas().Named(m.Owner)
	if err != nil {
		return err
	}
	if err := migrateTables(ctx, c, log, m.Places, db.Config(m.MySQL), m.Wait, owners, "sluice catalog grants"); err != nil {
		return err
	}
	err = untilUp(ctx, c, m.Wait, "Kafka", func() error { return inKafka(catalog.CreateTopics(ctx, m.Kafka)) })
	if err != nil {
		return err
	}
	for _, topic := range catalog.Topics() {
		c.Printf("Kafka has topic %s\n", topic)
	}
	return nil
}

// CatalogGrants prints the statements that give the account of the shop its role.
type CatalogGrants struct {
	Places   place.Config `embed:""`
	Database string       `default:"sluice" placeholder:"NAME" help:"Database that has the tables; with a shards file, the name that the file gives it."`
	User     string       `placeholder:"NAME" help:"Account that gets the role. Defaults to sluice_catalog."`
	Host     string       `default:"%" placeholder:"HOST" help:"Where the account connects from, as CREATE USER had it."`
}

// Help is called by kong.
func (CatalogGrants) Help() string {
	return `Prints SQL and asks no server. Run it as a user that may grant, after sluice catalog migrate has made the tables. It can be
given again at any time. The account that migrates gets its rights from sluice grants --role migrate.

Examples:
  sluice catalog grants --database shop | mysql -u root -p
  sluice catalog grants --shards-file shards.json --database east | mysql -h east.internal -u root -p`
}

// Validate reports a wrong value.
func (g *CatalogGrants) Validate() error {
	_, err := g.statements()
	return err
}

// Run is called by kong.
func (g *CatalogGrants) Run(c *Console) error {
	statements, err := g.statements()
	for _, s := range statements {
		c.Printf("%s;\n", s)
	}
	return err
}

func (g *CatalogGrants) statements() ([]string, error) {
	shards, at, name, err := g.database()
	if err != nil {
		return nil, err
	}
	return catalog.Schemas().In(shards, at).Statements(schema.RoleCatalog, name, cmp.Or(g.User, schema.RoleCatalog.Account()), g.Host)
}

// database finds the database in the shards file, with the name that it has at its server.
func (g *CatalogGrants) database() (shards *shard.Map, at int, name string, err error) {
	if g.Places.File == "" {
		return shard.One(shard.Database{}), 0, g.Database, nil
	}
	if shards, err = g.Places.Map(db.Config{}); err != nil {
		return nil, 0, "", err
	}
	var known []string
	for i, d := range shards.Databases() {
		if d.Name == g.Database {
			name, err = db.NameIn(d.DSN)
			return shards, i, name, err
		}
		known = append(known, d.Name)
	}
	return nil, 0, "", fmt.Errorf("database %.40q: want one of the shards file: %s", g.Database, strings.Join(known, ", "))
}

// CatalogRoutes shows who may call which operation of the shop.
type CatalogRoutes struct {
	Output `embed:""`
}

// Help is called by kong.
func (CatalogRoutes) Help() string {
	return `Shows the operations of the shop's API, which roles may call each, which scope a service's token needs if it is narrowed to some, whether
people need a session that was proved within the last five minutes (step up), and on whose objects. It asks no server.

Example:
  sluice catalog routes -o json`
}

// Run is called by kong.
func (r *CatalogRoutes) Run(c *Console) error {
	table := catalog.Table()
	if r.json() {
		return c.JSON(table)
	}
	t := c.table()
	t.row("METHOD", "PATH", "ROLES", "SCOPE", "STEP UP", "ON")
	for _, o := range table {
		stepUp := "-"
		if o.StepUp {
			stepUp = "yes"
		}
		t.row(o.Method, o.Path, o.Roles, cmp.Or(o.Scope, o.KeyScope, "-"), stepUp, o.On)
	}
	t.flush()
	return nil
}
