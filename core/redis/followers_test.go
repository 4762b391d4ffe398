package redis_test

import (
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
}
