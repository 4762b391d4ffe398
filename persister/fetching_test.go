package persister

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/outbox"
)

// TestReading takes each outcome of a fetch from offset 10, after a time without a useful answer.
func TestReading(t *testing.T) {
	t.Parallel()
	const batchWait = 7 * time.Millisecond
	start := time.UnixMilli(1_700_000_000_000)
	errAway := errors.New("away")
	lost := fmt.Errorf("read: %w", kafka.OffsetOutOfRange)
	all := map[fetched]bool{}
	for name, c := range map[string]struct {
		after  time.Duration
		got    outbox.Read
		err    error
		want   fetched
		offset int64
		pause  time.Duration
	}{
		"all that is there":        {time.Hour, outbox.Read{Next: 15, End: 15}, nil, fetchedSome, 15, batchWait},
		"and more is there":        {0, outbox.Read{Next: 15, End: 20}, nil, fetchedSome, 15, 0},
		"nothing is there":         {time.Hour, outbox.Read{Next: 10, End: 10}, nil, fetchedAtEnd, 10, 0},
		"the offset is gone":       {time.Hour, outbox.Read{}, lost, fetchedGone, kafka.FirstOffset, batchWait},
		"held back":                {stuckAfter, outbox.Read{Next: 10, End: 20}, nil, fetchedWithheld, 10, fetchPause},
		"held back for long":       {stuckAfter + 1, outbox.Read{Next: 10, End: 20}, nil, fetchedWithheldLong, 10, fetchPause},
		"Kafka is away":            {stuckAfter, outbox.Read{}, errAway, fetchFailed, 10, fetchPause},
		"Kafka is away for long":   {stuckAfter + 1, outbox.Read{}, errAway, fetchFailedLong, 10, fetchPause},
		"Kafka begins later again": {0, outbox.Read{Next: 12, End: 12}, nil, fetchedSome, 12, batchWait},
	} {
		r := fetching{offset: 10, healthy: start}
		now := start.Add(c.after)
		how := r.step(now, c.got, c.err)
		if how != c.want || r.offset != c.offset || how.pause(c.got, batchWait) != c.pause {
			t.Errorf("%s: %d, next offset %d, pause %v; want %d, %d, %v", name, how, r.offset, how.pause(c.got, batchWait), c.want, c.offset, c.pause)
		}
		useful := how == fetchedSome || how == fetchedAtEnd
		if r.healthy.Equal(now) != (useful || c.after == 0) {
			t.Errorf("%s: healthy at %v", name, r.healthy.Sub(start))
		}
		if how.ends() != (how == fetchedWithheldLong || how == fetchFailedLong) {
			t.Errorf("%s: ends the reading: %v", name, how.ends())
		}
		all[how] = true
	}
	if len(all) != int(fetchFailedLong)+1 {
		t.Errorf("%d outcomes of %d are seen", len(all), fetchFailedLong+1)
	}
}
