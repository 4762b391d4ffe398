package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
)

// Replicas that Sentinels name are reached as the user of Redis, and one that refuses the user is reported.
func TestFollowers(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	primary := servicetest.Redis(t)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: primary.Addr})
	sentinels := servicetest.Sentinels(t, primary, 1, time.Minute)
	cfg := redis.Config{
		SentinelAddrs: append([]string{"127.0.0.1:1"}, sentinels.Addrs...), SentinelMaster: sentinels.Master,
		SentinelUser: "asker", SentinelPassword: password, User: "shop", Password: password,
	}
	allow := func(addr, user string) {
		t.Helper()
		admin, err := (&redis.Config{}).Server(addr)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		if err := admin.Do(t.Context(), admin.B().AclSetuser().Username(user).Rule("on", ">"+password, "+@all", "~*").Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	followers := redis.NewFollowers(cfg)
	defer followers.Close()
	if found, err := followers.Clients(t.Context()); err == nil || !strings.Contains(err.Error(), sentinels.Addrs[0]) || found != nil {
		t.Errorf("refused by all Sentinels: %v, %v", found, err)
	}
	for _, addr := range sentinels.Addrs[:2] {
		allow(addr, "asker")
	}
	if found, err := followers.Clients(t.Context()); err == nil || !strings.Contains(err.Error(), replica.Addr) || len(found) != 0 {
		t.Errorf("refused by the replica: %v, %v", found, err)
	}
	allow(replica.Addr, "shop")
	var before rueidis.Client
	for range 2 {
		found, err := followers.Clients(t.Context())
		if err != nil || len(found) != 1 || found[replica.Addr] == nil {
			t.Fatalf("replicas are %v, %v; want %s", found, err, replica.Addr)
		}
		if before != nil && found[replica.Addr] != before {
			t.Error("connected a second time")
		}
		before = found[replica.Addr]
	}
	who, err := before.Do(t.Context(), before.B().AclWhoami().Build()).ToString()
	if err != nil || who != "shop" {
		t.Errorf("connected as %q, %v", who, err)
	}
	followers.Close()
	if err := before.Do(t.Context(), before.B().Ping().Build()).Error(); !errors.Is(err, rueidis.ErrClosing) {
		t.Errorf("a replica that nobody follows is still connected: %v", err)
	}
}

// A server is the primary if most Sentinels say so, whatever the others say, and whether or not they answer.
func TestCheckPrimary(t *testing.T) {
	t.Parallel()
	primary, other := servicetest.Redis(t), servicetest.Redis(t)
	sentinels := servicetest.Sentinels(t, primary, 0, time.Minute)
	cfg := redis.Config{SentinelAddrs: sentinels.Addrs, SentinelMaster: sentinels.Master}
	check := func(addr string, said ...string) {
		t.Helper()
		err := cfg.CheckPrimary(t.Context(), addr)
		if (err == nil) != (len(said) == 0) {
			t.Errorf("%s: %v", addr, err)
		}
		for _, text := range said {
			if err != nil && !strings.Contains(err.Error(), text) {
				t.Errorf("%v lacks %q", err, text)
			}
		}
	}
	watch := func(sentinel string, server *local.Redis) {
		t.Helper()
		client, err := cfg.Sentinel(sentinel)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		host, port, _ := strings.Cut(server.Addr, ":")
		for _, words := range [][]string{{"REMOVE", cfg.SentinelMaster}, {"MONITOR", cfg.SentinelMaster, host, port, "3"}} {
			if err := client.Do(t.Context(), client.B().Arbitrary("SENTINEL").Args(words...).Build()).Error(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check(primary.Addr)
	check(other.Addr, "0 of 3 Sentinels name "+other.Addr, "it takes 2", "one names "+primary.Addr)

	watch(sentinels.Addrs[0], other) // as one that has not heard of a failover
	check(primary.Addr)
	check(other.Addr, "1 of 3 Sentinels name "+other.Addr)

	if err := sentinels.Nodes[2].Kill(); err != nil {
		t.Fatal(err)
	}
	check(primary.Addr, "1 of 3 Sentinels name "+primary.Addr, "one names "+other.Addr, "ask the Sentinel "+sentinels.Addrs[2]+" for the primary")

	cfg.SentinelAddrs = sentinels.Addrs[:1]
	check(primary.Addr) // a client by a single Sentinel has nobody else to ask
}
