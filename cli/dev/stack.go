package dev

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"sluice/catalog"
	"sluice/catalog/notify"
	"sluice/catalog/seller"
	"sluice/cli/command"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
	"sluice/core/place"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
	"sluice/edge"
	"sluice/persister"
)

// The bounds of a start and of a stop.
const (
	readyWithin   = time.Minute
	restoreWithin = 10 * time.Minute // for an edge to be ready that restores Redis first
	readyPoll     = 50 * time.Millisecond
	drainWithin   = 30 * time.Second // for a role to end, with the requests that it has accepted
)

// stack has the running servers, and knows how to stop them.
type stack struct {
	command *Command
	dir     string
	console *command.Console
	log     *slog.Logger

	cfg       edge.Config // also what all parts share
	servers   [][2]string // names and addresses, for the banner
	edge      *edge.Node
	persister *persister.Node
	catalog   *catalog.Node
	shopAddr  string // where the shop is to listen
	shopOps   string // and its ops port
	pageAddr  string
	tokens    tokens

	watched []watched
	lost    bool // its data are gone; what is in their place may belong to somebody else
	full    bool // its disk

	restoring bool // the edge writes a lost Redis anew

	parts lifecycle.Stack
}

// start starts everything, or nothing if a step fails.
func (s *stack) start(ctx context.Context) error {
	if err := removeDevFile(s.dir); err != nil {
		return err
	}
	return s.parts.Start(ctx, s.chooseAddresses, s.checkRoom, s.startServers, s.configure, s.migrate, s.loadSample, s.seedShop, s.startRoles,
		s.startPage, s.issueTokens, s.writeDevFile)
}

// chooseAddresses chooses the addresses of the stack. It comes first, so that an address that cannot be used costs no
// start of servers.
func (s *stack) chooseAddresses(ctx context.Context) error {
	for _, a := range []struct {
		name, wanted string
		into         *string
	}{
		{"edge", s.command.Listen, &s.cfg.Listen},
		{"ops", s.command.OpsListen, &s.cfg.Ops.Listen},
		{"dev", s.command.DevListen, &s.pageAddr},
		{"catalog", s.command.CatalogListen, &s.shopAddr},
		{"catalog ops", s.command.CatalogOpsListen, &s.shopOps},
	} {
		var err error
		if *a.into, err = s.freeAddress(ctx, a.name, a.wanted); err != nil {
			return err
		}
	}
	return nil
}

// configure completes the edge's configuration. Settings that are missing come from the environment, or get their
// default.
func (s *stack) configure(context.Context) error {
	if err := s.makeKeys(); err != nil {
		return err
	}
	s.cfg.DataDir = filepath.Join(s.dir, "edge")
	s.cfg.Restore = s.command.Restore
	s.cfg.CheckSchema = persister.Schema().Check
	return s.command.complete(&s.cfg)
}

// complete fills in the edge's configuration, and checks it.
func (c *Command) complete(cfg *edge.Config) error {
	rates := func() {
		cfg.RatePerUser, cfg.BurstPerUser = c.RatePerUser, burst(c.RatePerUser)
		cfg.RatePerAddress, cfg.BurstPerAddress = c.RatePerAddress, burst(c.RatePerAddress)
	}
	rates()
	err := complete(cfg)
	rates() // again, because complete takes a rate of 0 for a missing value, and it means no limit
	return err
}

// burst returns how many requests a rate allows at once: those of one second.
func burst(rate float64) int { return max(1, int(rate)) }

