package quota

import (
	"context"
	"time"
)

// PollEvery is how often an edge listens that has nothing to tell.
const PollEvery = pollEvery

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
