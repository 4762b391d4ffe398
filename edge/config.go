package edge

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"sluice/core/config"
	"sluice/core/cors"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/limit"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/edge/front"
)

// Where shoppers may hold and buy.
const (
	holdEverywhere = "everywhere"
	holdInSales    = "sales"
)

// Config configures an edge.
type Config struct {
	Redis    redis.Config   `embed:""`
	Replicas redis.Replicas `embed:""`
	MySQL    db.Config      `embed:""`
	Kafka    kafka.Config   `embed:""`
	Stock    config.Stock   `embed:""`
	Catalog  front.Config   `embed:""`
	Ops      config.Ops     `embed:"" set:"ops_listen=127.0.0.1:9180"`

	Listen  string `name:"listen" env:"SLUICE_LISTEN" group:"Edge" default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	DataDir string `name:"data-dir" env:"SLUICE_DATA_DIR" group:"Edge" default:".sluice/edge" placeholder:"PATH"`

	TokenKeyFile  string `name:"token-key-file" private:"" env:"SLUICE_TOKEN_KEY_FILE" group:"Tokens" placeholder:"PATH"`
	TokenIssuer   string `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice"`
	TokenAudience string `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice"`
	ShopKeysURL   string `name:"shop-keys-url" env:"SLUICE_SHOP_KEYS_URL" group:"Tokens" placeholder:"URL"`
	EndedSessions string `name:"ended-sessions" env:"SLUICE_ENDED_SESSIONS" group:"Tokens" default:"refuse" placeholder:"WHAT"`
	TokensMax     int    `name:"tokens-max" env:"SLUICE_TOKENS_MAX" group:"Tokens" default:"200000"`

	RatePerUser     float64  `name:"rate-per-user" env:"SLUICE_RATE_PER_USER" group:"Limits" default:"20"`
	BurstPerUser    int      `name:"burst-per-user" env:"SLUICE_BURST_PER_USER" group:"Limits" default:"40"`
	RatePerAddress  float64  `name:"rate-per-address" env:"SLUICE_RATE_PER_ADDRESS" group:"Limits" default:"1000"`
	BurstPerAddress int      `name:"burst-per-address" env:"SLUICE_BURST_PER_ADDRESS" group:"Limits" default:"2000"`
	LimitedMax      int      `name:"limited-max" env:"SLUICE_LIMITED_MAX" group:"Limits" default:"200000"`
	TrustedProxies  []string `name:"trusted-proxies" env:"SLUICE_TRUSTED_PROXIES" group:"Limits" placeholder:"CIDR"`

	ConnectionsMax           int           `name:"connections-max" env:"SLUICE_CONNECTIONS_MAX" group:"Limits" default:"10000"`
	ConnectionsPerAddressMax int           `name:"connections-per-address-max" env:"SLUICE_CONNECTIONS_PER_ADDRESS_MAX" group:"Limits" default:"0"`
	ReadTimeout              time.Duration `name:"read-timeout" env:"SLUICE_READ_TIMEOUT" group:"Limits" default:"3s"`
	WriteTimeout             time.Duration `name:"write-timeout" env:"SLUICE_WRITE_TIMEOUT" group:"Limits" default:"5s"`
	IdleTimeout              time.Duration `name:"idle-timeout" env:"SLUICE_IDLE_TIMEOUT" group:"Limits" default:"15s"`

	QueueMax    int           `name:"queue-max" env:"SLUICE_QUEUE_MAX" group:"Batching" default:"8192"`
	ShedAfter   time.Duration `name:"shed-after" env:"SLUICE_SHED_AFTER" group:"Batching" default:"200ms"`
	VectorMax   int           `name:"vector-max" env:"SLUICE_VECTOR_MAX" group:"Batching" default:"128"`
	InFlightMax int           `name:"in-flight-max" env:"SLUICE_IN_FLIGHT_MAX" group:"Batching" default:"4"`
	LogTimeout  time.Duration `name:"log-timeout" env:"SLUICE_LOG_TIMEOUT" group:"Batching" default:"2s"`
	CellsMax    int           `name:"cells-max" env:"SLUICE_CELLS_MAX" group:"Batching" default:"262144"`
	PublishMax  int64         `name:"publish-buffer-bytes" env:"SLUICE_PUBLISH_BUFFER_BYTES" group:"Batching" default:"67108864"`

	CORSOrigins        []string      `name:"cors-origins" env:"SLUICE_CORS_ORIGINS" group:"Edge" placeholder:"ORIGIN"`
	ShoppersHold       string        `name:"shoppers-hold" env:"SLUICE_SHOPPERS_HOLD" group:"Edge" default:"everywhere" placeholder:"WHERE"`
	DrainDelay         time.Duration `name:"drain-delay" env:"SLUICE_DRAIN_DELAY" group:"Edge" default:"0s"`
	Restore            string        `name:"restore" env:"SLUICE_RESTORE" group:"Edge" default:"manual" placeholder:"WHEN"`
	AllowNoPersistence bool          `name:"allow-no-persistence" env:"SLUICE_ALLOW_NO_PERSISTENCE" group:"Edge"`

	// CheckSchema, if set, fails if the schema of the database is too old. The edge is not ready before CheckSchema has
	// succeeded once.
	CheckSchema func(ctx context.Context, db *sql.DB) error `kong:"-"`
	// Between, which programs of tests set, is called before each step of a basket.
	Between func(stage string) `kong:"-"`
}