// complete fills in a configuration from the environment and with defaults, and checks it.
func complete(cfg any) error {
	config.LoadSecrets(cfg, os.LookupEnv)
	if err := kong.ApplyDefaults(cfg, command.Values()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	return nil
}

// persisterConfig returns the persister's configuration beside an edge.
func persisterConfig(e *edge.Config) (persister.Config, error) {
	p := persister.Config{
		Redis: e.Redis, MySQL: e.MySQL, Kafka: e.Kafka, Stock: e.Stock.Agreed,
		Ops: config.Ops{Listen: "127.0.0.1:0"},
	}
	err := complete(&p)
	return p, err
}

// catalogConfig returns the shop's configuration beside an edge. Its tables are in the database of the stock, and it has the
// edge's limits. Messages that have no other way are kept for the developer, and webhooks may be on this machine.
func (c *Command) catalogConfig(e *edge.Config, listen, ops string) (catalog.Config, error) {
	shop := catalog.Config{
		MySQL: place.MySQL(e.MySQL), Kafka: e.Kafka.Cluster(), Stock: kafka.Events{Topic: e.Kafka.Topic}, Ops: config.Ops{Listen: ops}, Listen: listen, TokenKeyFile: e.TokenKeyFile,
		SigningKeysFile: c.signingKeys(), AccountSecretFile: c.accountSecret(), Vault: catalog.VaultConfig{File: c.vaultKeys()},
		Messages: notify.Config{Inbox: true}, Webhooks: seller.Webhooks{Networks: []string{"127.0.0.0/8", "::1/128"}},
	}
	if _, port, err := net.SplitHostPort(e.Listen); err == nil && port != "0" { // else nobody knows it yet
		shop.Edge.URL = "http://" + e.Listen
	}
	rates := func() {
		shop.RatePerUser, shop.BurstPerUser = c.RatePerUser, burst(c.RatePerUser)
		shop.RatePerAddress, shop.BurstPerAddress = c.RatePerAddress, burst(c.RatePerAddress)
	}
	rates()
	err := complete(&shop)
	rates() // as for the edge
	return shop, err
}

// signingKeys, accountSecret and vaultKeys are the files of the shop's accounts.
func (c *Command) signingKeys() string   { return filepath.Join(c.Dir, command.DevSigningKeys) }
func (c *Command) accountSecret() string { return filepath.Join(c.Dir, command.DevAccountSecret) }
func (c *Command) vaultKeys() string     { return filepath.Join(c.Dir, command.DevVaultKeys) }

// freeAddress returns the wanted address, or one with a free port if its port is taken.
func (s *stack) freeAddress(ctx context.Context, name, wanted string) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", wanted)
	if err == nil {
		return wanted, listener.Close()
	}
	host, _, splitErr := net.SplitHostPort(wanted)
	if !errors.Is(err, syscall.EADDRINUSE) || splitErr != nil {
		return "", fmt.Errorf("listen for %s: %w", name, err)
	}
	s.console.Notef("%s: %s is taken, using a free port", name, wanted)
	return net.JoinHostPort(host, "0"), nil
}

func (s *stack) migrate(ctx context.Context) (err error) {
	db, err := s.cfg.MySQL.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, owner := range command.Schemas() {
		if _, err := owner.Migrate(ctx, db, s.log); err != nil {
			return err
		}
	}
	if err := s.migrateShop(ctx); err != nil {
		return err
	}
	k := s.cfg.Kafka
	return outbox.CreateTopic(ctx, k.Brokers, k.Topic, k.Partitions, k.Replication)
}

func (s *stack) migrateShop(ctx context.Context) error {
	return s.withShop(func(shop catalog.Config, databases *place.Databases) error {
		if err := databases.Migrate(ctx, catalog.Schemas(), place.Quiet); err != nil {
			return err
		}
		return catalog.CreateTopics(ctx, shop.Kafka)
	})
}

// withShop does something with the databases of the shop.
func (s *stack) withShop(do func(catalog.Config, *place.Databases) error) error {
	shop, err := s.command.catalogConfig(&s.cfg, s.shopAddr, s.shopOps)
	if err != nil {
		return err
	}
	databases, err := shop.Places.Open(place.Options{MySQL: db.Config(shop.MySQL), Log: s.log})
	if err != nil {
		return err
	}
	return errors.Join(do(shop, databases), databases.Close())
}

