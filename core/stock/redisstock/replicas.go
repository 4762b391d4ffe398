package redisstock

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// replicaLagMax is for how many seconds a replica that keeps up may not have been heard of. Each reports every
// second; a full resynchronization of others can hold it up.
const replicaLagMax = 10

// KeptUp is how many replicas keep up with a primary, as it tells in its answer to INFO: they are online and
// were heard of not long ago. Whether one has a write is told by a wait alone.
func KeptUp(info string) int {
	n := 0
	for line := range strings.Lines(info) {
		name, fields, _ := strings.Cut(strings.TrimSpace(line), ":")
		number, isReplica := strings.CutPrefix(name, "slave")
		if _, err := strconv.Atoi(number); !isReplica || err != nil {
			continue
		}
		online, lag := false, replicaLagMax+1
		for field := range strings.SplitSeq(fields, ",") {
			switch key, value, _ := strings.Cut(field, "="); key {
			case "state":
				online = value == "online"
			case "lag":
				if seconds, err := strconv.Atoi(value); err == nil {
					lag = seconds
				}
			}
		}
		if online && lag <= replicaLagMax {
			n++
		}
	}
	return n
}

// ReplicaWarning is what a person should know who sets the acknowledge level replica: which primaries have no
// replica that keeps up, and what that means. It is empty if each has one.
func (s *Store) ReplicaWarning(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	primaries, err := primariesOf(ctx, s.client, len(s.shards))
	if err != nil {
		return "", wrap("look for replicas", err)
	}
	var alone []string
	for _, p := range primaries {
		info, err := p.client.Do(ctx, p.client.B().Info().Section("replication").Build()).ToString()
		if err != nil {
			return "", wrap("look for replicas", err)
		}
		if KeptUp(info) == 0 {
			alone = append(alone, p.String())
		}
	}
	if len(alone) == 0 {
		return "", nil
	}
	return fmt.Sprintf("no replica keeps up with %s: at the acknowledge level replica nothing is sold there until one does",
		strings.Join(alone, ", ")), nil
}
