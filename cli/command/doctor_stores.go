package command

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/db"
	"sluice/core/deployment"
	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/examine"
	"sluice/core/ledger"
	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
)

// redis checks the servers themselves.
func (d *Doctor) redis(ctx context.Context, e *examination) {
	replicas := 0
	if d.Redis.BySentinel() {
		replicas = d.sentinels(ctx, e)
	}
	client, err := d.Redis.Client()
	if err != nil {
		e.fail("Redis", err.Error(), cmp.Or(adviceOnRedis(err), adviceOn("Redis", err)))
		return
	}
	defer client.Close()
	for addr, node := range client.Nodes() {
		redisNode(ctx, e, "Redis "+addr, node, client.Mode() == rueidis.ClientModeCluster)
		isolation(ctx, e, "Redis "+addr, node, replicas)
	}
	store, err := deployment.Stock(client, d.Redis, d.Stock, redisstock.Config{})
	if err != nil {
		e.fail("Redis", err.Error(), "correct the settings")
		return
	}
	redisOutbox(ctx, e, store)
}

// redisNode checks one server. It may be a replica if replicas take over one day.
func redisNode(ctx context.Context, e *examination, about string, node rueidis.Client, mayBeReplica bool) {
	info, err := node.Do(ctx, node.B().Info().Build()).ToString()
	if err != nil {
		e.fail(about, err.Error(), "let the user run INFO, and see whether the server answers")
		return
	}
	server := redisstock.About(info)
	if !server.Recent() {
		e.fail(about, fmt.Sprintf("%s has no scripts with flags", server.Name()), fmt.Sprintf("run Redis %d or newer, or Valkey", redisstock.VersionMin))
		return
	}
	e.ok(about, "%s answers", server.Name())
	if server.Primary() {
		redisReplicas(e, about, info)
	} else if !mayBeReplica {
		e.fail(about, "it is a replica, which takes no writes", "give the primary's address in --redis-addr")
	}
	redisSettings(ctx, e, about, node)
	redisClock(ctx, e, about, node)
}

// redisReplicas says how many replicas keep up with a primary. It is no fault if none does, because a deployment may need
// none.
func redisReplicas(e *examination, about, info string) {
	if n := redisstock.KeptUp(info); n > 0 {
		e.ok(about, "replicas that keep up: %d", n)
	} else {
		e.ok(about, "no replica keeps up with it: at the acknowledge level replica nothing is sold there")
	}
}

func redisSettings(ctx context.Context, e *examination, about string, node rueidis.Client) {
	faults, err := redisstock.ServerFaults(ctx, node)
	if err != nil {
		e.fail(about, err.Error(), "let the user run INFO, and see whether the server answers")
		return
	}
	for _, f := range faults {
		if f.Word == redisstock.FaultUnverified { // a managed service denies it for good, and INFO tells the worst
			e.warn(about, f.Found, f.Do)
		} else {
			e.fail(about, f.Found, f.Do)
		}
	}
	settings, err := node.Do(ctx, node.B().ConfigGet().Parameter("appendonly", "appendfsync", "maxmemory", "cluster-enabled", "cluster-require-full-coverage").Build()).AsStrMap()
	if err != nil {
		return // the faults say what is unverified
	}
	if cost := examine.Crash(settings); cost != "" {
		e.ok(about, "%s", cost)
	}
	for _, judge := range []func(map[string]string) (telemetry.Fault, bool){examine.Memory, examine.Coverage} {
		if f, wrong := judge(settings); wrong {
			e.warn(about, f.Found, f.Do)
		}
	}
}

func redisClock(ctx context.Context, e *examination, about string, node rueidis.Client) {
	before := time.Now()
	parts, err := node.Do(ctx, node.B().Time().Build()).AsIntSlice()
	took := time.Since(before)
	if err != nil || len(parts) != 2 {
		e.fail(about, fmt.Sprintf("TIME: %v", err), "see whether the server answers")
		return
	}
	if f, wrong := examine.Clock(time.Unix(parts[0], parts[1]*1000), before, took); wrong {
		e.warn(about, f.Found, f.Do)
		return
	}
	e.ok(about, "its clock and this machine's are less than %v apart", examine.ClockSkewMax)
}

