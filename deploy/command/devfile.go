package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"sluice/core/config"
)

// DevFile finds the development stack of the directory.
type DevFile struct {
	Path string `name:"dev-file" env:"SLUICE_DEV_FILE" group:"Operations" default:".sluice/dev.json" placeholder:"PATH" help:"Where a running sluice dev has written its addresses. They are used if no address is given at all." cost:"none"`
}

// devStack is what a running sluice dev says of itself.
type devStack struct {
	path         string
	RedisAddr    string        `json:"redis_addr"` // several are separated by commas
	MySQLDSN     config.Secret `json:"mysql_dsn"`
	KafkaBrokers string        `json:"kafka_brokers"` // likewise
	TokenKeyFile string        `json:"token_key_file"`
}

// read gives nil if there is no such file.
func (d DevFile) read() (*devStack, error) {
	text, err := os.ReadFile(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no stack runs here: an ordinary answer
	}
	if err != nil {
		return nil, fmt.Errorf("read addresses of the development stack: %w", err)
	}
	stack := devStack{path: d.Path}
	if err := json.Unmarshal(text, &stack); err != nil {
		return nil, fmt.Errorf("read %s: not what sluice dev writes", d.Path)
	}
	return &stack, nil
}

// fill lets use take addresses from the development stack, if there is one and no address is given: to
// mix its addresses with others would be to compare two deployments. Found is false where that leaves
// none. It runs before the values of the command line are set, so it asks kong for them.
func (d DevFile) fill(k *kong.Context, given bool, use func(*devStack)) (found bool, err error) {
	for _, flag := range k.Flags() {
		value := reflect.ValueOf(k.FlagValue(flag))
		switch flag.Name {
		case "redis-addr", "mysql-dsn-file", "kafka-brokers", "token-key-file":
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

// BeforeApply is called by kong.
func (s *Stores) BeforeApply(k *kong.Context, c *Console) error {
	found, err := s.Dev.fill(k, s.MySQL.DSN != "", func(d *devStack) { s.use(c, d) })
	if err == nil && !found {
		c.Notef("no address is given, and no development stack runs here")
	}
	return err
}

func (s *Stores) use(c *Console, d *devStack) {
	c.Notef("using the development stack of %s", d.path)
	s.Redis.Addrs, s.MySQL.DSN = strings.Split(d.RedisAddr, ","), d.MySQLDSN
}

// BeforeApply is called by kong, before that of Stores, which then finds its addresses given.
func (w *Writer) BeforeApply(k *kong.Context, c *Console) error {
	_, err := w.Dev.fill(k, w.MySQL.DSN != "", func(d *devStack) { w.use(c, d) })
	return err
}

func (w *Writer) use(c *Console, d *devStack) {
	w.Stores.use(c, d)
	w.Kafka.Brokers = strings.Split(d.KafkaBrokers, ",")
}
