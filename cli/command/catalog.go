package command

import (
	"cmp"
	"context"
	"log/slog"
	"time"

	"sluice/catalog"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/schema"
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
or in that of the stock. Any number of processes share the work. Ends on SIGINT, SIGTERM or SIGHUP, after the requests that it
has read.

Examples:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog --token-key-file keys.json
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
	MySQL db.Config     `embed:""`
	Owner string        `name:"owner" env:"SLUICE_MIGRATE_OWNER" group:"Operations" placeholder:"NAME"`
	Wait  time.Duration `name:"wait" env:"SLUICE_MIGRATE_WAIT" group:"Operations" default:"1m"`
}

// Help is called by kong.
func (CatalogMigrate) Help() string {
	return `Creates or updates the tables of the shop. It can be run again at any time, also while the shop runs: schemas only grow. The
tables of stock have a command of their own, sluice migrate.

Example:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog migrate`
}

// Validate joins all faults.
func (m *CatalogMigrate) Validate() error {
	var f config.Faults
	f.Include(m.MySQL.Validate())
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
	return migrateTables(ctx, c, log, m.MySQL, m.Wait, owners, "sluice catalog grants")
}

// CatalogGrants prints the statements that give the account of the shop its role.
type CatalogGrants struct {
	Database string `default:"sluice" placeholder:"NAME" help:"Database that has the tables."`
	User     string `placeholder:"NAME" help:"Account that gets the role. Defaults to sluice_catalog."`
	Host     string `default:"%" placeholder:"HOST" help:"Where the account connects from, as CREATE USER had it."`
}

// Help is called by kong.
func (CatalogGrants) Help() string {
	return `Prints SQL and asks no server. Run it as a user that may grant, after sluice catalog migrate has made the tables. It can be
given again at any time. The account that migrates gets its rights from sluice grants --role migrate.

Example:
  sluice catalog grants --database shop | mysql -u root -p`
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
	return catalog.Schemas().Statements(schema.RoleCatalog, g.Database, cmp.Or(g.User, schema.RoleCatalog.Account()), g.Host)
}

// CatalogRoutes shows who may call which operation of the shop.
type CatalogRoutes struct {
	Output `embed:""`
}

// Help is called by kong.
func (CatalogRoutes) Help() string {
	return `Shows the operations of the shop's API, which roles may call each, and on whose objects. It asks no server.

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
	t.row("METHOD", "PATH", "ROLES", "ON")
	for _, o := range table {
		t.row(o.Method, o.Path, o.Roles, o.On)
	}
	t.flush()
	return nil
}
