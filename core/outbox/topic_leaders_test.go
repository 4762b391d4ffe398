package outbox

import (
	"errors"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/core/stock"
)

// TestTailOfABrokerThatIsCutOff moves a partition, and writes to its new leader. The old one does not hear of that: it names itself,
// and says where its own messages end. Who knows its address only learns from it where the others are.
func TestTailOfABrokerThatIsCutOff(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(1, "events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	old, addrs := cluster.LeaderFor("events", 0), cluster.ListenAddrs()
	if err := cluster.MoveTopicPartition("events", 0, 1-old); err != nil {
		t.Fatal(err)
	}
	leader := NewTopic(addrs, "events")
	t.Cleanup(leader.Close)
	if err := leader.Deliver(t.Context(), []stock.Entry{{ID: "1-0", Data: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	want := Range{First: 0, End: 1}
	if tail, err := leader.Tail(t.Context(), "g"); err != nil || len(tail) != 1 || tail[0] != want {
		t.Fatalf("while all brokers know who leads: %v, %v, want %v", tail, err, want)
	}
	cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if cluster.CurrentNode() != old {
			return nil, nil, false
		}
		return metadataOf(r, addrs, old), nil, true
	})
	cluster.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if cluster.CurrentNode() != old {
			return nil, nil, false
		}
		return nothingSince(r), nil, true
	})
	cut := NewTopic([]string{addrs[old]}, "events")
	t.Cleanup(cut.Close)
	if ranges, err := cut.Ranges(t.Context()); err != nil || ranges[0].End != 0 {
		t.Fatalf("the leader that is cut off gives out %v, %v", ranges, err)
	}
	if tail, err := cut.Tail(t.Context(), "g"); !errors.Is(err, kafka.UnknownLeaderEpoch) {
		t.Errorf("a leader that is cut off gives out the tail %v, %v", tail, err)
	}
	if kept, err := cut.Since(t.Context(), 0, time.UnixMilli(1)); !errors.Is(err, kafka.UnknownLeaderEpoch) {
		t.Errorf("a leader that is cut off gives out %v, %v", kept, err)
	}
}

// nothingSince is the answer of a leader of the first epoch that has no messages.
func nothingSince(r kmsg.Request) kmsg.Response {
	asked, answer := r.(*kmsg.ListOffsetsRequest), r.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, a := range asked.Topics {
		topic := kmsg.NewListOffsetsResponseTopic()
		topic.Topic = a.Topic
		for _, p := range a.Partitions {
			partition := kmsg.NewListOffsetsResponseTopicPartition()
			partition.Partition, partition.Offset = p.Partition, 0
			if p.CurrentLeaderEpoch > 0 {
				partition.ErrorCode = int16(kafka.UnknownLeaderEpoch)
			}
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}
