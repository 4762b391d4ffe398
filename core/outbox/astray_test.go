package outbox

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/core/stock"
)

// TestPublisherLeavesABrokerThatIsCutOff moves a partition. Its old leader does not hear of that: it answers clients, and goes on
// naming itself. Some of the publishers have asked it so far who leads.
func TestPublisherLeavesABrokerThatIsCutOff(t *testing.T) {
	t.Parallel()
	t.Run("and does not lead", func(t *testing.T) { t.Parallel(); leaveABroker(t, false) })
	t.Run("and believes that it leads", func(t *testing.T) { t.Parallel(); leaveABroker(t, true) })
}

// leaveABroker has publishers leave the old leader. If that believes that it leads, it takes events, and waits in vain for
// copies of them.
func leaveABroker(t *testing.T, believes bool) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	old, addrs := cluster.LeaderFor("events", 0), cluster.ListenAddrs()
	var moved atomic.Bool
	cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !moved.Load() || cluster.CurrentNode() != old {
			return nil, nil, false
		}
		return metadataOf(r, addrs, old), nil, true
	})
	cluster.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !believes || !moved.Load() || cluster.CurrentNode() != old {
			return nil, nil, false
		}
		return timedOut(r), nil, true
	})
	var publishers []*Publisher
	send := func(p *Publisher, id string) chan error {
		done := make(chan error, 1)
		p.PublishWait(stock.Entry{ID: id, Data: []byte("x")}, func(err error) { done <- err })
		return done
	}
	for range 6 {
		p, err := NewPublisher(PublisherConfig{Brokers: addrs, Topic: "events", Partitions: 1, DeliveryTimeout: 2 * time.Minute}, metrics.NewSet())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close(context.WithoutCancel(t.Context())) })
		if err := <-send(p, "1-0"); err != nil {
			t.Fatal(err)
		}
		publishers = append(publishers, p)
	}
	if err := cluster.MoveTopicPartition("events", 0, 1-old); err != nil {
		t.Fatal(err)
	}
	moved.Store(true)
	waits := make([]chan error, 0, len(publishers))
	for _, p := range publishers {
		waits = append(waits, send(p, "2-0"))
	}
	for i, w := range waits {
		if err := <-w; err != nil {
			t.Errorf("publisher %d never reached the new leader: %v", i, err)
		}
	}
}

// metadataOf is the answer of a broker to whom it leads the only partition of the topic.
func metadataOf(r kmsg.Request, addrs []string, leader int32) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.MetadataResponse)
	answer.ControllerID = leader
	for id, addr := range addrs {
		host, port, _ := net.SplitHostPort(addr)
		n, _ := strconv.Atoi(port)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = int32(id), host, int32(n)
		answer.Brokers = append(answer.Brokers, b)
	}
	topic, partition := kmsg.NewMetadataResponseTopic(), kmsg.NewMetadataResponseTopicPartition()
	topic.Topic = kmsg.StringPtr("events")
	partition.Leader, partition.Replicas, partition.ISR = leader, []int32{0, 1}, []int32{0, 1}
	topic.Partitions = append(topic.Partitions, partition)
	answer.Topics = append(answer.Topics, topic)
	return answer
}

// timedOut is the answer of a leader that no copy follows.
func timedOut(r kmsg.Request) kmsg.Response {
	asked, answer := r.(*kmsg.ProduceRequest), r.ResponseKind().(*kmsg.ProduceResponse)
	for _, a := range asked.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = a.Topic, a.TopicID
		for _, p := range a.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, int16(kafka.RequestTimedOut)
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// TestAstrayForLong counts the time for which the answers of one partition are of no leader.
func TestAstrayForLong(t *testing.T) {
	t.Parallel()
	var a astray
	now := time.UnixMilli(1_700_000_000_000)
	for i, c := range []struct {
		after     time.Duration
		partition int
		err       error
		want      bool
	}{
		{0, 1, kafka.NotLeaderForPartition, false},
		{astrayMax - 1, 1, kafka.NotLeaderForPartition, false},
		{0, 2, kafka.NotLeaderForPartition, false},
		{0, 2, nil, false},
		{1, 1, kafka.NotLeaderForPartition, true},
		{1, 1, kafka.NotLeaderForPartition, false},         // it begins anew
		{astrayMax, 2, kafka.NotLeaderForPartition, false}, // it worked meanwhile
		{0, 1, context.DeadlineExceeded, false},            // that is something else
		{astrayMax, 1, kafka.NotLeaderForPartition, false},
		{astrayMax, 1, fmt.Errorf("write: %w", kafka.RequestTimedOut), true},
	} {
		now = now.Add(c.after)
		if got := a.long(c.partition, c.err, now); got != c.want {
			t.Errorf("step %d: %v, want %v", i, got, c.want)
		}
	}
}
