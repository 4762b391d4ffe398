package local_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

// TestRedisIsWhatTheEnvironmentNames keeps the tests on Valkey from passing on another server.
func TestRedisIsWhatTheEnvironmentNames(t *testing.T) {
	t.Parallel()
	name, minor, _ := strings.Cut(os.Getenv(local.RedisServerEnv), "-")
	if name != "valkey" {
		return // whichever server is installed
	}
	versions, err := os.ReadFile("../../docs/versions.md")
	if err != nil {
		t.Fatal(err)
	}
	client := redisClient(t, servicetest.Redis(t).Addr)
	info, err := client.Do(t.Context(), client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(info, "valkey_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	if !strings.HasPrefix(version, minor+".") {
		t.Errorf("the server is Valkey %q, want %s", version, minor)
	}
	if !strings.Contains(string(versions), version) {
		t.Errorf("docs/versions.md does not name Valkey %s", version)
	}
}

func TestNamedRedisIsMissing(t *testing.T) {
	t.Setenv(local.RedisServerEnv, "no-such-server")
	var missing *local.MissingError
	if _, err := local.FindRedis(t.Context()); !errors.As(err, &missing) || !strings.Contains(err.Error(), local.RedisServerEnv) {
		t.Errorf("%v, want one that names %s", err, local.RedisServerEnv)
	}
}
