package stock

import (
	"context"
	"time"
)

// Store keeps the stock of a deployment. The memory model and redisstock implement it, and package stocktest tests both
// for the same behaviour. It is safe for concurrent use.
type Store interface {
	// Do decides the vectors, in one pipeline if the store has pipelines, and fills in the results of each. Vector.Err is
	// the trouble with that vector.
	Do(ctx context.Context, vectors ...*Vector)
	// Cells returns cells in the order asked for, and the Redis time of the reading.
	Cells(ctx context.Context, cells []Cell) (states []CellState, nowMS int64, err error)
	// Reservations returns reservations in the order asked for, and the Redis time of the reading.
	Reservations(ctx context.Context, ids []ReservationID) (found []Reservation, nowMS int64, err error)
	// Expire gives the units of due reservations of a partition back, at most about limit of them.
	// Any number of processes may call it at once.
	Expire(ctx context.Context, partition, limit int) (Sweep, error)
	// Forget removes the records of a partition's reservations whose retention has ended, at most about limit of them. It
	// returns how many it removed.
	Forget(ctx context.Context, partition, limit int) (int, error)
	// Partitions is the number of partitions of the deployment.
	Partitions() int

	// Baskets returns the records of baskets in the order asked for.
	Baskets(ctx context.Context, ids []ReservationID) ([]BasketRecord, error)
	// Undecided returns baskets of a partition that were begun at least so long ago and are not decided, oldest first. It skips
	// so many, and returns at most so many.
	Undecided(ctx context.Context, partition int, age time.Duration, skip, limit int) ([]Undecided, error)
}

// Sweep is the result of one call of Expire.
type Sweep struct {
	Expired int     // reservations that expired
	Entries []Entry // their events
	More    bool    // more were due than the call was allowed to expire
	NextMS  int64   // the earliest deadline still ahead, 0 if there is none
	TimeMS  int64   // Redis time of the sweep
}

// Entry is one entry of a partition's outbox: the encoded events of one vector (package event).
type Entry struct {
	Partition int
	ID        string // the stream's entry id; empty if the vector had no effect
	Data      []byte
}

// entriesMost is how many entries of an outbox one reading takes at most.
const entriesMost = 1000

// NextEntries returns how many entries the next reading of an outbox takes, so that it has about so many bytes if they are like
// these. Entries of a restore have up to 75 KB, those of a sale a few hundred bytes.
func NextEntries(like []Entry, bytes int) int {
	each := 1
	for i := range like {
		each = max(each, len(like[i].Data))
	}
	return min(max(1, bytes/each), entriesMost)
}

// OutboxEnds has the ends of a partition's outbox, or why they are unknown.
type OutboxEnds struct {
	First string // id of the oldest entry; empty if there is none
	Last  string // id of the entry appended last, even if it has been deleted since; "0-0" if there never was one
	Err   error
}

// Decision is the outcome of one request, or its error.
type Decision struct {
	Outcome
	Err error // if not nil, Outcome means nothing
}

// DoAll decides requests of one operation, whatever their partitions, in one call of the store.
func DoAll(ctx context.Context, s Store, op Op, requests []Request) []Decision {
	open := map[int]*Vector{} // per partition, the vector that still has room
	var vectors []*Vector
	places := map[*Vector][]int{} // where each vector's requests came from
	for i := range requests {
		partition := requests[i].ID.Partition()
		v := open[partition]
		if v == nil || len(v.Requests) == VectorMax {
			v = &Vector{Op: op, Partition: partition}
			open[partition] = v
			vectors = append(vectors, v)
		}
		v.Requests = append(v.Requests, requests[i])
		places[v] = append(places[v], i)
	}
	if len(vectors) > 0 {
		s.Do(ctx, vectors...)
	}
	decisions := make([]Decision, len(requests))
	for _, v := range vectors {
		for j, i := range places[v] {
			if v.Err != nil {
				decisions[i].Err = v.Err
			} else {
				decisions[i].Outcome = v.Outcomes[j]
			}
		}
	}
	return decisions
}
