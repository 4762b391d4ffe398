package persister

import (
	"errors"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/outbox"
)

// fetching says how far one Kafka partition was read. It decides what follows from each fetch, and the consumer does that.
type fetching struct {
	offset  int64
	healthy time.Time // when Kafka last gave what it has
}

// fetched is how a fetch ended.
type fetched uint8

const (
	fetchedSome         fetched = iota // messages, or offsets without one
	fetchedAtEnd                       // Kafka had nothing more, and has waited for it
	fetchedGone                        // Kafka does not have the offset any more: what it has is read from its begin
	fetchedWithheld                    // Kafka has more and gives nothing, as when it holds a client back
	fetchedWithheldLong                // for so long that the group is joined again
	fetchFailed
	fetchFailedLong // for so long that the group is joined again
)

// ends reports whether this generation must stop reading the partition.
func (f fetched) ends() bool { return f == fetchedWithheldLong || f == fetchFailedLong }

// step notes the outcome of a fetch from the offset, and returns how it ended.
func (r *fetching) step(now time.Time, got outbox.Read, err error) fetched {
	long := now.Sub(r.healthy) > stuckAfter
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		r.offset = kafka.FirstOffset
		return fetchedGone
	case err != nil && long:
		return fetchFailedLong
	case err != nil:
		return fetchFailed
	case got.Next == r.offset && got.Next < got.End && long:
		return fetchedWithheldLong
	case got.Next == r.offset && got.Next < got.End:
		return fetchedWithheld
	}
	r.healthy = now
	if got.Next == r.offset {
		return fetchedAtEnd
	}
	r.offset = got.Next
	return fetchedSome
}

// pause returns how long to wait before the next fetch. At the end of a partition the pause lets several messages gather
// for the next fetch.
func (f fetched) pause(got outbox.Read, batchWait time.Duration) time.Duration {
	switch f {
	case fetchedAtEnd:
		return 0
	case fetchedSome:
		if got.Next < got.End {
			return 0
		}
	case fetchedWithheld, fetchFailed, fetchedWithheldLong, fetchFailedLong:
		return fetchPause
	case fetchedGone:
	}
	return batchWait
}
