package redisstock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// Faults of the settings that Open demands of a server.
const (
	FaultPersistence = "persistence"
	FaultEviction    = "eviction"

	// The server does not tell all settings.
	faultUnverified = "unverified"
)

// FaultWords are the words of the faults that Faults can return.
var FaultWords = []string{FaultPersistence, FaultEviction, "fsync", "write_error", "memory", "replica", faultUnverified}

// memoryMax is the share of maxmemory from which a server counts as full. At maxmemory it refuses reserves.
const memoryMax = 0.95

// Faults asks every primary for its settings and its condition. It returns the faults that can lose stock or stop
// selling.
func (s *Store) Faults(ctx context.Context) ([]telemetry.Fault, error) {
	primaries, err := primariesOf(ctx, s.client, len(s.partitions))
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

// replicaFault returns a fault if the deployment's level is replica and a primary has no replica that keeps up.
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

// readSettings reads the settings that matter. Managed services may deny CONFIG, or not have it. Then readSettings takes
// the settings that Open demands from INFO, and unverified says why it could not read the others.
func readSettings(ctx context.Context, server rueidis.CoreClient) (settings map[string]string, about About, unverified, err error) {
	answers := server.DoMulti(ctx,
		server.B().ConfigGet().Parameter("appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "save", "stop-writes-on-bgsave-error").Build(),
		server.B().Info().Section("memory", "persistence").Build())
	info, err := answers[1].ToString()
	if err != nil {
		return nil, about, nil, fmt.Errorf("read condition by INFO, which the user must be allowed: %w", err)
	}
	about = About(info)
	settings, err = answers[0].AsStrMap()
	if _, refused := rueidis.IsRedisErr(err); err == nil && len(settings) > 0 || err != nil && !refused {
		return settings, about, nil, err
	}
	onOff := map[string]string{"0": "no", "1": "yes"}
	return map[string]string{
		"appendonly": onOff[about.Field("aof_enabled")], "maxmemory": about.Field("maxmemory"), "maxmemory-policy": about.Field("maxmemory_policy"),
	}, about, cmp.Or(err, errNoSettings), nil
}

// errNoSettings means that a server answers CONFIG GET with nothing.
var errNoSettings = errors.New("it tells none")

// ServerFaults is Faults for one server, without its replicas.
func ServerFaults(ctx context.Context, server rueidis.CoreClient) ([]telemetry.Fault, error) {
	settings, about, unverified, err := readSettings(ctx, server)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	faults := faultsOf(settings, about)
	if unverified != nil {
		faults = append(faults, telemetry.Fault{
			Word: faultUnverified, Found: fmt.Sprintf("CONFIG GET is not to be had (%v): appendfsync, save and stop-writes-on-bgsave-error are unverified", unverified),
			Do: "see that appendfsync is everysec or always, and allow the user config|get where the server has it",
		})
	}
	return faults, nil
}

func faultsOf(settings map[string]string, about About) (faults []telemetry.Fault) {
	fault := func(word, found, do string) {
		faults = append(faults, telemetry.Fault{Word: word, Found: found, Do: do})
	}
	fsync, verified := settings["appendfsync"]
	switch {
	case settings["appendonly"] != "yes":
		fault(FaultPersistence, "appendonly "+settings["appendonly"]+": a restart loses all stock", "set appendonly yes")
	case verified && fsync != "always" && fsync != "everysec":
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
