package servicetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Transact writes messages into one Kafka partition in a transaction, and commits or aborts it. The transaction
// leaves a mark behind the messages. The mark has an offset and is not a message.
func Transact(t testing.TB, brokers []string, topic string, partition int32, end kgo.TransactionEndTry, values ...[]byte) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(fmt.Sprintf("%s/%d", t.Name(), time.Now().UnixNano())))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	last := int64(-1)
	for _, value := range values {
		record, err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Partition: partition, Value: value}).First()
		if err != nil {
			t.Fatal(err)
		}
		last = record.Offset
	}
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
	for last >= 0 && stableEnd(t, client, topic, partition) < last+2 { // Kafka answers before it has written the mark
		select {
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// stableEnd returns the offset up to which all transactions of a partition have ended.
func stableEnd(t testing.TB, client *kgo.Client, topic string, partition int32) int64 {
	t.Helper()
	of := kmsg.NewListOffsetsRequestTopicPartition()
	of.Partition, of.Timestamp = partition, -1 // the end
	request := kmsg.NewPtrListOffsetsRequest()
	request.IsolationLevel = 1 // read committed
	request.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: topic, Partitions: []kmsg.ListOffsetsRequestTopicPartition{of}}}
	answer, err := request.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
	return answer.Topics[0].Partitions[0].Offset
}

// DeleteRecords makes Kafka delete the messages of one partition before an offset.
func DeleteRecords(t testing.TB, brokers []string, topic string, partition int32, before int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrDeleteRecordsRequest()
	request.TimeoutMillis = 30_000
	request.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: partition, Offset: before}}}}
	answer, err := request.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].Partitions[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// GrowTopic gives a topic more partitions.
func GrowTopic(t testing.TB, brokers []string, topic string, partitions int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.TimeoutMillis = 30_000
	grow := kmsg.NewCreatePartitionsRequestTopic()
	grow.Topic, grow.Count = topic, partitions
	request.Topics = []kmsg.CreatePartitionsRequestTopic{grow}
	answer, err := request.RequestWith(t.Context(), client)
	if err == nil {
		err = kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatal(err)
	}
}
