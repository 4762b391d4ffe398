package examine_test

import (
	"strings"
	"testing"
	"time"

	"sluice/core/examine"
	"sluice/core/stock/redisstock"
)

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	for skew, want := range map[time.Duration]bool{0: false, 500 * time.Millisecond: false, -500 * time.Millisecond: false, 501 * time.Millisecond: true, -time.Minute: true} {
		const took = 100 * time.Millisecond
		if f, wrong := examine.Clock(now.Add(took/2+skew), now, took); wrong != want || wrong && !strings.Contains(f.Found, skew.String()) {
			t.Errorf("%v apart: %v, %q", skew, wrong, f.Found)
		}
	}
}

func TestOutboxAge(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	stats := []redisstock.OutboxStat{{}, {Entries: 2, OldestMS: now.Add(-61 * time.Second).UnixMilli()}, {Entries: 5, OldestMS: now.UnixMilli()}}
	sum := redisstock.SumOutboxes(stats)
	if age, late := examine.OutboxAge(sum, now); !late || age != 61*time.Second || sum.Entries != 7 || sum.Fullest != 5 {
		t.Errorf("%+v: %v, %v", sum, age, late)
	}
	for _, few := range [][]redisstock.OutboxStat{stats[:1], stats[2:]} {
		if age, late := examine.OutboxAge(redisstock.SumOutboxes(few), now); late || age != 0 {
			t.Errorf("%+v: %v, %v", few, age, late)
		}
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	for fsync, want := range map[string]string{"always": "loses nothing", "everysec": "the last second", "no": ""} {
		got := examine.Crash(map[string]string{"appendonly": "yes", "appendfsync": fsync})
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("appendfsync %s: %q", fsync, got)
		}
		if got := examine.Crash(map[string]string{"appendonly": "no", "appendfsync": fsync}); got != "" {
			t.Errorf("without a file: %q", got)
		}
	}
	for limit, want := range map[string]bool{"0": true, "1000": false, "": false} {
		if _, wrong := examine.Memory(map[string]string{"maxmemory": limit}); wrong != want {
			t.Errorf("maxmemory %q: %v", limit, wrong)
		}
	}
	for _, c := range []struct {
		cluster, whole string
		wrong          bool
	}{{"yes", "yes", true}, {"yes", "no", false}, {"no", "yes", false}, {"", "", false}} {
		if _, wrong := examine.Coverage(map[string]string{"cluster-enabled": c.cluster, "cluster-require-full-coverage": c.whole}); wrong != c.wrong {
			t.Errorf("%+v: %v", c, wrong)
		}
	}
	for replicas, want := range map[int]bool{0: false, 1: false, 2: true} {
		if _, wrong := examine.Isolation(map[string]string{"min-replicas-to-write": "0"}, replicas); wrong != want {
			t.Errorf("%d replicas: %v", replicas, wrong)
		}
	}
	if _, wrong := examine.Isolation(map[string]string{"min-replicas-to-write": "1"}, 2); wrong {
		t.Error("a primary that stops when it is alone is found wrong")
	}
}
