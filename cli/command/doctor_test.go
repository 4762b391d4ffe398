package command

import "testing"

// A Valkey names the Redis that it can stand in for, too.
func TestRedisName(t *testing.T) {
	t.Parallel()
	f := func(info, want string) {
		t.Helper()
		if got := redisName(info); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f("# Server\r\nredis_version:7.0.15\r\n", "Redis 7.0.15")
	f("# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.8\r\n", "Valkey 8.1.8")
}
