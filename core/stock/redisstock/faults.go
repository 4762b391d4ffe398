package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// The settings without which Open does not let a server sell.
const (
	FaultPersistence = "persistence"
	FaultEviction    = "eviction"
)

// FaultWords are the words that Faults can tell.
var FaultWords = []string{FaultPersistence, FaultEviction, "fsync", "write_error", "memory", "replica"}

// memoryMax is the share of maxmemory from which a server counts as full: at all of it reserves are refused.
const memoryMax = 0.95

// Faults asks every primary what it is set to and how it is, and names what can lose stock or stop selling.
func (s *Store) Faults(ctx context.Context) ([]telemetry.Fault, error) {
	primaries, err := primariesOf(ctx, s.client, len(s.shards))
	if err != nil {
		return nil, wrap("look for faults", err)
	}
	var all []telemetry.Fault
	var failures []error
	for _, p := range primaries {
		faults, err := ServerFaults(ctx, p.client)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p, err))
			continue
		}
		faults = append(faults, s.replicaFault(ctx, p)...)
		for _, f := range faults {
			f.Found = p.String() + ": " + f.Found
			all = append(all, f)
		}
	}
	return all, errors.Join(failures...)
}

// replicaFault tells, where the level of the deployment is replica, that a primary has none that keeps up.
func (s *Store) replicaFault(ctx context.Context, p *primary) []telemetry.Fault {
	if s.cfg.Ack != stock.AckReplica || len(p.partitions) == 0 {
		return nil
	}
	n, err := s.nodes.of(ctx, s, p.partitions[0])
	if err == nil && s.hasReplica(ctx, n, p.partitions[0]) {
		return nil
	}
	return []telemetry.Fault{{
		Word: "replica", Found: "no replica keeps up, and at the acknowledge level replica nothing is sold without one",
		Do: "see whether one is there, and its link",
	}}
}

// ServerFaults is Faults of one server, but for its replicas.
func ServerFaults(ctx context.Context, server rueidis.CoreClient) ([]telemetry.Fault, error) {
	answers := server.DoMulti(ctx,
		server.B().ConfigGet().Parameter("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save", "stop-writes-on-bgsave-error").Build(),
		server.B().Info().Section("memory", "persistence").Build())
	settings, err := answers[0].AsStrMap()
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	info, err := answers[1].ToString()
	if err != nil {
		return nil, fmt.Errorf("read condition: %w", err)
	}
	return faultsOf(settings, About(info)), nil
}

func faultsOf(settings map[string]string, about About) (faults []telemetry.Fault) {
	fault := func(word, found, do string) {
		faults = append(faults, telemetry.Fault{Word: word, Found: found, Do: do})
	}
	switch fsync := settings["appendfsync"]; {
	case settings["appendonly"] != "yes":
		fault(FaultPersistence, "appendonly "+settings["appendonly"]+": a restart loses all stock", "set appendonly yes")
	case fsync != "always" && fsync != "everysec":
		fault("fsync", "appendfsync "+fsync+": a crash loses whatever the system has not written yet", "set appendfsync everysec or always")
	}
	if policy := settings["maxmemory-policy"]; policy != "noeviction" {
		fault(FaultEviction, "maxmemory-policy "+policy+": stock may be dropped when memory is full", "set maxmemory-policy noeviction")
	}
	snapshots := settings["save"] != "" && settings["stop-writes-on-bgsave-error"] == "yes"
	if about.Field("aof_last_write_status") == "err" || snapshots && about.Field("rdb_last_bgsave_status") == "err" {
		fault("write_error", "it could not write its files, and refuses all writes (MISCONF)", "see its log: mostly its disk is full")
	}
	used, _ := strconv.ParseFloat(about.Field("used_memory"), 64)
	limit, _ := strconv.ParseFloat(settings["maxmemory"], 64)
	if limit > 0 && used >= memoryMax*limit {
		fault("memory", fmt.Sprintf("it uses %.0f of %.0f bytes of maxmemory, and refuses to take units when it is full", used, limit),
			"raise maxmemory, or let persisters catch up: what is in MySQL leaves the outboxes")
	}
	return faults
}
