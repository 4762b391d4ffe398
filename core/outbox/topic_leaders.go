package outbox

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"
)

const (
	// anyEpoch accepts any leader.
	anyEpoch = -1
	// leadersMax bounds how long a broker may take to say who leads.
	leadersMax = 3 * time.Second
)

// epochs returns for each partition the epoch of its leader: the highest that any broker names. A broker that is cut off from the
// others names leaders of the past, so epochs asks all that settings and brokers name, and does without those that do not answer.
func (t *Topic) epochs(ctx context.Context) ([]int32, error) {
	n, err := t.Partitions(ctx) // its error says what to do
	if err != nil {
		return nil, err
	}
	transport := newTransport(t.name) // one that remembers nothing
	defer transport.CloseIdleConnections()
	var mu sync.Mutex
	highest, seen := map[int32]int32{}, map[string]bool{}
	var asking sync.WaitGroup
	var ask func(addr string)
	ask = func(addr string) { // holds mu
		if seen[addr] {
			return
		}
		seen[addr] = true
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, leadersMax)
			defer cancel()
			answer, err := transport.RoundTrip(ctx, kafka.TCP(addr), &metadata.Request{TopicNames: []string{t.name}})
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			said := answer.(*metadata.Response)
			for _, b := range said.Brokers {
				ask(net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))))
			}
			for _, topic := range said.Topics {
				for _, p := range topic.Partitions {
					if epoch, known := highest[p.PartitionIndex]; !known || epoch < p.LeaderEpoch {
						highest[p.PartitionIndex] = p.LeaderEpoch
					}
				}
			}
		})
	}
	mu.Lock()
	for _, addr := range t.brokers {
		ask(addr)
	}
	mu.Unlock()
	asking.Wait()
	if len(highest) == 0 {
		return nil, fmt.Errorf("look up leaders of topic %s: %w", t.name, InWords(context.DeadlineExceeded))
	}
	epochs := make([]int32, n)
	for p := range epochs {
		epoch, known := highest[int32(p)]
		if !known || len(highest) != n {
			return nil, fmt.Errorf("look up leaders of topic %s: %w: %d or %d", t.name, errPartitions, n, len(highest))
		}
		epochs[p] = epoch
	}
	return epochs, nil
}
