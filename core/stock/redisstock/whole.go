package redisstock

import (
	"context"

	"github.com/redis/rueidis"
)

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
