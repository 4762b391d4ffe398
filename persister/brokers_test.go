package persister

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"sluice/core/local/servicetest"
)

// TestBrokersChangeRoles moves the leaders of the partitions and the coordinator of the group to other brokers, as when
// one of them restarts. Then the group puts its member out, as after a long pause. Writers and readers find the new
// brokers long before the relay would publish again.
func TestBrokersChangeRoles(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	w := newWorld(t, cluster.ListenAddrs(), servicetest.MariaDB(t))
	w.start()
	at := func(change func()) func() <-chan struct{} {
		return func() <-chan struct{} {
			change()
			done := make(chan struct{})
			close(done)
			return done
		}
	}
	for name, change := range map[string]func() <-chan struct{}{
		"leaders moved":        at(cluster.ShufflePartitionLeaders),
		"coordinator moved":    at(cluster.RehashCoordinators),
		"member is put out":    func() <-chan struct{} { return refuseOnce(cluster, kmsg.Heartbeat) },
		"commit of an old one": func() <-chan struct{} { return refuseOnce(cluster, kmsg.OffsetCommit) },
	} {
		w.happen(50, true)
		w.atRest()
		changed := change()
		w.happen(100, true)
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatalf("%s: nobody asked", name)
		}
		w.happen(100, true)
		begun := time.Now()
		w.atRest()
		if took := time.Since(begun); took > patience/3 {
			t.Errorf("%s: at rest after %v", name, took)
		}
	}
}

// refuseOnce has the next request of a kind, of a member of the group, be refused as one of somebody unknown.
func refuseOnce(cluster *kfake.Cluster, key kmsg.Key) <-chan struct{} {
	refused := make(chan struct{})
	cluster.ControlKey(int16(key), func(request kmsg.Request) (kmsg.Response, error, bool) {
		defer close(refused)
		answer := request.ResponseKind()
		switch answer := answer.(type) {
		case *kmsg.HeartbeatResponse:
			answer.ErrorCode = kerr.UnknownMemberID.Code
		case *kmsg.OffsetCommitResponse:
			for _, asked := range request.(*kmsg.OffsetCommitRequest).Topics {
				topic := kmsg.NewOffsetCommitResponseTopic()
				topic.Topic = asked.Topic
				for _, p := range asked.Partitions {
					partition := kmsg.NewOffsetCommitResponseTopicPartition()
					partition.Partition, partition.ErrorCode = p.Partition, kerr.IllegalGeneration.Code
					topic.Partitions = append(topic.Partitions, partition)
				}
				answer.Topics = append(answer.Topics, topic)
			}
		}
		return answer, nil, true
	})
	return refused
}
