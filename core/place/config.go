package place

import (
	_ "embed"

	"sluice/core/config"
	"sluice/core/shard"
)

// Config says where the rows of the shop are.
type Config struct {
	File string `name:"shards-file" env:"SLUICE_SHARDS_FILE" group:"MySQL" placeholder:"PATH"`
}

// Map reads the map of the file. Without a file all rows are in one database.
func (c Config) Map(one shard.Database, lookup func(string) (string, bool)) (*shard.Map, error) {
	if c.File == "" {
		return shard.One(one), nil
	}
	return shard.Load(c.File, lookup)
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
