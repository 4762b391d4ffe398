package redisstock_test

import (
	"testing"

	"sluice/core/stock/redisstock"
)

func TestAbout(t *testing.T) {
	t.Parallel()
	f := func(info redisstock.About, name string, recent, primary bool) {
		t.Helper()
		if got := info.Name(); got != name {
			t.Errorf("%q: name %q, want %q", info, got, name)
		}
		if info.Recent() != recent || info.Primary() != primary {
			t.Errorf("%q: recent %v, primary %v, want %v, %v", info, info.Recent(), info.Primary(), recent, primary)
		}
	}
	f("# Server\r\nredis_version:7.0.15\r\nrole:master\r\n", "Redis 7.0.15", true, true)
	f("# Server\r\nredis_version:6.2.14\r\nrole:slave\r\n", "Redis 6.2.14", false, false)
	f("# Server\r\nredis_version:10.0.0\r\nold_redis_version:6.0.0\r\nrole:master\r\n", "Redis 10.0.0", true, true)
	f("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.8\r\nrole:master\r\n", "Valkey 8.1.8", true, true)
	f("", "Redis ", false, false)
	f("redis_version:seven\r\n", "Redis seven", false, false)
}
