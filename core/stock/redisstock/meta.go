package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// Fields of a partition's meta.
const (
	metaFormat      = "format"       // version of keys and packed values
	metaPartitions  = "partitions"   // of the deployment
	metaDeployment  = "deployment"   // its id
	metaRelayed     = "relayed"      // outbox entry up to which the relay has published
	metaRelayResets = "relay_resets" // how often that began anew

	metaFormatNow = "1"
)

// metaTimeout bounds the comparison at a start, which a server may be slow to answer just then.
const metaTimeout = 5 * time.Second

// ErrForeign tells that Redis belongs to a deployment with other settings.
var ErrForeign = errors.New("redis belongs to another deployment")

// meta is whose a partition is. The zero value is nobody's.
type meta struct{ format, partitions, deployment string }

func readMeta(b rueidis.Builder, k keys) rueidis.Completed {
	return b.Hmget().Key(k.meta).Field(metaFormat, metaPartitions, metaDeployment).Build()
}

func metaFrom(answer rueidis.RedisResult) (meta, error) {
	found, err := answer.AsStrSlice()
	if err != nil {
		return meta{}, err
	}
	return meta{found[0], found[1], found[2]}, nil
}

// differs tells why it is not a deployment's.
func (m meta) differs(partitions int, deployment string) error {
	switch want := strconv.Itoa(partitions); {
	case m.format != metaFormatNow:
		return fmt.Errorf("format %q, this program knows %q", m.format, metaFormatNow)
	case m.partitions != want:
		return fmt.Errorf("of a deployment of %s partitions, not %s: set --partitions to what it has", m.partitions, want)
	case m.deployment != deployment:
		return fmt.Errorf("of deployment %q, not %q: set --deployment or another Redis", m.deployment, deployment)
	}
	return nil
}

// CheckDeployment compares whose Redis is with the store's number of partitions and a deployment's id.
// The error wraps ErrForeign if they differ: whoever goes on then finds cells in other partitions than
// the rest of the deployment. Partitions that nobody has opened yet are nobody's, and of a cluster that is
// away in part the rest has to do.
func (s *Store) CheckDeployment(ctx context.Context, deployment string) error {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	commands := make([]rueidis.Completed, len(s.shards))
	for p := range s.shards {
		commands[p] = readMeta(s.client.B(), s.shards[p].keys)
	}
	var foreign, unread stock.PartitionErrors
	answered := false
	for p, answer := range s.client.DoMulti(ctx, commands...) {
		found, err := metaFrom(answer)
		if err != nil {
			unread.Add(p, wrap("read meta", err))
			continue
		}
		answered = true
		if found == (meta{}) {
			continue
		}
		if err := found.differs(len(s.shards), deployment); err != nil {
			foreign.Add(p, err)
		}
	}
	if err := foreign.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if answered {
		return nil
	}
	return unread.Err()
}
