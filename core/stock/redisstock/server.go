package redisstock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
	"sluice/core/telemetry"
)

// VersionMin is the first version of Redis whose scripts have flags. A Valkey names the Redis that it stands in for.
const VersionMin = 7

// About is a server's answer to INFO.
type About string

// Field is the value of a line, or empty.
func (a About) Field(name string) string {
	for line := range strings.Lines(string(a)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Name returns the server's name for itself, and its version.
func (a About) Name() string {
	if version := a.Field("valkey_version"); version != "" {
		return "Valkey " + version
	}
	return "Redis " + a.version()
}

func (a About) version() string { return a.Field("redis_version") }

// Recent reports whether the server runs the scripts.
func (a About) Recent() bool {
	major, _, _ := strings.Cut(a.version(), ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= VersionMin
}

// Role returns master for a primary.
func (a About) Role() string { return a.Field("role") }

// roleMaster is how Redis calls the role of a primary.
const roleMaster = "master"

// Primary reports whether the server takes writes.
func (a About) Primary() bool { return a.Role() == roleMaster }

// Faults of the settings that Open demands of a server.
const (
	FaultPersistence = "persistence"
	FaultEviction    = "eviction"

	// FaultUnverified: the server does not tell all settings.
	FaultUnverified = "unverified"
)

// FaultWords are the words of the faults that Faults can return.
var FaultWords = []string{FaultPersistence, FaultEviction, "fsync", "write_error", "memory", "replica", FaultUnverified}

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
			Word: FaultUnverified, Found: fmt.Sprintf("CONFIG GET is not to be had (%v): appendfsync, save and stop-writes-on-bgsave-error are unverified", unverified),
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

// ErrDenied means that the user of Redis may not run all commands of the scripts, or that the server has not all of them by
// their names (rename-command).
var ErrDenied = errors.New("the user of redis has too few rights")

// scriptCommands has the commands that the scripts use, each with its arguments after the key, and those by which every
// role runs scripts, and reads outboxes and cells and deletes entries. TIME, which has no key, is asked for beside them.
var scriptCommands = []string{
	"DEL", "EVALSHA 0", "EXISTS", "GET", "HDEL f", "HINCRBY f 1", "HLEN", "HMGET f", "HSET f v", "SET v", "XADD * f v", "XLEN",
	"HSCAN 0", "XDEL 1-1", "XRANGE - +", // by programs
	"SADD m", "SCARD", "SMISMEMBER m", "ZADD 1 m", "ZCARD", "ZCOUNT 0 1", "ZRANGE 0 1", "ZREM m",
}

// checkRights fails with ErrDenied if the user may not run the commands of the scripts on the keys of a partition. Callers
// ask before any script runs, because Redis breaks a script off at a denied command and keeps what it has written
// before.
func checkRights(ctx context.Context, client rueidis.CoreClient, u upkeep, partition int) error {
	k := keysOf(partition)
	all := []string{k.mark, k.cells, k.res, k.due, k.gone, k.outbox, k.meta, k.relay, k.wait, k.restorer, k.baskets, k.undecided, k.buyers(0), k.registered(0), k.whole}
	denied, err := client.Do(ctx, client.B().Eval().Script(u.may).Numkeys(int64(len(all))).Key(all...).
		Arg(scriptCommands...).Build()).AsStrSlice()
	refusal, refused := rueidis.IsRedisErr(err)
	switch {
	case refused && strings.HasPrefix(refusal.Error(), "unknown command"):
		return fmt.Errorf("%w: the server does not know EVAL: take rename-command out of its settings", ErrDenied)
	case refused && strings.HasPrefix(refusal.Error(), "NOPERM"):
		return fmt.Errorf("%w: %w: docs/security.md has the whole list", ErrDenied, err)
	case err != nil:
		return fmt.Errorf("ask for the rights of the user: %w", err)
	case len(denied) > 0:
		return fmt.Errorf("%w: it must not run %s on keys {p*, or the server has renamed that: docs/security.md has the whole list", ErrDenied, strings.Join(denied, ", "))
	}
	return nil
}

// checkRights asks every server that answers.
func (s *Store) checkRights(ctx context.Context) error {
	asked := map[string]bool{}
	for p := range s.partitions {
		addr, err := s.nodes.addr(ctx, s, p)
		if err != nil || asked[addr] {
			continue
		}
		asked[addr] = true
		if err := checkRights(ctx, s.client, s.upkeep, p); errors.Is(err, ErrDenied) {
			return err
		}
	}
	return nil
}
