// Package examine judges what somebody has read from the servers of a deployment: how far their clocks may differ,
// how long events may wait, how many copies there are, who takes over, which settings are a risk. It asks no server, and
// prints nothing.
package examine

import (
	"fmt"
	"time"

	"sluice/core/stock/redisstock"
	"sluice/core/telemetry"
)

const (
	// ClockSkewMax is how far the clock of a server may differ from that of a machine that asks it.
	ClockSkewMax = 500 * time.Millisecond
	// OutboxAgeMax is how long an entry of an outbox may wait for MySQL. If one waits longer, the persisters do not
	// keep up.
	OutboxAgeMax = time.Minute
)

// Clock judges the clock of a server. It was asked at the time asked, gave its time, and answered within took.
func Clock(server, asked time.Time, took time.Duration) (f telemetry.Fault, wrong bool) {
	skew := server.Sub(asked.Add(took / 2))
	if skew.Abs() <= ClockSkewMax {
		return f, false
	}
	return telemetry.Fault{
		Word: "clock", Found: fmt.Sprintf("its clock differs from this machine's by %v", skew.Round(time.Millisecond)),
		Do: "let both follow one time server: sale windows follow Redis, tokens the edges",
	}, true
}

// OutboxAge returns how long the oldest entry of the outboxes has waited for MySQL, and whether that is too long.
func OutboxAge(sum redisstock.OutboxSum, now time.Time) (age time.Duration, late bool) {
	if sum.OldestMS == 0 {
		return 0, false
	}
	age = now.Sub(time.UnixMilli(sum.OldestMS)).Round(time.Second)
	return age, age > OutboxAgeMax
}

// Crash says what a crash of a Redis with these settings costs. It is empty if the faults of the server already say
// so.
func Crash(settings map[string]string) string {
	switch {
	case settings["appendonly"] != "yes":
	case settings["appendfsync"] == "always":
		return "appendfsync always: a crash loses nothing"
	case settings["appendfsync"] == "everysec":
		return "appendfsync everysec: a crash can lose the last second; edges bring back what MySQL and Kafka have of it, and nothing is lost at the acknowledge level log"
	}
	return ""
}

// Memory judges how the memory of a Redis is limited by its settings.
func Memory(settings map[string]string) (f telemetry.Fault, wrong bool) {
	return telemetry.Fault{
		Word: "maxmemory", Found: "maxmemory is not set: the system may kill Redis when memory is full",
		Do: "set maxmemory below what the machine has",
	}, settings["maxmemory"] == "0"
}

// Coverage judges whether the nodes of a cluster go on when one of them is given up that nobody replaces.
func Coverage(settings map[string]string) (f telemetry.Fault, wrong bool) {
	return telemetry.Fault{
		Word: "coverage", Found: "cluster-require-full-coverage yes: when one node is lost, all of the cluster sells nothing",
		Do: "set cluster-require-full-coverage no on each node",
	}, settings["cluster-enabled"] == "yes" && settings["cluster-require-full-coverage"] == "yes"
}

// Isolation judges whether a primary that is cut off from its replicas and from the Sentinels goes on taking writes. With
// one replica it has to, because the loss of that replica would stop the sale.
func Isolation(settings map[string]string, replicas int) (f telemetry.Fault, wrong bool) {
	return telemetry.Fault{
		Word: "isolation", Found: "min-replicas-to-write 0: cut off from its replicas it goes on selling, beside the one that is promoted",
		Do: "set min-replicas-to-write 1 and min-replicas-max-lag 10, on the replicas too",
	}, replicas > 1 && settings["min-replicas-to-write"] == "0"
}
