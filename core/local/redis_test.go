package local_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/rueidis"
	"go.uber.org/goleak"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

func redisClient(t *testing.T, addrs ...string) rueidis.Client {
	t.Helper()
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: addrs, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func set(t *testing.T, client rueidis.Client, key, value string) {
	t.Helper()
	if err := client.Do(t.Context(), client.B().Set().Key(key).Value(value).Build()).Error(); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, client rueidis.Client, key string) string {
	t.Helper()
	value, err := client.Do(t.Context(), client.B().Get().Key(key).Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestRedisComesBackAfterACrash(t *testing.T) {
	t.Parallel()
	r := servicetest.RedisWith(t, local.RedisOptions{Appendfsync: "always"})
	set(t, redisClient(t, r.Addr), "key", "value")
	addr, pid := r.Addr, r.PID()
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("after Kill: %v, want no such process", err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Addr != addr || r.PID() == pid {
		t.Errorf("after Restart at %s as process %d; want %s and another process than %d", r.Addr, r.PID(), addr, pid)
	}
	if got := get(t, redisClient(t, r.Addr), "key"); got != "value" {
		t.Errorf("got %q after the crash, want %q", got, "value")
	}
}

func TestRedisSettings(t *testing.T) {
	t.Parallel()
	r := servicetest.RedisWith(t, local.RedisOptions{Extra: []string{"maxmemory 64mb"}})
	client := redisClient(t, r.Addr)
	got, err := client.Do(t.Context(), client.B().ConfigGet().Parameter(
		"appendonly", "appendfsync", "maxmemory-policy", "save", "bind", "maxmemory").Build()).AsStrMap()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction",
		"save": "", "bind": "127.0.0.1", "maxmemory": strconv.Itoa(64 << 20),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

// A Ctrl-C in the terminal must not reach the servers before their owner.
func TestServersHaveTheirOwnProcessGroup(t *testing.T) {
	t.Parallel()
	r := servicetest.Redis(t)
	if group, err := syscall.Getpgid(r.PID()); err != nil || group != r.PID() {
		t.Errorf("process group %d, %v; want %d", group, err, r.PID())
	}
}

func TestRedisReplicaHasItsPrimarysData(t *testing.T) {
	t.Parallel()
	primary := servicetest.Redis(t)
	set(t, redisClient(t, primary.Addr), "key", "value")
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	if got := get(t, redisClient(t, replica.Addr), "key"); got != "value" {
		t.Errorf("replica has %q, want %q", got, "value")
	}
}

func TestRedisClusterServesAllSlots(t *testing.T) {
	t.Parallel()
	c := servicetest.RedisCluster(t)
	client := redisClient(t, c.Addrs...)
	for i := range 100 {
		key := "key" + strconv.Itoa(i)
		set(t, client, key, key)
		if got := get(t, client, key); got != key {
			t.Errorf("got %q, want %q", got, key)
		}
	}
	if nodes := len(client.Nodes()); nodes != 3 {
		t.Errorf("%d nodes, want 3", nodes)
	}
	if err := c.Nodes[1].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestFailedStartSaysWhy(t *testing.T) {
	t.Parallel()
	servicetest.Redis(t) // so that this test is skipped where the server is missing
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		o    local.RedisOptions
		want string
	}{
		{"bad setting", t.Context(), local.RedisOptions{Extra: []string{"no-such-setting 1"}}, "no-such-setting"},
		{"port taken", t.Context(), local.RedisOptions{Port: taken.Addr().(*net.TCPAddr).Port}, "Address already in use"},
		{"canceled", canceled, local.RedisOptions{}, "canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, err := local.StartRedis(c.ctx, t.TempDir(), c.o)
			if err == nil {
				_ = r.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
