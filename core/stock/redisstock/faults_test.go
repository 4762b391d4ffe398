package redisstock

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaultsOf(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"appendonly": "yes", "appendfsync": "everysec", "maxmemory": "1000", "maxmemory-policy": "noeviction",
		"save": "", "stop-writes-on-bgsave-error": "yes",
	}
	const info = "# Memory\r\nused_memory:100\r\naof_last_write_status:ok\r\nrdb_last_bgsave_status:ok\r\n"
	const failed = "used_memory:100\r\nrdb_last_bgsave_status:err\r\n"
	for _, c := range []struct {
		name, info string
		settings   map[string]string // that differ from good
		want       []string
	}{
		{"good", info, nil, nil},
		{"no file", info, map[string]string{"appendonly": "no", "appendfsync": "no"}, []string{"persistence"}},
		{"no sync", info, map[string]string{"appendfsync": "no"}, []string{"fsync"}},
		{"eviction", info, map[string]string{"maxmemory-policy": "volatile-lru"}, []string{"eviction"}},
		{"the file cannot be written", "used_memory:1\r\naof_last_write_status:err\r\n", nil, []string{"write_error"}},
		{"no snapshot, which nobody waits for", failed, nil, nil},
		{"no snapshot", failed, map[string]string{"save": "3600 1"}, []string{"write_error"}},
		{"no snapshot, and writes go on", failed, map[string]string{"save": "3600 1", "stop-writes-on-bgsave-error": "no"}, nil},
		{"nearly full", "used_memory:950\r\n", nil, []string{"memory"}},
		{"not full yet", "used_memory:949\r\n", nil, nil},
		{"without a limit", "used_memory:950\r\n", map[string]string{"maxmemory": "0"}, nil},
	} {
		settings := map[string]string{}
		for name, value := range good {
			settings[name] = value
		}
		for name, value := range c.settings {
			settings[name] = value
		}
		var got []string
		for _, f := range faultsOf(settings, About(c.info)) {
			got = append(got, f.Word)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}
