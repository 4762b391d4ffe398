package baseline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/deployment"
	"sluice/core/local"
	"sluice/core/redis"
	"sluice/core/stock"
	"sluice/core/telemetry"
)

const (
	partitions   = 64
	limitPerUser = 1_000_000
	shoppers     = 10_000 // users who buy, in turn
	callTimeout  = 10 * time.Second
)

// shedPause is the longest pause of a buyer who was told that too many ask at once.
const shedPause = 20 * time.Millisecond

// sluice is a deployment of sluice with stores of its own, and nothing that runs on them yet.
type sluice struct {
	place  *Place
	name   string
	env    []string
	keys   *auth.Keys
	redis  *local.Redis
	mysql  *local.MariaDB
	broker *local.Program
	stores *deployment.Stores
}

// openSluice makes a deployment: stores, keys, tables, topic.
func openSluice(ctx context.Context, p *Place, name string) (s *sluice, err error) {
	s = &sluice{place: p, name: name}
	if s.redis, err = p.Redis(ctx, name); err != nil {
		return nil, err
	}
	var where db.Config
	if s.mysql, where, err = p.Database(ctx, name); err != nil {
		return nil, err
	}
	if s.broker, err = p.Broker(ctx); err != nil {
		return nil, err
	}
	keyFile := filepath.Join(p.dir, name+"-keys.json")
	if s.keys, err = makeKeys(keyFile); err != nil {
		return nil, err
	}
	s.env = append(local.Unset(),
		"SLUICE_REDIS_ADDR="+s.redis.Addr, "SLUICE_MYSQL_DSN="+string(where.DSN),
		"SLUICE_KAFKA_BROKERS="+s.broker.Addrs[0], "SLUICE_KAFKA_TOPIC="+name, "SLUICE_TOKEN_KEY_FILE="+keyFile,
		"SLUICE_OUTBOX_ENTRIES_MAX=10000000", "SLUICE_REDIS_CALL_TIMEOUT="+callTimeout.String(), "SLUICE_LOG_LEVEL=warn")
	if err := s.run(ctx, "", "migrate"); err != nil {
		return nil, err
	}
	// A first SKU opens Redis, so that others may trust it.
	if err := s.Stock(ctx, 1, 1); err != nil {
		return nil, err
	}
	where.ConnsMax = 2
	s.stores, err = deployment.Open(ctx, redis.Config{Addrs: []string{s.redis.Addr}, CallTimeout: callTimeout}, where,
		config.Agreed{Partitions: partitions, Deployment: "sluice", Retention: 24 * time.Hour})
	return s, err
}

func makeKeys(path string) (*auth.Keys, error) {
	key, err := auth.GenerateKey(auth.HS256)
	if err == nil {
		err = auth.WriteKeys(path, key)
	}
	if err != nil {
		return nil, err
	}
	return auth.ReadKeys(path)
}

// run runs a command of sluice to its end.
func (s *sluice) run(ctx context.Context, stdin string, args ...string) error {
	cmd := exec.CommandContext(ctx, s.place.program, args...)
	cmd.Env, cmd.Stdin = s.env, strings.NewReader(stdin)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("sluice %s: %w: %s", strings.Join(args, " "), err, said.String())
	}
	return nil
}

// service starts a role and waits until it is ready. Its settings are those of the deployment, and more of its own.
func (s *sluice) service(ctx context.Context, role string, settings ...string) (*local.Program, error) {
	data := filepath.Join(s.place.dir, s.name+"-"+role)
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	return s.place.startReady(ctx, s.name+"-"+role, 2, func([]string) []string {
		return slices.Concat(s.env, []string{"SLUICE_DATA_DIR=" + data}, settings)
	}, func(ctx context.Context, addrs []string) error { return telemetry.AskReady(ctx, addrs[len(addrs)-1]) }, role)
}

// tokens are those of all shoppers.
func (s *sluice) tokens() ([]string, error) {
	tokens := make([]string, shoppers)
	var err error
	now := time.Now()
	for i := range tokens {
		tokens[i], err = s.keys.Issue(auth.Claims{
			Identity: auth.Identity{Subject: int64(i + 1), Role: auth.RoleShopper}, Issuer: "sluice", Audience: "sluice",
			NotBefore: now.Add(-time.Minute), Expires: now.Add(6 * time.Hour),
		})
		if err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// Stock implements Shop, as an operator would.
func (s *sluice) Stock(ctx context.Context, sku, units int64) error {
	return s.run(ctx, fmt.Sprintf("sku_id,quantity,limit\n%d,%d,%d\n", sku, units, limitPerUser), "stock", "load", "--yes", "-")
}

// Count implements Shop.
func (s *sluice) Count(ctx context.Context, sku int64) ([]Count, error) {
	cells, _, err := s.stores.Stock.Cells(ctx, []stock.Cell{{SKU: sku}})
	if err != nil {
		return nil, err
	}
	return []Count{{Store: "Redis", Left: cells[0].Avail, Orders: cells[0].Held + cells[0].Sold}}, nil
}

// Settle implements Shop.
func (s *sluice) Settle(context.Context) error { return nil }

// Clear implements Shop. It deletes what a persister would have taken, which a relay would otherwise publish later, beside
// what is measured then.
func (s *sluice) Clear(ctx context.Context, _ int64) error {
	stats, err := s.stores.Stock.OutboxStats(ctx)
	if err != nil {
		return err
	}
	for partition, stat := range stats {
		for left := stat.Entries; left > 0; {
			entries, err := s.stores.Stock.OutboxAfter(ctx, partition, "", 256)
			if err != nil {
				return err
			}
			ids := make([]string, len(entries))
			for i := range entries {
				ids[i] = entries[i].ID
			}
			deleted, err := s.stores.Stock.OutboxDelete(ctx, partition, ids)
			if err != nil || deleted == 0 {
				return errors.Join(err, fmt.Errorf("%d entries of partition %d are left", left, partition))
			}
			left -= deleted
		}
	}
	return nil
}

// Close implements Shop.
func (s *sluice) Close() error { return s.stores.Close() }