// startRoles starts the edge, the persister and the shop, and waits until all are ready.
func (s *stack) startRoles(ctx context.Context) error {
	p, err := persisterConfig(&s.cfg)
	if err != nil {
		return err
	}
	if s.persister, err = persister.Start(ctx, p, s.log.With("role", "persister")); err != nil {
		return fmt.Errorf("start persister: %w", err)
	}
	s.parts.Later("stop persister", drain(s.persister.Shutdown))
	shop, err := s.command.catalogConfig(&s.cfg, s.shopAddr, s.shopOps)
	if err != nil {
		return err
	}
	if s.catalog, err = catalog.Start(ctx, shop, s.log.With("role", "catalog")); err != nil {
		return fmt.Errorf("start catalog: %w", err)
	}
	s.parts.Later("stop catalog", drain(s.catalog.Shutdown))
	s.cfg.ShopKeysURL = "http://" + s.catalog.Addr() + "/.well-known/jwks.json"
	s.cfg.Catalog.URL = "http://" + s.catalog.Addr()
	if s.edge, err = edge.Start(ctx, s.cfg, s.log.With("role", "edge")); err != nil {
		return fmt.Errorf("start edge: %w", err)
	}
	s.parts.Later("stop edge", drain(s.edge.Shutdown))
	err = waitReady(ctx, "catalog", s.catalog.OpsAddr(), readyWithin, refused)
	if err == nil {
		err = waitReady(ctx, "persister", s.persister.OpsAddr(), readyWithin, refused)
	}
	if err == nil {
		err = waitReady(ctx, "edge", s.edge.OpsAddr(), readyWithin, refused)
	}
	if err != nil && s.restores(err) {
		err = waitReady(ctx, "edge", s.edge.OpsAddr(), restoreWithin, func(error) bool { return false })
	}
	if err != nil {
		return err
	}
	return s.tellDegraded(ctx)
}

// restores reports whether the edge puts right what an error is about, because it restores what Redis has lost. It says so.
func (s *stack) restores(err error) bool {
	if s.cfg.Restore != edge.RestoreAuto || !refused(err) {
		return false
	}
	if !s.restoring {
		s.restoring = true
		s.console.Notef("redis has lost its data: the edge writes them anew from MySQL and Kafka")
	}
	return true
}

// tellDegraded warns of faults with which the stack runs nevertheless, such as partitions of Redis that have lost
// something.
//
// A vetting that is under way may put them right, or it says what is wrong with them. So may a restore.
func (s *stack) tellDegraded(ctx context.Context) error {
	within := readyWithin
	if s.restoring {
		within = restoreWithin
	}
	vetted, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	underWay := func(what string) bool {
		return strings.Contains(what, edge.ErrVettingUnderWay.Error()) || s.restoring && strings.Contains(what, edge.ErrPartlyShut.Error())
	}
	found, err := telemetry.AskDegraded(ctx, s.edge.OpsAddr())
	for err == nil && slices.ContainsFunc(found, underWay) && lifecycle.Pause(vetted, readyPoll) {
		found, err = telemetry.AskDegraded(ctx, s.edge.OpsAddr())
	}
	for _, what := range found {
		s.console.Notef("warning: the edge is degraded: %s", what)
	}
	return err
}

// drain gives the shutdown of each role its own time limit.
func drain(shutdown func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		return shutdown(ctx)
	}
}

// refused reports whether Redis lacks what MySQL and Kafka have. Then waiting does not open it.
func refused(err error) bool { return strings.Contains(err.Error(), redisstock.ErrVetting.Error()) }

func waitReady(ctx context.Context, role, addr string, within time.Duration, hopeless func(error) bool) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return lifecycle.AwaitReady(ctx, role, readyPoll, hopeless, func(ctx context.Context) error { return telemetry.AskReady(ctx, addr) })
}
