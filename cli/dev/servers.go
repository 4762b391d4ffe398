package dev

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"sluice/catalog"
	"sluice/catalog/account"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/local"
)

// deps installs missing programs. make deps and CI run it as a file.
//
//go:embed deps.sh
var deps string

const database = "sluice"

// errPrivate means that a private server of the stack does not start, perhaps because of its data.
var errPrivate = errors.New("a private server does not start")

// startServers starts every server that the user gave no address of, and puts all addresses into the configuration.
func (s *stack) startServers(ctx context.Context) error {
	if err := s.install(ctx); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{s.startRedis, s.startMySQL, s.startKafka} {
		if err := start(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *stack) install(ctx context.Context) error {
	var parts []string
	var missing error
	look := func(part string, external bool, find func() (string, error)) {
		if _, err := find(); err != nil && !external {
			parts, missing = append(parts, part), errors.Join(missing, err)
		}
	}
	redis := s.command.redis()
	look("redis", redis.Places() != "", func() (string, error) { return local.FindRedis(ctx) })
	look("mariadb", s.command.MySQLDSN != "", local.FindMariaDB)
	if missing == nil || !s.command.Install {
		return missing
	}
	//nolint:gosec // G204: the script is part of this program
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-s", "--"}, parts...)...)
	cmd.Stdin = strings.NewReader(deps)
	cmd.Stdout, cmd.Stderr = s.console.Err, s.console.Err
	if err := cmd.Run(); err != nil {
		return errors.Join(fmt.Errorf("install servers: %w", err), missing)
	}
	return nil
}

func (s *stack) startRedis(ctx context.Context) error {
	s.cfg.Redis = s.command.redis()
	if place := s.cfg.Redis.Places(); place != "" {
		s.server("redis", place+" (external)")
		return nil
	}
	r, err := local.StartRedis(ctx, filepath.Join(s.dir, "redis"), local.RedisOptions{})
	if err != nil {
		return fmt.Errorf("%w: redis: %w", errPrivate, err)
	}
	s.keep("redis", r.Dir, r)
	s.cfg.Redis.Addrs = []string{r.Addr}
	s.server("redis", r.Addr)
	return nil
}

func (s *stack) startMySQL(ctx context.Context) error {
	s.cfg.MySQL.DSN = s.command.MySQLDSN
	if s.cfg.MySQL.DSN != "" {
		s.server("mysql", "external, from SLUICE_MYSQL_DSN")
		return nil
	}
	m, err := local.StartMariaDB(ctx, filepath.Join(s.dir, "mariadb"))
	if err != nil {
		return fmt.Errorf("%w: mariadb: %w", errPrivate, err)
	}
	s.keep("mariadb", filepath.Join(m.Dir, "data"), m)
	s.cfg.MySQL.DSN = config.Secret(m.DSN(database))
	s.server("mysql", m.Addr)
	return m.CreateDatabase(ctx, database)
}

func (s *stack) startKafka(ctx context.Context) error {
	s.cfg.Kafka.Brokers = s.command.KafkaBrokers
	if len(s.cfg.Kafka.Brokers) > 0 {
		s.server("kafka", strings.Join(s.cfg.Kafka.Brokers, ",")+" (external)")
		return nil
	}
	dir := filepath.Join(s.dir, "kafka")
	b, err := local.StartBroker(ctx, dir, 0)
	if err != nil {
		return fmt.Errorf("%w: broker: %w", errPrivate, err)
	}
	s.parts.Close("stop broker", func() {
		if !s.lost { // otherwise it would write its data into the directory that is there now
			b.Stop()
		}
	})
	s.watch(watched{name: "the embedded broker", dir: dir})
	s.cfg.Kafka.Brokers = b.Addrs
	s.server("kafka", strings.Join(b.Addrs, ",")+" (embedded)")
	return nil
}

// makeKeys makes the files of keys, unless they are there.
func (s *stack) makeKeys() error {
	ring, err := auth.NewRing(time.Now())
	if err != nil {
		return err
	}
	for path, create := range map[string]func(string) error{
		s.command.signingKeys(): ring.Create, s.command.accountSecret(): account.CreateSecret,
		s.command.vaultKeys(): func(path string) error { _, err := catalog.GenerateVaultKeys(path); return err },
	} {
		if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	s.cfg.TokenKeyFile = s.command.TokenKeyFile
	if s.cfg.TokenKeyFile != "" {
		return nil
	}
	s.cfg.TokenKeyFile = filepath.Join(s.dir, "token-keys.json")
	if _, err := os.Stat(s.cfg.TokenKeyFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		return err
	}
	return auth.WriteKeys(s.cfg.TokenKeyFile, key)
}

// server notes the address of a server for the banner.
func (s *stack) server(name, where string) {
	s.servers = append(s.servers, [2]string{name, where})
}