func redisOutbox(ctx context.Context, e *examination, store *redisstock.Store) {
	stats, err := store.OutboxStats(ctx)
	if err != nil {
		e.fail("outbox", err.Error(), "see whether Redis answers in time (--redis-call-timeout)")
		return
	}
	sum := redisstock.SumOutboxes(stats)
	if age, late := examine.OutboxAge(sum, time.Now()); late {
		e.warn("outbox", fmt.Sprintf("%s entries wait for MySQL, the oldest for %v", number(sum.Entries), age), "see whether persisters run and keep up")
		return
	}
	e.ok("outbox", "%s entries wait for MySQL", number(sum.Entries))
}

// mysql checks the database.
func (d *Doctor) mysql(ctx context.Context, e *examination) {
	mysql, err := d.MySQL.OpenUnchecked()
	if err != nil {
		e.fail("MySQL", err.Error(), "correct SLUICE_MYSQL_DSN")
		return
	}
	defer mysql.Close()
	var version string
	if err := mysql.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		e.fail("MySQL", err.Error(), cmp.Or(adviceOnMySQL(err), adviceOn("MySQL", err)))
		return
	}
	e.ok("MySQL", "version %s answers", version)
	faults, err := db.Faults(ctx, mysql)
	if err != nil {
		e.fail("MySQL settings", err.Error(), "see whether the server answers")
	}
	for _, f := range faults {
		e.fail("MySQL "+strings.ReplaceAll(f.Word, "_", " "), f.Found, f.Do)
	}
	if err == nil && db.Durability(faults) == nil {
		e.ok("MySQL durability", "a commit survives a crash")
	}
	for _, owner := range Schemas() {
		if err := owner.Check(ctx, mysql); err != nil {
			e.fail("MySQL schema", err.Error(), cmp.Or(adviceOnMySQL(err), "run sluice migrate"))
			return
		}
		e.ok("MySQL schema", "version %d of %s, or newer", owner.Version(), owner.Name)
	}
	deadLetters(ctx, e, mysql)
}

// deadLetters looks for unresolved dead letters, and says what they hold up.
func deadLetters(ctx context.Context, e *examination, mysql *sql.DB) {
	const about = "dead letters"
	counts, err := ledger.New(mysql, nil).Unresolved(ctx)
	if err != nil {
		e.fail(about, err.Error(), cmp.Or(adviceOnMySQL(err), "see whether the server answers"))
		return
	}
	unknown, others := counts[ledger.ReasonVersion], int64(0)
	for reason, n := range counts {
		if reason != ledger.ReasonVersion {
			others += n
		}
	}
	if unknown > 0 {
		e.fail(about, number(unknown)+" are of a version that no persister here knows, and may be of any SKU: Redis cannot be vetted, so what is shut stays shut, and no SKU can be added",
			evidence.OnVersion)
	}
	if others > 0 {
		e.warn(about, number(others)+" events could not be applied",
			"see them with sluice deadletter list: each has its reason, and keeps its SKU's books from being complete. A Redis that lacks what one tells of stays shut there, and of a fork in any case, until sluice deadletter replay or resolve")
	}
	if unknown+others == 0 {
		e.ok(about, "none")
	}
}

