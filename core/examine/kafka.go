package examine

import (
	"fmt"

	"sluice/core/outbox"
	"sluice/core/telemetry"
)

// Copies judges how many copies of an event there are, and how many of them must have it before it counts. It leaves the
// faults of the topic alone: they are in its condition. safe reports whether the loss of one disk loses no event that counts.
func Copies(c *outbox.Condition) (faults []telemetry.Fault, safe bool) {
	fault := func(found, do string) {
		faults = append(faults, telemetry.Fault{Word: "copies", Found: found, Do: do})
	}
	if c.Lagging > 0 {
		fault(fmt.Sprintf("%d partitions have copies that lag", c.Lagging), "see whether all brokers run")
	}
	const more = "on three brokers or more, run it with 3 copies (--kafka-replication)"
	switch {
	case c.InSyncMin == 0:
		fault("cannot tell min.insync.replicas", "let the user describe the topic")
	case len(c.Faults) > 0:
	case c.Copies < 2:
		fault("one copy only: a lost disk loses what MySQL does not have yet", more)
	case c.InSyncMin < 2:
		fault(fmt.Sprintf("one of %d copies is enough for an event to count: while the other lags, a lost disk loses what MySQL does not have yet", c.Copies), more)
	default:
		safe = true
	}
	return faults, safe
}
