package command

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/examine"
	"sluice/core/place"
	"sluice/core/schema"
	"sluice/core/shard"
)

// Shop says where the databases of the shop are, and its keys. A deployment without a shop gives nothing of it.
type Shop struct {
	Places  place.Config        `embed:""`
	Signing string              `name:"signing-keys-file" private:"" env:"SLUICE_SIGNING_KEYS_FILE" group:"Tokens" placeholder:"PATH"`
	Secret  string              `name:"account-secret-file" private:"" env:"SLUICE_ACCOUNT_SECRET_FILE" group:"Catalog" placeholder:"PATH"`
	Vault   catalog.VaultConfig `embed:""`
}

func (s *Shop) given() bool {
	return s.Places.File != "" || s.Signing != "" || s.Secret != "" || s.Vault.File != ""
}

// shop checks the databases and the keys of the shop, if there is one.
func (d *Doctor) shop(ctx context.Context, e *examination) {
	if !d.Shop.given() {
		return
	}
	if d.Shop.Places.File == "" && d.devDir == "" {
		e.warn("shop databases", "not looked at", "give --shards-file, also for a shop with one database, because the DSN is that of the stock: docs/places.md says how the file looks")
		return
	}
	shards, err := d.Shop.Places.Map(d.MySQL)
	if err != nil {
		e.fail("shop", err.Error(), "correct the file of --shards-file, or the DSN")
		return
	}
	for i, of := range shards.Databases() {
		d.shopDatabase(ctx, e, of, catalog.Schemas().In(shards, i))
	}
	d.shopKeys(ctx, e)
}

// shopDatabase checks one database, and what the account may do with its tables.
func (d *Doctor) shopDatabase(ctx context.Context, e *examination, of shard.Database, owners schema.Owners) {
	about := "shop database " + of.Name
	settings := d.MySQL
	settings.DSN, settings.DSNFile = of.DSN, ""
	pool, err := settings.OpenUnchecked()
	if err != nil {
		e.fail(about, err.Error(), "correct its DSN")
		return
	}
	defer pool.Close()
	var version string
	var now int64
	before := time.Now()
	err = pool.QueryRowContext(ctx, "SELECT VERSION(), CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)").Scan(&version, &now)
	if err != nil {
		e.fail(about, err.Error(), cmp.Or(adviceOnMySQL(err), adviceOn("MySQL", err)))
		return
	}
	e.ok(about, "version %s answers", version)
	if f, wrong := examine.Clock(time.UnixMicro(now), before, time.Since(before)); wrong {
		e.warn(about, f.Found, "let both follow one time server: the shop schedules by its databases, and tokens follow its machines")
	}
	faults, err := db.Faults(ctx, pool)
	if err != nil {
		e.fail(about, err.Error(), "see whether the server answers")
		return
	}
	e.faults(about, faults)
	if db.Durability(faults) == nil {
		e.ok(about, "a commit survives a crash")
	}
	for _, owner := range owners {
		if err := owner.Check(ctx, pool); err != nil {
			e.fail(about, err.Error(), "the tables of the shop are missing, or older than this program: run sluice catalog migrate, and what sluice catalog grants prints")
			return
		}
	}
	e.ok(about, "all tables are as this program wants them, or newer")
	denied, err := denied(ctx, pool, owners)
	switch {
	case err != nil:
		e.fail(about, err.Error(), "see whether the server answers")
	case len(denied) > 0:
		e.fail(about, fmt.Sprintf("its account may not do %d things that the shop does, such as %s", len(denied), denied[0]), "run what sluice catalog grants prints")
	default:
		e.ok(about, "its account may do with the tables what the shop does")
	}
}

var privilege = regexp.MustCompile(`(SELECT|INSERT|UPDATE|DELETE)(?: \(([^)]*)\))?`)

// denied lists what the account of a pool may not do of what the role of the shop has. It asks the server to explain statements that
// would change no row, which wants the rights of the statements.
func denied(ctx context.Context, pool *sql.DB, owners schema.Owners) (all []string, err error) {
	for _, owner := range owners {
		for _, g := range owner.Grants {
			if g.Role != schema.RoleCatalog {
				continue
			}
			for _, p := range privilege.FindAllStringSubmatch(g.Privileges, -1) {
				column, _, _ := strings.Cut(p[2], ",")
				if column = strings.TrimSpace(column); column == "" {
					const first = "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ? ORDER BY ordinal_position LIMIT 1"
					if err := pool.QueryRowContext(ctx, first, g.Table).Scan(&column); err != nil {
						all = append(all, p[1]+" "+g.Table) // a table shows itself to who may do something with it
						continue
					}
				}
				statement := map[string]string{
					"SELECT": "SELECT %[2]s FROM %[1]s LIMIT 0",
					"INSERT": "EXPLAIN INSERT INTO %[1]s (%[2]s) VALUES (DEFAULT)",
					"UPDATE": "EXPLAIN UPDATE %[1]s SET %[2]s = DEFAULT WHERE FALSE",
					"DELETE": "EXPLAIN DELETE FROM %[1]s WHERE FALSE",
				}[p[1]]
				switch err := run(ctx, pool, fmt.Sprintf(statement, "`"+g.Table+"`", "`"+column+"`")); db.Answer(err) {
				case db.AnswerTableDenied, db.AnswerColumnDenied, db.AnswerDatabaseDenied:
					all = append(all, p[1]+" "+g.Table)
				case 0:
					if err != nil {
						return nil, err
					}
				default: // the statement is wrong for another reason, and was let pass
				}
			}
		}
	}
	return all, nil
}

func run(ctx context.Context, pool *sql.DB, statement string) error {
	rows, err := pool.QueryContext(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		continue
	}
	return rows.Err()
}

// shopKeys checks the files of the shop's keys.
func (d *Doctor) shopKeys(ctx context.Context, e *examination) {
	for _, of := range []struct {
		about, setting, file, made string
		read                       func(path string) error
	}{
		{"shop signing keys", "--signing-keys-file", d.Shop.Signing, "sluice catalog keys create", func(path string) error { _, err := auth.ReadRing(path); return err }},
		{"shop secret", "--account-secret-file", d.Shop.Secret, "sluice catalog keys create", func(path string) error { _, err := account.ReadSecret(path); return err }},
		{"shop vault", "--vault-key-file", d.Shop.Vault.File, "sluice catalog vault keygen", func(string) error { return d.openVault(ctx) }},
	} {
		if of.file == "" {
			e.warn(of.about, "no file given", "set "+of.setting+", as the shop has it")
		} else if err := of.read(of.file); err != nil {
			e.fail(of.about, err.Error(), "make the file readable for whoever runs sluice; bring back a lost one from its copy, because a new one ("+of.made+") fits a new shop only")
		} else {
			e.ok(of.about, "%s can be read", of.file)
		}
	}
}

// openVault opens the vault, whose file has to be that of the databases.
func (d *Doctor) openVault(ctx context.Context) error {
	databases, err := d.Shop.Places.Open(place.Options{MySQL: d.MySQL, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer databases.Close() //nolint:errcheck // nothing was written
	_, err = catalog.OpenVault(ctx, d.Shop.Vault, databases, slog.New(slog.DiscardHandler))
	return err
}

// Texts are those of the settings here.
func (Shop) Texts() config.Texts { return texts }