// history compares Redis with everything that MySQL and Kafka know, as a vetting does.
func (d *Doctor) history(ctx context.Context, e *examination) {
	const about = "Redis vetting"
	if e.Status == checkFail {
		e.warn(about, "not done, because something above fails", "repair that first")
		return
	}
	o, err := d.Open(ctx)
	if err != nil {
		e.fail(about, err.Error(), "repair that first")
		return
	}
	defer o.Close() //nolint:errcheck // nothing was written
	report, causes, err := d.vetting(o).Inspect(ctx)
	if err != nil {
		do := "see whether all servers answer"
		if errors.Is(err, event.ErrVersion) {
			do = "start a persister, or look at the dead letters"
		}
		e.fail(about, err.Error(), do)
		return
	}
	for _, cause := range causes {
		e.fail(about, cause, d.wayOut(report.New || len(report.Lost) > 0 && report.Forked == 0))
	}
	switch {
	case len(causes) > 0:
	case report.New:
		e.ok(about, "Redis is empty: a new deployment")
	default:
		e.ok(about, "Redis is deployment %q with %d partitions, and behind in none of %s positions of SKUs", d.Stock.Deployment, d.Stock.Partitions, number(report.Positions))
	}
	switch {
	case len(causes) > 0 && 0 < report.Shut && report.Shut < d.Stock.Partitions:
		e.warn(about, fmt.Sprintf("%d of %d partitions are shut, and sell nothing; the others sell", report.Shut, d.Stock.Partitions), "repair what fails above")
	case len(causes) > 0:
	case report.Shut == d.Stock.Partitions:
		e.warn(about, "Redis is shut, and nothing is sold", "start an edge, or change stock: each opens Redis after vetting it")
	case report.Shut > 0:
		e.warn(about, fmt.Sprintf("%d of %d partitions are shut, and sell nothing", report.Shut, d.Stock.Partitions), "see why the edges do not open them: they log it")
	default:
		e.ok(about, "Redis is open: it has the data that were vetted")
	}
}

// wayOut says what to do about a Redis that vetting refuses.
func (d *Doctor) wayOut(lost bool) string {
	const open = "start an edge: it opens Redis once nothing speaks against it"
	switch {
	case !lost:
		return "mend this, or restore the data, and " + open
	case d.devDir != "":
		return "what MySQL and Kafka have is safe: sluice restore writes it into Redis. To begin anew without it, stop sluice dev, remove " + d.devDir + " and start it again"
	}
	return "look for the missing data on a replica or an old disk, and " + open + ". What MySQL and Kafka have is safe, and sluice restore writes it into partitions that hold nothing: docs/backup.md, When Redis has lost events, and docs/restore.md say how to go on"
}

// shutNamed is how many shut cells an examination names.
const shutNamed = 10

// shut looks for shut cells.
func (d *Doctor) shut(ctx context.Context, e *examination) {
	const about = "shut SKUs"
	o, err := d.Open(ctx)
	if err != nil {
		e.warn(about, "not looked for, because something above fails", "repair that first")
		return
	}
	defer o.Close() //nolint:errcheck // nothing was written
	found, err := reconcile.FindShut(ctx, o.Stock, shutNamed)
	if errors.Is(err, stock.ErrShut) {
		e.warn(about, "not known, as Redis does not have the data that were vetted", "see Redis vetting")
		return
	}
	if err != nil {
		e.fail(about, err.Error(), "see whether Redis answers in time (--redis-call-timeout)")
		return
	}
	if len(found.Partitions) > 0 {
		e.warn(about, "not known of "+stock.PartitionsText(found.Partitions)+", without the data that were vetted", "see Redis vetting")
	}
	if found.Total() == 0 {
		if len(found.Partitions) == 0 {
			e.ok(about, "none is fenced or breached")
		}
		return
	}
	for i := range found.Some {
		cell := &found.Some[i]
		do := fmt.Sprintf("see sluice stock show %d", cell.Cell.SKU)
		if cell.Cell.Pool != 0 {
			do += fmt.Sprintf(" --sale %d", cell.Cell.Pool)
		}
		e.fail(cellTitle(show.ID(cell.Cell.SKU), show.ID(cell.Cell.Pool)), shutText(cell.Shut()), do+": it puts Redis beside MySQL")
	}
	if found.Total() > shutNamed {
		e.fail(about, fmt.Sprintf("%s fenced and %s breached in all", number(found.Fenced), number(found.Breached)), "see sluice stock shut")
	}
}
