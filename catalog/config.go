package catalog

import (
	"fmt"
	"net/netip"
	"time"

	"sluice/catalog/account/provider"
	"sluice/catalog/assess"
	"sluice/catalog/internal/objects"
	"sluice/catalog/notify"
	"sluice/catalog/price"
	"sluice/catalog/seller"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/limit"
	"sluice/core/place"
)

// Config configures the shop.
type Config struct {
	MySQL  place.MySQL   `embed:""`
	Places place.Config  `embed:""`
	Kafka  kafka.Cluster `embed:""`
	Stock  kafka.Events  `embed:""`
	Ops    config.Ops    `embed:"" set:"ops_listen=127.0.0.1:9182"`

	Messages notify.Config `embed:""`

	Listen string `name:"catalog-listen" env:"SLUICE_CATALOG_LISTEN" group:"Catalog" default:"127.0.0.1:8081" placeholder:"HOST:PORT"`

	TokenKeyFile  string `name:"token-key-file" private:"" env:"SLUICE_TOKEN_KEY_FILE" group:"Tokens" placeholder:"PATH"`
	TokenIssuer   string `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice"`
	TokenAudience string `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice"`
	TokensMax     int    `name:"tokens-max" env:"SLUICE_TOKENS_MAX" group:"Tokens" default:"200000"`

	SigningKeysFile   string      `name:"signing-keys-file" private:"" env:"SLUICE_SIGNING_KEYS_FILE" group:"Tokens" placeholder:"PATH"`
	AccountSecretFile string      `name:"account-secret-file" private:"" env:"SLUICE_ACCOUNT_SECRET_FILE" group:"Catalog" placeholder:"PATH"`
	PasswordsMax      int         `name:"passwords-max" env:"SLUICE_PASSWORDS_MAX" group:"Limits" default:"4"`
	Vault             VaultConfig `embed:""`

	RatePerUser     float64  `name:"rate-per-user" env:"SLUICE_RATE_PER_USER" group:"Limits" default:"20"`
	BurstPerUser    int      `name:"burst-per-user" env:"SLUICE_BURST_PER_USER" group:"Limits" default:"40"`
	RatePerAddress  float64  `name:"rate-per-address" env:"SLUICE_RATE_PER_ADDRESS" group:"Limits" default:"1000"`
	BurstPerAddress int      `name:"burst-per-address" env:"SLUICE_BURST_PER_ADDRESS" group:"Limits" default:"2000"`
	LimitedMax      int      `name:"limited-max" env:"SLUICE_LIMITED_MAX" group:"Limits" default:"200000"`
	TrustedProxies  []string `name:"trusted-proxies" env:"SLUICE_TRUSTED_PROXIES" group:"Limits" placeholder:"CIDR"`

	ConnectionsMax int           `name:"connections-max" env:"SLUICE_CONNECTIONS_MAX" group:"Limits" default:"10000"`
	RequestsMax    int           `name:"requests-max" env:"SLUICE_REQUESTS_MAX" group:"Limits" default:"512"`
	ReadTimeout    time.Duration `name:"read-timeout" env:"SLUICE_READ_TIMEOUT" group:"Limits" default:"3s"`
	WriteTimeout   time.Duration `name:"write-timeout" env:"SLUICE_WRITE_TIMEOUT" group:"Limits" default:"5s"`
	IdleTimeout    time.Duration `name:"idle-timeout" env:"SLUICE_IDLE_TIMEOUT" group:"Limits" default:"15s"`

	AssessRulesFile string `name:"assess-rules-file" env:"SLUICE_ASSESS_RULES_FILE" group:"Catalog" placeholder:"PATH"`

	MarketsFile string `name:"markets-file" env:"SLUICE_MARKETS_FILE" group:"Catalog" placeholder:"PATH"`

	Providers provider.Config `embed:""`
	Webhooks  seller.Webhooks `embed:""`
	Edge      EdgeConfig      `embed:""`
	Media     objects.Config  `embed:""`

	ReadersLagMax time.Duration `name:"readers-lag-max" env:"SLUICE_READERS_LAG_MAX" group:"MySQL" default:"10s"`

	AuditGroup           string        `name:"kafka-audit-group" env:"SLUICE_KAFKA_AUDIT_GROUP" group:"Kafka" default:"sluice-catalog-audit"`
	AuditCheckpointFile  string        `name:"audit-checkpoint-file" env:"SLUICE_AUDIT_CHECKPOINT_FILE" group:"Catalog" placeholder:"PATH"`
	AuditCheckpointEvery time.Duration `name:"audit-checkpoint-every" env:"SLUICE_AUDIT_CHECKPOINT_EVERY" group:"Catalog" default:"1m"`

	DrainDelay         time.Duration `name:"drain-delay" env:"SLUICE_DRAIN_DELAY" group:"Catalog" default:"0s"`
	AllowVolatileMySQL bool          `name:"allow-volatile-mysql" env:"SLUICE_ALLOW_VOLATILE_MYSQL" group:"Catalog"`
}

// Validate joins all faults of the configuration.
func (c Config) Validate() error {
	var f config.Faults
	f.Include(c.Places.Check(db.Config(c.MySQL)))
	if c.MySQL.ConnsMax < 4 {
		f.Add("mysql-conns-max", c.MySQL.ConnsMax, "4 or more, because the publishing of events keeps one, and two who apply to sell at once another one each")
	}
	f.Include(c.Kafka.Validate())
	f.Include(c.Stock.Validate())
	config.Name(&f, "kafka-audit-group", c.AuditGroup)
	f.Include(c.Ops.Validate())
	f.Include(c.Messages.Validate())
	f.Include(c.Providers.Validate())
	f.Include(c.Webhooks.Validate())
	if err := c.Edge.Check(); err != nil {
		f.Add("edge-url", fmt.Sprintf("%q", c.Edge.URL), "the URL of an edge, or of what is in front of edges, such as http://127.0.0.1:8080")
	}
	f.Include(c.Media.Validate())
	if c.Providers.File != "" && c.Providers.Timeout >= c.WriteTimeout {
		f.Add("sign-in-providers-timeout", c.Providers.Timeout, fmt.Sprintf("less than --write-timeout, which is %v: a request has to be answered after it", c.WriteTimeout))
	}
	if waiting := c.Providers.AtOnce(); c.RequestsMax < 2*waiting {
		f.Add("requests-max", c.RequestsMax, fmt.Sprintf("%d or more, or smaller at_once in the file of --sign-in-providers-file, which are %d together: "+
			"providers that hang may hold half of the requests", 2*waiting, waiting))
	}
	config.HostPort(&f, "catalog-listen", c.Listen)
	for _, s := range []struct{ setting, value, want string }{
		{"token-key-file", c.TokenKeyFile, "the file of --token-key-file (SLUICE_TOKEN_KEY_FILE): sluice token keygen --out keys.json makes one"},
		{"signing-keys-file", c.SigningKeysFile, "the file of --signing-keys-file (SLUICE_SIGNING_KEYS_FILE): sluice catalog keys create makes one"},
		{"account-secret-file", c.AccountSecretFile, "the file of --account-secret-file (SLUICE_ACCOUNT_SECRET_FILE): sluice catalog keys create makes one"},
		{"token-issuer", c.TokenIssuer, "the iss that tokens have"},
		{"token-audience", c.TokenAudience, "the aud that tokens have"},
		{"vault-key-file", c.Vault.File, "the file of --vault-key-file (SLUICE_VAULT_KEY_FILE): sluice catalog vault keygen --out vault.json makes one"},
	} {
		if s.value == "" {
			f.Missing(s.setting, s.want)
		}
	}
	if config.ReadOnce(c.AssessRulesFile) {
		f.Add("assess-rules-file", fmt.Sprintf("%q", c.AssessRulesFile), "a file that can be read again and again")
	} else if _, err := assess.Load(c.AssessRulesFile); err != nil {
		f.Add("assess-rules-file", err, "rules in the form of docs/assess.md")
	}
	if config.ReadOnce(c.MarketsFile) {
		f.Add("markets-file", fmt.Sprintf("%q", c.MarketsFile), "a file that can be read again and again")
	} else if _, err := price.LoadMarkets(c.MarketsFile); err != nil {
		f.Add("markets-file", err, "markets in the form of docs/prices.md")
	}
	config.Between(&f, "passwords-max", c.PasswordsMax, 1, 1000)
	config.Between(&f, "tokens-max", c.TokensMax, 1, 100_000_000)
	for setting, rate := range map[string]float64{"rate-per-user": c.RatePerUser, "rate-per-address": c.RatePerAddress} {
		if rate != 0 && !(rate >= limit.RateMin && rate <= limit.RateMax) { // so that NaN is none either
			f.Add(setting, rate, fmt.Sprintf("0, or %g to %d", limit.RateMin, limit.RateMax))
		}
	}
	config.Between(&f, "burst-per-user", c.BurstPerUser, 1, limit.BurstMax)
	config.Between(&f, "burst-per-address", c.BurstPerAddress, 1, limit.BurstMax)
	config.Between(&f, "limited-max", c.LimitedMax, 1, limit.KeysMaxMax)
	for _, network := range c.TrustedProxies {
		if prefix, err := netip.ParsePrefix(network); err != nil || prefix.Addr().Is4In6() {
			f.Add("trusted-proxies", fmt.Sprintf("%q", network), "a network such as 10.0.0.0/8 or 2001:db8::/32")
		}
	}
	config.Between(&f, "connections-max", c.ConnectionsMax, 1, 1_000_000)
	config.Between(&f, "requests-max", c.RequestsMax, 1, 100_000)
	config.Between(&f, "read-timeout", c.ReadTimeout, time.Millisecond, 5*time.Minute)
	config.Between(&f, "write-timeout", c.WriteTimeout, time.Millisecond, 5*time.Minute)
	config.Between(&f, "idle-timeout", c.IdleTimeout, time.Millisecond, time.Hour)
	config.Between(&f, "readers-lag-max", c.ReadersLagMax, time.Second, time.Hour)
	config.Between(&f, "audit-checkpoint-every", c.AuditCheckpointEvery, time.Second, 24*time.Hour)
	config.Between(&f, "drain-delay", c.DrainDelay, 0, 10*time.Minute)
	return f.Err()
}
