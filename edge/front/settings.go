package front

import (
	_ "embed"
	"fmt"
	"net/url"
	"time"

	"sluice/core/config"
)

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Config says where the catalog is, and how long its answers are kept.
type Config struct {
	URL               string        `name:"catalog-url" env:"SLUICE_CATALOG_URL" group:"Catalog" placeholder:"URL"`
	Timeout           time.Duration `name:"catalog-timeout" env:"SLUICE_CATALOG_TIMEOUT" group:"Catalog" default:"2s"`
	FetchesMax        int           `name:"catalog-fetches-max" env:"SLUICE_CATALOG_FETCHES_MAX" group:"Catalog" default:"64"`
	Life              time.Duration `name:"catalog-life" env:"SLUICE_CATALOG_LIFE" group:"Catalog" default:"1m"`
	StaleMax          time.Duration `name:"catalog-stale-max" env:"SLUICE_CATALOG_STALE_MAX" group:"Catalog" default:"10m"`
	MaxAge            time.Duration `name:"catalog-max-age" env:"SLUICE_CATALOG_MAX_AGE" group:"Catalog" default:"5s"`
	Redis             []string      `name:"cache-redis-addr" env:"SLUICE_CACHE_REDIS_ADDR" group:"Catalog" placeholder:"HOST:PORT"`
	RedisUser         string        `name:"cache-redis-user" env:"SLUICE_CACHE_REDIS_USER" group:"Catalog" placeholder:"NAME"`
	RedisPasswordFile string        `name:"cache-redis-password-file" private:"" env:"SLUICE_CACHE_REDIS_PASSWORD_FILE" group:"Catalog" placeholder:"PATH"`
	RedisCAFile       string        `name:"cache-redis-tls-ca-file" env:"SLUICE_CACHE_REDIS_TLS_CA_FILE" group:"Catalog" placeholder:"PATH"`
	RedisTimeout      time.Duration `name:"cache-redis-timeout" env:"SLUICE_CACHE_REDIS_TIMEOUT" group:"Catalog" default:"50ms"`

	MemoryMax int64 `name:"catalog-memory-bytes" env:"SLUICE_CATALOG_MEMORY_BYTES" group:"Catalog" default:"67108864"`
}

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }

// Validate joins all faults of the group.
func (c Config) Validate() error {
	var f config.Faults
	if at, err := url.Parse(c.URL); c.URL != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil ||
		at.Path != "" || at.RawQuery != "" || at.Fragment != "") {
		f.Add("catalog-url", fmt.Sprintf("%q", c.URL), "a URL such as http://catalog.internal:8081, without a path and a user")
	}
	config.Between(&f, "catalog-timeout", c.Timeout, 10*time.Millisecond, time.Minute)
	config.Between(&f, "catalog-fetches-max", c.FetchesMax, 1, 10_000)
	config.Between(&f, "catalog-life", c.Life, time.Second, time.Hour)
	config.Between(&f, "catalog-stale-max", c.StaleMax, 0, 24*time.Hour)
	config.Between(&f, "catalog-max-age", c.MaxAge, 0, time.Hour)
	config.Between(&f, "catalog-memory-bytes", c.MemoryMax, 1<<20, 1<<40)
	for _, addr := range c.Redis {
		config.HostPort(&f, "cache-redis-addr", addr)
	}
	if !config.ReadOnce(c.RedisPasswordFile) {
		_, err := config.Secret("").FromFile("cache-redis-password-file", c.RedisPasswordFile)
		f.Include(err)
	}
	if !config.ReadOnce(c.RedisCAFile) {
		_, err := config.ClientTLS("cache-redis-tls-ca-file", c.RedisCAFile)
		f.Include(err)
	}
	config.Between(&f, "cache-redis-timeout", c.RedisTimeout, time.Millisecond, 5*time.Second)
	return f.Err()
}
