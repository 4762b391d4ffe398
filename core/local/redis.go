package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// RedisOptions change what StartRedis does. The zero value gives a Redis as sluice needs it: an append-only file synced
// every second, no eviction.
type RedisOptions struct {
	// Port to listen on. Defaults to a free one.
	Port int
	// Appendfsync is Redis's setting of that name: always, everysec or no.
	// Defaults to everysec.
	Appendfsync string
	// ReplicaOf is the address of another server. The new one becomes its replica, and the start waits until it has
	// copied that server.
	ReplicaOf string
	// Extra lines for redis.conf, read after all others.
	Extra []string
}

// Redis is a running redis-server, or whatever RedisServerEnv names.
type Redis struct {
	server
	Addr string // host:port
	Dir  string // has redis.conf, redis.log and the data

	clusterPort int // 0 unless it is a node of a cluster
}

// redisConf is in the server's working directory, so that no file has to quote a path.
const redisConf = "redis.conf"

// StartRedis starts a redis-server with its files in dir and waits until it
// answers.
func StartRedis(ctx context.Context, dir string, o RedisOptions) (*Redis, error) {
	return startRedis(ctx, dir, o, false)
}

func startRedis(ctx context.Context, dir string, o RedisOptions, clusterNode bool) (*Redis, error) {
	path, err := FindRedis(ctx)
	if err != nil {
		return nil, err
	}
	if dir, err = makeRedisDir(dir); err != nil {
		return nil, err
	}
	r := &Redis{Dir: dir}
	r.server = server{
		log:     filepath.Join(dir, "redis.log"),
		grace:   20 * time.Second,
		nudge:   true, // it drops the request to stop while it rewrites its append-only file
		command: func(ctx context.Context) *exec.Cmd { return command(ctx, dir, path, redisConf) },
		ready:   func(ctx context.Context, pid int) error { return r.ready(ctx, pid, o.ReplicaOf != "") },
	}
	choose := func() error {
		port := o.Port
		var err error
		if port == 0 {
			if port, err = FreePort(ctx); err != nil {
				return err
			}
		}
		if clusterNode {
			if r.clusterPort, err = FreePort(ctx); err != nil {
				return err
			}
		}
		r.Addr = address(port)
		return os.WriteFile(filepath.Join(dir, redisConf), []byte(r.config(port, o)), 0o600)
	}
	if o.Port == 0 {
		err = r.startOnFreePorts(ctx, choose)
	} else if err = choose(); err == nil {
		err = r.start(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Redis) config(port int, o RedisOptions) string {
	fsync := o.Appendfsync
	if fsync == "" {
		fsync = "everysec"
	}
	lines := []string{
		"bind " + host,
		"port " + strconv.Itoa(port),
		"daemonize no",
		"dir .",
		`save ""`,
		"appendonly yes",
		"appendfsync " + fsync,
		// A rewrite forks, and takes a core for as long as it lasts: not in the minute of a sale.
		"auto-aof-rewrite-min-size 1gb",
		"maxmemory-policy noeviction",
		"repl-diskless-sync-delay 0", // replicas need not wait for others to join
	}
	if r.clusterPort != 0 {
		lines = append(lines,
			"cluster-enabled yes",
			"cluster-port "+strconv.Itoa(r.clusterPort),
			"cluster-node-timeout 15000",
		)
	}
	if o.ReplicaOf != "" {
		lines = append(lines, "replicaof "+strings.Replace(o.ReplicaOf, ":", " ", 1))
	}
	return strings.Join(append(lines, o.Extra...), "\n") + "\n"
}

// ready reports whether the process with this id answers at the server's address and has loaded its data. A replica
// must also have copied its primary.
func (r *Redis) ready(ctx context.Context, pid int, replica bool) error {
	client, err := redisClient(r.Addr)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Do(ctx, client.B().Ping().Build()).Error(); err != nil {
		return err
	}
	info, err := client.Do(ctx, client.B().Info().Section("server", "replication").Build()).ToString()
	if err != nil {
		return err
	}
	if !hasLine(info, "process_id:"+strconv.Itoa(pid)) {
		return fmt.Errorf("another server answers at %s", r.Addr)
	}
	if replica && !hasLine(info, "master_link_status:up") {
		return errors.New("replica has not copied its primary yet")
	}
	return nil
}

// redisClient connects to one server, even if that belongs to a cluster.
func redisClient(addr string) (rueidis.Client, error) {
	return rueidis.NewClient(rueidis.ClientOption{
		InitAddress:       []string{addr},
		Dialer:            net.Dialer{Timeout: answerMax},
		ConnWriteTimeout:  answerMax,
		ForceSingleClient: true,
		DisableCache:      true,
		DisableRetry:      true,
		AlwaysRESP2:       true, // INFO as plain text
	})
}

// hasLine reports whether one of the CRLF-separated lines of an INFO is want.
func hasLine(info, want string) bool {
	for line := range strings.Lines(info) {
		if strings.TrimRight(line, "\r\n") == want {
			return true
		}
	}
	return false
}
