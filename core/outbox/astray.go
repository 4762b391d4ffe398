package outbox

import (
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// astrayMax is how long brokers may answer that another one leads a partition, or that its other copies do not follow. Then the
// broker that was asked who leads is asked no more.
const astrayMax = 2 * metadataTTL

// astray knows since when requests for partitions have gone to brokers that seem not to lead them. The library asks one broker
// for the leaders as long as its connection to that broker lives. A broker that is cut off from the controllers goes on naming
// leaders of the past.
type astray struct {
	mu    sync.Mutex
	since map[int]time.Time // by Kafka partition
}

// saw notes the answer to a request for a partition. If the leaders that are known have been wrong for long, saw drops all
// connections, so that another broker is asked, sooner or later.
func (t *Topic) saw(partition int, err error) {
	if t.astray.long(partition, err, time.Now()) {
		t.transport.CloseIdleConnections()
	}
}

func (a *astray) long(partition int, err error, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !strays(err) {
		delete(a.since, partition)
		return false
	}
	since, known := a.since[partition]
	if known && now.Sub(since) < astrayMax {
		return false
	}
	if a.since == nil {
		a.since = map[int]time.Time{}
	}
	a.since[partition] = now
	return known
}

// strays reports whether an answer may come from a broker that does not lead the partition. A leader that is cut off from the
// other brokers does not know of its successor: it waits for copies that follow another broker by now, until its time is up.
func strays(err error) bool {
	for _, answer := range []kafka.Error{
		kafka.NotLeaderForPartition, kafka.UnknownTopicOrPartition, kafka.LeaderNotAvailable, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.ReplicaNotAvailable,
		kafka.RequestTimedOut,
	} {
		if errors.Is(err, answer) {
			return true
		}
	}
	return false
}
