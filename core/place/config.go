package place

import (
	_ "embed"
	"os"
	"slices"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/shard"
)

// Config says where the rows of the shop are.
type Config struct {
	File string `name:"shards-file" env:"SLUICE_SHARDS_FILE" group:"MySQL" placeholder:"PATH"`
}

// MySQL has the settings of MySQL where a map may have the DSNs. Kong does not check them by itself: Check does.
type MySQL db.Config

// Texts are those of the group.
func (MySQL) Texts() config.Texts { return db.Config{}.Texts() }

// only is the name of the database of a shop that has one.
const only = "shop"

// Map reads the map of the file. Without a file all rows are in one database, that of the settings of MySQL.
func (c Config) Map(mysql db.Config) (*shard.Map, error) {
	if c.File != "" {
		return shard.Load(c.File, os.LookupEnv)
	}
	dsn, err := mysql.DSN.FromFile("mysql-dsn-file", mysql.DSNFile)
	if err != nil {
		return nil, err
	}
	return shard.One(shard.Database{Name: only, DSN: dsn}), nil
}

// Open opens the databases of the map.
func (c Config) Open(o Options) (*Databases, error) {
	var err error
	if o.Map, err = c.Map(o.MySQL); err != nil {
		return nil, err
	}
	return Open(o)
}

// Check joins the faults of the file, or without one of the settings of MySQL.
func (c Config) Check(mysql db.Config) error {
	if c.File == "" {
		return mysql.Validate()
	}
	var f config.Faults
	f.Include(mysql.ValidateOptional())
	if !config.ReadOnce(c.File) && !slices.ContainsFunc(shard.Files(c.File), config.ReadOnce) {
		_, err := c.Map(mysql)
		f.Include(err)
	}
	return f.Err()
}

// PrivateFiles are the files of DSNs that the file names.
func (c Config) PrivateFiles() []string {
	if c.File == "" || config.ReadOnce(c.File) {
		return nil
	}
	return shard.Files(c.File)
}

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }
