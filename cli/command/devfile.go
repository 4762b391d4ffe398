package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/config"
	"sluice/core/dirlock"
)

// DevFile finds the development stack of the directory.
type DevFile struct {
	Path string `name:"dev-file" private:"" env:"SLUICE_DEV_FILE" group:"Operations" default:".sluice/dev.json" placeholder:"PATH"`
}

// The files of the shop's keys beside dev.json.
const (
	DevSigningKeys   = "signing-keys.json"
	DevAccountSecret = "account.secret"
	DevVaultKeys     = "vault.json"
)

// DevStack is dev.json. It has the addresses of a running sluice dev. Scripts and tests read it too.
type DevStack struct {
	EdgeURL         string `json:"edge_url"`
	OpsURL          string `json:"ops_url"` // of the edge
	PersisterOpsURL string `json:"persister_ops_url"`
	CatalogURL      string `json:"catalog_url"`
	CatalogOpsURL   string `json:"catalog_ops_url"`
	DevURL          string `json:"dev_url"`
	RedisAddr       string `json:"redis_addr"`                     // for a cluster several, separated by commas
	RedisSentinels  string `json:"redis_sentinel_addrs,omitempty"` // instead of redis_addr, separated by commas
	RedisMaster     string `json:"redis_sentinel_master,omitempty"`
	MySQLDSN        string `json:"mysql_dsn"`     // because of this, only its owner may read the file
	KafkaBrokers    string `json:"kafka_brokers"` // separated by commas
	TokenKeyFile    string `json:"token_key_file"`

	path string // path of the file that it was read from
}

// Write puts the whole file in place, or nothing.
func (d DevStack) Write(path string) error {
	text, err := json.Marshal(d, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	fresh := path + ".new"
	if err = os.WriteFile(fresh, append(text, '\n'), 0o600); err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = os.Remove(fresh) // remove whatever was written of it
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// read returns nil if there is no such file.
func (d DevFile) read() (*DevStack, error) {
	text, err := os.ReadFile(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no stack runs here, which is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("read addresses of the development stack: %w", err)
	}
	if dirlock.Left(filepath.Dir(d.Path)) {
		return nil, usage(fmt.Errorf("%s is left from a sluice dev that was killed: start sluice dev again, or remove the file", d.Path))
	}
	stack := DevStack{path: d.Path}
	if err := json.Unmarshal(text, &stack); err != nil {
		return nil, fmt.Errorf("read %s: not what sluice dev writes", d.Path)
	}
	return &stack, nil
}

// fill passes the addresses of the development stack to use, if there is a stack and the user has given no address.
// It never mixes addresses of both, because a command would then compare two deployments. found is false if no
// addresses are left. fill runs before kong sets the values of the command line, so it asks kong for them.
func (d DevFile) fill(k *kong.Context, given bool, use func(*DevStack)) (found bool, err error) {
	for _, flag := range k.Flags() {
		value := reflect.ValueOf(k.FlagValue(flag))
		switch flag.Name {
		case "redis-addr", "redis-sentinel-addrs", "redis-sentinel-master", "mysql-dsn-file", "shards-file", "kafka-brokers", "token-key-file":
			given = given || !value.IsZero()
		case "dev-file":
			d.Path = value.String()
		}
	}
	if given {
		return true, nil
	}
	stack, err := d.read()
	if err != nil || stack == nil {
		return false, err
	}
	use(stack)
	return true, nil
}

// FindDevStack returns the development stack that a command would use, or nil. given says whether a secret is given,
// because kong does not see secrets.
func FindDevStack(k *kong.Context, given bool) (found *DevStack, err error) {
	_, err = DevFile{}.fill(k, given, func(d *DevStack) { found = d })
	return found, err
}

// Settings returns the values that commands take from the stack, by environment variable.
func (d *DevStack) Settings() map[string]string {
	s := map[string]string{
		"SLUICE_MYSQL_DSN": d.MySQLDSN, "SLUICE_KAFKA_BROKERS": d.KafkaBrokers, "SLUICE_TOKEN_KEY_FILE": d.TokenKeyFile,
		"SLUICE_REDIS_SENTINEL_ADDRS": d.RedisSentinels, "SLUICE_REDIS_SENTINEL_MASTER": d.RedisMaster,
	}
	if d.RedisSentinels == "" {
		s["SLUICE_REDIS_ADDR"] = d.RedisAddr
	}
	return s
}

// BeforeApply is called by kong.
func (s *Stores) BeforeApply(k *kong.Context, c *Console) error {
	found, err := s.Dev.fill(k, s.MySQL.DSN != "", func(d *DevStack) { s.use(c, d) })
	if err == nil && !found {
		c.Notef("no address is given, and no development stack runs here")
	}
	return err
}

func (s *Stores) use(c *Console, d *DevStack) {
	c.Notef("using the development stack of %s", d.path)
	if d.RedisSentinels != "" {
		s.Redis.SentinelAddrs, s.Redis.SentinelMaster = strings.Split(d.RedisSentinels, ","), d.RedisMaster
	} else {
		s.Redis.Addrs = strings.Split(d.RedisAddr, ",")
	}
	s.MySQL.DSN = config.Secret(d.MySQLDSN)
}

// BeforeApply is called by kong. It runs before that of Stores, which then finds its addresses given.
func (w *Writer) BeforeApply(k *kong.Context, c *Console) error {
	_, err := w.Dev.fill(k, w.MySQL.DSN != "", func(d *DevStack) { w.use(c, d) })
	return err
}

func (w *Writer) use(c *Console, d *DevStack) {
	w.Stores.use(c, d)
	w.Kafka.Brokers = strings.Split(d.KafkaBrokers, ",")
}
