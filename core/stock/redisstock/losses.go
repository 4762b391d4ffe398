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

// counts says how much each key of a partition holds, all at one moment.
type counts struct{ cells, res, gone, due, outbox int64 }

// lacks names a key that is gone although another key tells of its content. It returns an empty string if nothing is
// missing. Each record is finished or held: gone has the finished ones, due has the held ones. The outbox key stays
// when its entries go. held means that some cell has units held.
func (c counts) lacks(held bool) string {
	switch {
	case c.res == 0 && (c.gone > 0 || held):
		return "its reservations (res)"
	case c.due == 0 && held, c.res > 0 && c.gone+c.due == 0:
		return "its deadlines (due or gone)"
	case c.cells > 0 && c.outbox == 0:
		return "its outbox"
	}
	return ""
}

// readCounts reads the counts of all partitions, and which of them are being restored. It also ends a watch that an earlier vetting may have left.
func (v *vetting) readCounts(ctx context.Context) error {
	const n = 3
	return v.ask(ctx, "count keys", n, func(k keys, b rueidis.Builder) []rueidis.Completed {
		return []rueidis.Completed{
			b.Unwatch().Build(), b.Hmget().Key(k.meta).Field(metaRestoring, metaRestored, metaRebuilt, metaAnnounced).Build(),
			b.Eval().Script(v.upkeep.counts).Numkeys(5).Key(k.cells, k.res, k.gone, k.due, k.outbox).Build(),
		}
	}, func(partition int, answers []rueidis.RedisResult) error {
		restorer, err := answers[1].AsStrSlice()
		if err != nil {
			return err
		}
		whole := &v.partitions[partition]
		whole.restoring, whole.restored, whole.rebuilt, whole.announced = restorer[0] != "", restorer[1], restorer[2], restorer[3]
		found, err := answers[n-1].AsIntSlice()
		if err != nil {
			return err
		}
		v.partitions[partition].counts = counts{found[0], found[1], found[2], found[3], found[4]}
		return nil
	})
}
