package edge_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/local/servicetest"
)

// TestHealthSeesSettings changes settings of Redis and MySQL under an edge: it sells on, and health and metrics tell.
func TestHealthSeesSettings(t *testing.T) {
	t.Parallel()
	redis := servicetest.Redis(t)
	mariadb, dsn := servicetest.PrivateDatabase(t)
	s := newStack(t, redis.Addr)
	s.cfg.MySQL.DSN = config.Secret(dsn)
	migrate(t, dsn)
	s.start()
	s.until(20*time.Second, "all is well", func() bool {
		_, body := s.ready()
		return strings.HasPrefix(body, `{"status":"ok"`)
	})
	client := s.redis()
	set := func(name, value string) {
		t.Helper()
		if err := client.Do(t.Context(), client.B().ConfigSet().ParameterValue().ParameterValue(name, value).Build()).Error(); err != nil {
			t.Fatal(err)
		}
	}
	degraded := func(fault, found string) {
		t.Helper()
		s.until(30*time.Second, fault, func() bool {
			status, body := s.ready()
			_, page := s.ops("/metrics")
			return status == http.StatusOK && strings.HasPrefix(body, `{"status":"degraded"`) && strings.Contains(body, found) &&
				strings.Contains(page, "sluice_core_server_faults{"+fault+"} 1\n")
		})
	}
	set("appendonly", "no")
	degraded(`server="redis",fault="persistence"`, "appendonly no")
	set("maxmemory", "1")
	degraded(`server="redis",fault="memory"`, "of 1 bytes of maxmemory")
	set("maxmemory", "0") // before the policy, which would drop all stock, and so shut Redis
	set("maxmemory-policy", "allkeys-lru")
	degraded(`server="redis",fault="eviction"`, "maxmemory-policy allkeys-lru")
	set("appendonly", "yes")
	set("maxmemory-policy", "noeviction")
	if err := mariadb.SetGlobal(t.Context(), "read_only = 1"); err != nil {
		t.Fatal(err)
	}
	degraded(`server="mysql",fault="read_only"`, "read_only is on")
	if err := mariadb.SetGlobal(t.Context(), "read_only = 0"); err != nil {
		t.Fatal(err)
	}
	s.until(30*time.Second, "all is well again", func() bool {
		_, body := s.ready()
		return strings.HasPrefix(body, `{"status":"ok"`)
	})
	servicetest.GrowTopic(t, s.cfg.Kafka.Brokers, s.cfg.Kafka.Topic, int32(s.cfg.Kafka.Partitions+2))
	degraded(`server="kafka",fault="partitions"`, "and no persister starts any more: set --kafka-partitions to ")
}
