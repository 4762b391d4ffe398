package baseline

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local"
	"sluice/core/stock/redisstock"
)

// Place is where shops stand: private servers on loopback, each of which starts when a shop first asks for it. One
// goroutine uses it at a time.
type Place struct {
	dir     string
	program string
	parts   lifecycle.Stack
	redis   map[string]*local.Redis // by name
	mariadb *local.MariaDB
	broker  *local.Program
}

// stopWithin bounds how long a program may take to end in order.
const stopWithin = time.Minute

// NewPlace makes a place with its files in a directory of its own. program is the path of sluice, whose services it runs.
func NewPlace(dir, program string) *Place {
	return &Place{dir: dir, program: program, redis: map[string]*local.Redis{}}
}

// Close stops all servers.
func (p *Place) Close(ctx context.Context) error { return p.parts.Stop(ctx) }

// Redis is the Redis of a name, with the settings that sluice wants: an append-only file that is synced every second.
func (p *Place) Redis(ctx context.Context, name string) (*local.Redis, error) {
	if r := p.redis[name]; r != nil {
		return r, nil
	}
	r, err := local.StartRedis(ctx, filepath.Join(p.dir, "redis-"+name), local.RedisOptions{})
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	p.parts.Later("stop redis", func(context.Context) error { return r.Stop() })
	p.redis[name] = r
	return r, nil
}

// connectionsMax is how many connections the MariaDB takes.
const connectionsMax = 500

// Database makes a database on the MariaDB, whose commits are durable, and returns its settings.
func (p *Place) Database(ctx context.Context, name string) (*local.MariaDB, db.Config, error) {
	if p.mariadb == nil {
		m, err := local.StartMariaDB(ctx, filepath.Join(p.dir, "mariadb"), fmt.Sprintf("max_connections = %d", connectionsMax))
		if err != nil {
			return nil, db.Config{}, fmt.Errorf("start mariadb: %w", err)
		}
		p.parts.Later("stop mariadb", func(context.Context) error { return m.Stop() })
		p.mariadb = m
	}
	where := db.Config{DSN: config.Secret(p.mariadb.DSN(name)), ConnsMax: connectionsMax / 2, Timeout: time.Minute}
	return p.mariadb, where, p.mariadb.CreateDatabase(ctx, name)
}

// Broker is the embedded broker, in a process of its own.
func (p *Place) Broker(ctx context.Context) (*local.Program, error) {
	if p.broker == nil {
		var err error
		if p.broker, err = p.start(ctx, "broker", "bench", "part", "broker"); err != nil {
			return nil, err
		}
	}
	return p.broker, nil
}

// Versions are the names and versions of the servers that run. What a server does not tell stays empty.
func (p *Place) Versions(ctx context.Context) (redis, mysql string) {
	for _, r := range p.redis {
		if client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{r.Addr}, DisableCache: true, AlwaysRESP2: true}); err == nil {
			about, _ := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
			redis = redisstock.About(about).Name()
			client.Close()
		}
		break
	}
	if p.mariadb != nil {
		if db, err := sql.Open("mysql", p.mariadb.DSN("")); err == nil {
			_ = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&mysql)
			_ = db.Close()
		}
	}
	return redis, mysql
}

// start starts a command of sluice with a free address as its last argument, and waits until somebody listens there.
func (p *Place) start(ctx context.Context, name string, args ...string) (*local.Program, error) {
	return p.startReady(ctx, name, 1, func([]string) []string { return nil }, func(ctx context.Context, addrs []string) error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addrs[0])
		if err == nil {
			err = c.Close()
		}
		return err
	}, args...)
}

func (p *Place) startReady(ctx context.Context, name string, addrs int, env func(addrs []string) []string,
	ready func(context.Context, []string) error, args ...string,
) (*local.Program, error) {
	program, err := local.StartProgram(ctx, filepath.Join(p.dir, name), local.ProgramOptions{
		Path: p.program, Args: args, Addrs: addrs, Ready: ready, Grace: stopWithin,
		Env: func(addrs []string) []string { return slices.Concat(local.Unset(), listenAt(addrs), env(addrs)) },
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.parts.Later("stop "+name, func(context.Context) error { return program.Stop() })
	return program, nil
}

// listenAt tells a program where to listen. Its last address is its ops port.
func listenAt(addrs []string) []string {
	return []string{"SLUICE_LISTEN=" + addrs[0], "SLUICE_OPS_LISTEN=" + addrs[len(addrs)-1]}
}
