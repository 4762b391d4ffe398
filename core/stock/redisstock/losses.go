package redisstock

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// Losses says which partitions can only be restored as a whole, because they hold nothing or have lost a key.
type Losses struct {
	Bare  []int        // they hold no stock
	Torn  map[int]Torn // by partition
	Begun []int        // partitions that somebody has begun to restore, and not finished
	Other []string     // objections that no restore removes, to other partitions
	New   bool         // nobody knows of any stock: the deployment is new
}

// Torn says that a partition has lost a key, while the rest is there. It allows to empty the partition, until somebody has
// restored it.
type Torn struct {
	Lost     string // the key, in words
	Restored string // who had restored the partition last
}

// Partitions lists the partitions to restore, in their order.
func (l *Losses) Partitions(partitions int) (list []int) {
	which := make([]bool, partitions)
	for _, some := range [][]int{l.Bare, l.Begun} {
		for _, p := range some {
			which[p] = true
		}
	}
	for p := range which {
		if _, torn := l.Torn[p]; torn || which[p] {
			list = append(list, p)
		}
	}
	return list
}

// FindLosses compares Redis with MySQL and Kafka, and changes nothing. The error wraps ErrVetting if something speaks against
// this Redis as a whole, for example that it is another deployment's.
func FindLosses(ctx context.Context, client rueidis.Client, cfg OpenConfig) (Losses, error) {
	if err := cfg.Validate(); err != nil {
		return Losses{}, fmt.Errorf("configure inspection of redis: %w", err)
	}
	v, err := newVetting(client, cfg)
	if err != nil {
		return Losses{}, err
	}
	defer v.disconnect()
	if err := v.inspect(ctx); err != nil {
		return Losses{}, fmt.Errorf("inspect redis: %w", err)
	}
	if !v.sound {
		return Losses{}, fmt.Errorf("%w: %s", ErrVetting, strings.Join(v.causes, "; "))
	}
	return losses(&v.findings, &v.judgement), nil
}

// losses sorts what a vetting has found.
func losses(f *findings, j *judgement) Losses {
	l := Losses{Torn: map[int]Torn{}, New: j.missing && len(j.lostPartitions()) == 0}
	var behind []int
	for p := range f.partitions {
		found, torn := &f.partitions[p], f.torn(p)
		switch {
		case found.restoring:
			l.Begun = append(l.Begun, p)
		case f.bare(p):
			l.Bare = append(l.Bare, p)
		case torn != "":
			l.Torn[p] = Torn{Lost: torn, Restored: found.restored}
		case f.behindIn[p]:
			behind = append(behind, p)
		}
	}
	if len(behind) > 0 {
		l.Other = append(l.Other, stock.PartitionsText(behind)+": it has lost effects of some cells, and holds the others")
	}
	if len(f.forked) > 0 {
		l.Other = append(l.Other, fmt.Sprintf("%s: forks that nobody has dealt with: sluice deadletter list --reason fork",
			stock.PartitionsText(sortedKeys(f.forkedIn))))
	}
	return l
}
