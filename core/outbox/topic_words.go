package outbox

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// InWords gives an error of Kafka, or of the network on the way there, words that say what happened and what to do. It
// returns errors that it does not know unchanged. errors.Is and errors.As still find the original error.
func InWords(err error) error {
	if told := new(worded); err == nil || errors.As(err, &told) {
		return err
	}
	for _, known := range words {
		for _, kind := range known.kinds {
			if errors.Is(err, kind) {
				return &worded{known.words + at(err), err}
			}
		}
	}
	var name *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &name):
		return &worded{"nobody knows the host " + name.Name + ": correct --kafka-brokers, or what the brokers advertise (advertised.listeners)", err}
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &worded{"kafka did not answer in time: see whether its brokers run and keep up, and the network" + at(err), err}
	}
	return err
}

// at returns the address of the broker that a network error is about, in brackets.
func at(err error) string {
	if network := new(net.OpError); errors.As(err, &network) && network.Addr != nil {
		return " (" + network.Addr.String() + ")"
	}
	return ""
}

// worded is an error with other words.
type worded struct {
	words string
	err   error
}

func (w *worded) Error() string { return w.words }
func (w *worded) Unwrap() error { return w.err }

// words has the words for each kind of error.
var words = []struct {
	kinds []error
	words string
}{
	{[]error{syscall.ECONNREFUSED}, "kafka refuses the connection: start its brokers, or correct --kafka-brokers"},
	{
		[]error{syscall.ECONNRESET, syscall.EPIPE, io.EOF, io.ErrUnexpectedEOF},
		"kafka closed the connection: it may just be restarting; if that lasts, see the log of its brokers, and that --kafka-brokers names a listener without TLS and without a password",
	},
	{[]error{kafka.UnknownTopicOrPartition}, "no such topic or partition in kafka: run sluice migrate, or correct --kafka-topic and --kafka-partitions"},
	{
		[]error{protocol.ErrNoTopic, protocol.ErrNoPartition, protocol.ErrNoLeader},
		"kafka names no broker for that partition: start the brokers that have it; if the topic is missing, run sluice migrate, or correct --kafka-topic",
	},
	{
		[]error{kafka.NotLeaderForPartition, kafka.LeaderNotAvailable, kafka.FencedLeaderEpoch, kafka.UnknownLeaderEpoch, kafka.ReplicaNotAvailable, kafka.BrokerNotAvailable},
		"kafka is choosing another leader for the partition, which takes seconds: if it lasts, start the brokers that have it",
	},
	{
		[]error{kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend},
		"kafka has fewer copies in sync than min.insync.replicas, and takes no events: start the brokers that have the others",
	},
	{[]error{kafka.RequestTimedOut}, "kafka's brokers did not agree in time: see whether all of them run and keep up"},
	{
		[]error{kafka.GroupCoordinatorNotAvailable, kafka.GroupLoadInProgress, kafka.NotCoordinatorForGroup},
		"kafka is choosing who keeps the group's offsets, which takes seconds: if it lasts, see whether all its brokers run",
	},
	{[]error{kafka.RebalanceInProgress, kafka.IllegalGeneration, kafka.UnknownMemberId}, "kafka is dividing the partitions among the persisters anew, which takes seconds"},
	{
		[]error{kafka.TopicAuthorizationFailed, kafka.GroupAuthorizationFailed, kafka.ClusterAuthorizationFailed},
		"kafka does not let this program do that: let it describe, read and write the topic, and read the group",
	},
	{
		[]error{kafka.InvalidTimestamp},
		"kafka refuses the time of an event: let the clocks of all machines agree, or raise message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic",
	},
	{[]error{kafka.OffsetOutOfRange}, "kafka has nothing at that offset: it was deleted, or the topic was made anew"},
	{[]error{kafka.InvalidReplicationFactor}, "kafka has fewer brokers than copies are wanted: start more, or lower --kafka-replication"},
}
