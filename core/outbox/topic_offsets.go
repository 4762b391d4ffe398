package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
)

// errPartitions means that brokers do not agree on what partitions the topic has.
var errPartitions = errors.New("kafka's brokers disagree about the topic's partitions")

// Range says which messages of a partition Kafka keeps: from First to before End.
type Range struct{ First, End int64 }

// Ranges returns the range of messages that Kafka keeps of each partition.
func (t *Topic) Ranges(ctx context.Context) ([]Range, error) {
	n, err := t.Partitions(ctx)
	if err != nil {
		return nil, err
	}
	return t.ranges(ctx, slices.Repeat([]int32{anyEpoch}, n))
}

// ranges is Ranges of as many partitions as there are epochs. It fails if a leader is of another epoch.
func (t *Topic) ranges(ctx context.Context, epochs []int32) ([]Range, error) {
	asked := listoffsets.RequestTopic{Topic: t.name}
	for p, epoch := range epochs {
		for _, end := range []int64{kafka.FirstOffset, kafka.LastOffset} {
			asked.Partitions = append(asked.Partitions, listoffsets.RequestPartition{Partition: int32(p), CurrentLeaderEpoch: epoch, Timestamp: end})
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := t.transport.RoundTrip(ctx, t.client.Addr, &listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{asked}})
	if err != nil {
		return nil, fmt.Errorf("list offsets of topic %s: %w", t.name, InWords(err))
	}
	ranges, answers := make([]Range, len(epochs)), 0
	for _, topic := range answer.(*listoffsets.Response).Topics {
		for _, p := range topic.Partitions {
			var refused error
			if p.ErrorCode != 0 {
				refused = kafka.Error(p.ErrorCode)
			}
			t.saw(int(p.Partition), refused)
			switch {
			case refused != nil:
				return nil, fmt.Errorf("list offsets of partition %d of topic %s: %w", p.Partition, t.name, InWords(refused))
			case topic.Topic != t.name || p.Partition < 0 || int(p.Partition) >= len(ranges):
				return nil, fmt.Errorf("list offsets of topic %s: %w: partition %d of topic %s", t.name, errPartitions, p.Partition, topic.Topic)
			case p.Timestamp == kafka.FirstOffset:
				ranges[p.Partition].First = p.Offset
			default:
				ranges[p.Partition].End = p.Offset
			}
			answers++
		}
	}
	if answers != len(asked.Partitions) {
		return nil, fmt.Errorf("list offsets of topic %s: %w: %d answers, not %d", t.name, errPartitions, answers, len(asked.Partitions))
	}
	return ranges, nil
}

// Since returns the range of one partition from the first message with at least this time. The writer of a message
// gives it its time. Since fails if a leader that it asks was replaced, as Tail does.
func (t *Topic) Since(ctx context.Context, partition int, at time.Time) (Range, error) {
	ranges, err := t.led(ctx)
	if err != nil {
		return Range{}, err
	}
	if partition >= len(ranges) {
		return Range{}, fmt.Errorf("look up a time in topic %s: %w: %d of %d", t.name, errPartitions, partition, len(ranges))
	}
	if err := t.since(ctx, ranges, at, partition); err != nil {
		return Range{}, err
	}
	return ranges[partition], nil
}

// AllSince is Since of all partitions.
func (t *Topic) AllSince(ctx context.Context, at time.Time) ([]Range, error) {
	ranges, err := t.led(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]int, len(ranges))
	for p := range all {
		all[p] = p
	}
	if err := t.since(ctx, ranges, at, all...); err != nil {
		return nil, err
	}
	return ranges, nil
}

// led is Ranges that fails if a leader was replaced.
func (t *Topic) led(ctx context.Context) ([]Range, error) {
	epochs, err := t.epochs(ctx)
	if err != nil {
		return nil, err
	}
	return t.ranges(ctx, epochs)
}

// since lets the ranges of partitions begin with the first message that has at least this time.
func (t *Topic) since(ctx context.Context, ranges []Range, at time.Time, partitions ...int) error {
	asked := map[string][]kafka.OffsetRequest{}
	for _, p := range partitions {
		asked[t.name] = append(asked[t.name], kafka.TimeOffsetOf(p, at))
	}
	answer, err := t.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: asked})
	if err == nil && len(answer.Topics[t.name]) != len(partitions) {
		err = fmt.Errorf("%d partitions in the answer, not %d", len(answer.Topics[t.name]), len(partitions))
	}
	if err != nil {
		return fmt.Errorf("look up a time in topic %s: %w", t.name, InWords(err))
	}
	for _, of := range answer.Topics[t.name] {
		if of.Error != nil {
			return fmt.Errorf("look up a time in partition %d of topic %s: %w", of.Partition, t.name, InWords(of.Error))
		}
		if of.Partition < 0 || of.Partition >= len(ranges) {
			return fmt.Errorf("look up a time in topic %s: %w: %d of %d", t.name, errPartitions, of.Partition, len(ranges))
		}
		r := &ranges[of.Partition]
		first := r.End // all messages are older
		for offset := range of.Offsets {
			if offset >= 0 {
				first = offset
			}
		}
		r.First = max(r.First, first)
	}
	return nil
}

// Unread returns, for each partition, the messages that a consumer group has not committed. These are all messages of
// the partition if the group has committed nothing, or an offset that Kafka does not have.
func (t *Topic) Unread(ctx context.Context, group string) ([]Range, error) {
	ranges, err := t.Ranges(ctx)
	if err != nil {
		return nil, err
	}
	return t.unread(ctx, group, ranges)
}

// Tail is Unread for callers that must not miss a message. A leader that is cut off from the other brokers does not know of its
// successor, and gives out what it has, without an error. So Tail asks all brokers who leads, and fails if one knows of a later
// leader than the one that it gets the offsets from.
func (t *Topic) Tail(ctx context.Context, group string) ([]Range, error) {
	ranges, err := t.led(ctx)
	if err != nil {
		return nil, err
	}
	return t.unread(ctx, group, ranges)
}

// unread leaves out what a group has committed.
func (t *Topic) unread(ctx context.Context, group string, ranges []Range) ([]Range, error) {
	asked := make([]int, len(ranges))
	for p := range asked {
		asked[p] = p
	}
	var answer *kafka.OffsetFetchResponse
	err := t.patiently(ctx, func() (err error) {
		answer, err = t.client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{t.name: asked}})
		if err == nil {
			err = answer.Error
		}
		if err == nil {
			err = firstError(answer.Topics[t.name])
		}
		return err
	})
	if errors.Is(err, kafka.GroupIdNotFound) {
		return ranges, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read offsets of group %s: %w", group, InWords(err))
	}
	for _, p := range answer.Topics[t.name] {
		if p.Partition < 0 || p.Partition >= len(ranges) {
			return nil, fmt.Errorf("read offsets of group %s: %w: %d of %d", group, errPartitions, p.Partition, len(ranges))
		}
		if r := &ranges[p.Partition]; p.CommittedOffset >= r.First && p.CommittedOffset <= r.End {
			r.First = p.CommittedOffset
		}
	}
	return ranges, nil
}

func firstError(partitions []kafka.OffsetFetchPartition) error {
	for _, p := range partitions {
		if p.Error != nil {
			return fmt.Errorf("partition %d: %w", p.Partition, p.Error)
		}
	}
	return nil
}