// Validate joins all faults of the configuration.
func (c Config) Validate() error {
	var f config.Faults
	f.Include(c.Redis.Validate())
	f.Include(c.Replicas.Validate())
	f.Include(c.MySQL.Validate())
	f.Include(c.Kafka.Validate())
	f.Include(c.Stock.Validate())
	f.Include(c.Catalog.Validate())
	for _, addr := range c.Catalog.Redis {
		if slices.Contains(c.Redis.Addrs, addr) {
			f.Add("cache-redis-addr", addr, "another Redis than that of the stock, which must never evict anything")
		}
	}
	f.Include(c.Ops.Validate())
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		f.Add("listen", fmt.Sprintf("%q", c.Listen), "host:port")
	}
	for _, s := range []struct{ setting, value, want string }{
		{"data-dir", c.DataDir, "a directory of its own"},
		{"token-key-file", c.TokenKeyFile, "the file of --token-key-file (SLUICE_TOKEN_KEY_FILE): sluice token keygen --out keys.json makes one"},
		{"token-issuer", c.TokenIssuer, "the iss that tokens have"},
		{"token-audience", c.TokenAudience, "the aud that tokens have"},
	} {
		if s.value == "" {
			f.Missing(s.setting, s.want)
		}
	}
	if at, err := url.Parse(c.ShopKeysURL); c.ShopKeysURL != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil) {
		f.Add("shop-keys-url", fmt.Sprintf("%q", c.ShopKeysURL), "a URL such as https://shop.example/.well-known/jwks.json, without a user")
	}
	for _, origin := range c.CORSOrigins {
		if _, err := cors.Parse([]string{origin}); err != nil {
			f.Add("cors-origins", fmt.Sprintf("%q", origin), cors.Want)
		}
	}
	config.OneOf(&f, "ended-sessions", c.EndedSessions, endedRefuse, endedAccept)
	config.Between(&f, "tokens-max", c.TokensMax, 1, 100_000_000)
	c.validateLimits(&f)
	config.Between(&f, "queue-max", c.QueueMax, 1, 1_000_000)
	config.Between(&f, "shed-after", c.ShedAfter, time.Millisecond, time.Minute)
	config.Between(&f, "vector-max", c.VectorMax, 1, stock.VectorMax)
	config.Between(&f, "in-flight-max", c.InFlightMax, 1, 64)
	config.Between(&f, "log-timeout", c.LogTimeout, time.Millisecond, time.Minute)
	config.Between(&f, "cells-max", c.CellsMax, 1, 1<<30)
	config.Between(&f, "publish-buffer-bytes", c.PublishMax, 1<<20, math.MaxInt64)
	config.Between(&f, "drain-delay", c.DrainDelay, 0, 10*time.Minute)
	config.OneOf(&f, "shoppers-hold", c.ShoppersHold, holdEverywhere, holdInSales)
	config.OneOf(&f, "restore", c.Restore, RestoreManual, RestoreAuto)
	return f.Err()
}

func (c Config) validateLimits(f *config.Faults) {
	for setting, rate := range map[string]float64{"rate-per-user": c.RatePerUser, "rate-per-address": c.RatePerAddress} {
		if rate != 0 && !(rate >= limit.RateMin && rate <= limit.RateMax) { // so that NaN is none either
			f.Add(setting, rate, fmt.Sprintf("0, or %g to %d", limit.RateMin, limit.RateMax))
		}
	}
	config.Between(f, "burst-per-user", c.BurstPerUser, 1, limit.BurstMax)
	config.Between(f, "burst-per-address", c.BurstPerAddress, 1, limit.BurstMax)
	config.Between(f, "limited-max", c.LimitedMax, 1, limit.KeysMaxMax)
	for _, network := range c.TrustedProxies {
		if prefix, err := netip.ParsePrefix(network); err != nil || prefix.Addr().Is4In6() {
			f.Add("trusted-proxies", fmt.Sprintf("%q", network), "a network such as 10.0.0.0/8 or 2001:db8::/32")
		}
	}
	config.Between(f, "connections-max", c.ConnectionsMax, 1, 1_000_000)
	config.Between(f, "connections-per-address-max", c.ConnectionsPerAddressMax, 0, 1_000_000)
	config.Between(f, "read-timeout", c.ReadTimeout, time.Millisecond, 5*time.Minute)
	config.Between(f, "write-timeout", c.WriteTimeout, time.Millisecond, 5*time.Minute)
	config.Between(f, "idle-timeout", c.IdleTimeout, time.Millisecond, time.Hour)
}
