package evidence_test

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/event"
	"sluice/core/evidence"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// Who looks for events of a time reads what was written since about then, and not all that Kafka keeps.
func TestKeptBeginsAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := time.Now()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(w.brokers...), Transport: transport}
	for seq, age := range []time.Duration{3 * time.Hour, 2 * time.Hour, 65 * time.Minute, time.Hour, 0} {
		e := event.Event{Kind: event.KindDeduct, User: 1, Quantity: 1, Cell: stock.Cell{SKU: 1}, Position: stock.Position{Epoch: 1, Seq: 1 + uint64(seq)}, Sold: 1}
		data := event.Append(nil, event.Batch{Partition: 1, TimeMS: now.Add(-age).UnixMilli(), Events: []event.Event{e}})
		answer, err := client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, Partition: 1, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{
				Time: now.Add(-age), Value: kafka.NewBytes(data), Headers: []kafka.Header{{Key: "entry", Value: []byte(strconv.Itoa(seq) + "-1")}},
			}),
		})
		if err != nil || answer.Error != nil {
			t.Fatalf("%+v, %v", answer, err)
		}
	}
	kept := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	for since, want := range map[int64][]uint64{
		0:                                   {1, 2, 3, 4, 5},
		now.Add(-time.Hour).UnixMilli():     {3, 4, 5}, // clocks differ
		now.UnixMilli():                     {5},
		now.Add(time.Hour).UnixMilli():      nil,
		now.Add(-9 * time.Hour).UnixMilli(): {1, 2, 3, 4, 5},
	} {
		var got []uint64
		err := kept.Kept(t.Context(), 1, since, func(_ *outbox.Message, b *event.Batch) error {
			got = append(got, b.Events[0].Seq)
			return nil
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("since %d: %v, %v, want %v", since-now.UnixMilli(), got, err, want)
		}
	}
}

// Events that were written while the topic had fewer partitions stay where they are, and are found there.
func TestKeptOfFewerPartitions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.inKafka(3, stock.Cell{SKU: 7}, 1, 1) // to the second of two partitions
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(w.brokers...), Transport: transport}
	more := []kafka.TopicPartitionsConfig{{Name: topic, Count: 5}}
	answer, err := client.CreatePartitions(t.Context(), &kafka.CreatePartitionsRequest{Topics: more})
	if err != nil || answer.Errors[topic] != nil {
		t.Fatalf("%+v, %v", answer, err)
	}
	kept := evidence.New(w.db, evidence.KafkaTail{Brokers: w.brokers, Topic: topic, Group: group})
	var got []stock.Cell
	err = kept.Kept(t.Context(), 3, 0, func(_ *outbox.Message, b *event.Batch) error {
		if b.Partition == 3 {
			got = append(got, b.Events[0].Cell)
		}
		return nil
	})
	if want := []stock.Cell{{SKU: 7}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("kept of the partition: %v, %v, want %v", got, err, want)
	}
}
