package quota

import (
	"context"
	"encoding/binary"
	"time"

	"sluice/core/limit"
)

// PollEvery is how often an edge listens that has nothing to tell.
const PollEvery = pollEvery

// EdgesMax is the number of other edges that an edge knows.
const EdgesMax = edgesMax

// Greeting is the first notice of an edge that has heard the stream up to a time, before it is sealed.
func Greeting(edge uint64, heard time.Time) []byte {
	from := sender{number: 1, heard: uint64(heard.UnixMilli())}
	binary.BigEndian.PutUint64(from.edge[:], edge)
	return appendNotice(nil, from, make([][]limit.Taken, 1))
}

// TB is a test, or one run of a property.
type TB interface {
	Helper()
	Fatal(args ...any)
}

// Exchange tells and hears once.
func (s *Sharer) Exchange(ctx context.Context) error { return s.exchange(ctx) }

// Gap is the shortest time between two exchanges.
func (s *Sharer) Gap() time.Duration { return s.gap() }

// Place is that of the last notice that was read.
func (s *Sharer) Place() string { return s.after }
