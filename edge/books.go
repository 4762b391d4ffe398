package edge

import (
	"context"
	"sync"
	"time"

	"sluice/core/ledger"
)

const (
	booksConns   = 2               // of lists, so that they never wait for a sale's connections, nor it for theirs
	booksTimeout = 2 * time.Second // of one statement of theirs
	settledEvery = time.Second
)

// openBooks opens what lists read, by connections of their own.
func (n *Node) openBooks() (*ledger.Reader, error) {
	cfg := n.cfg.MySQL
	cfg.ConnsMax, cfg.Timeout = booksConns, min(cfg.Timeout, booksTimeout)
	db, err := cfg.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	n.later("close mysql for lists", func(context.Context) error { return db.Close() })
	settled := &settled{now: time.Now, ask: func(ctx context.Context) (untilMS, nowMS int64, err error) {
		if shut, err := n.shut(ctx); shut || err != nil {
			return 0, 0, err // it may have lost what it would tell
		}
		return n.store.Settled(ctx)
	}}
	return ledger.New(db, settled.get), nil
}

// settled remembers for a moment how far MySQL is: to ask reads the oldest entry of each partition. What was true
// then is true now.
type settled struct {
	ask func(ctx context.Context) (untilMS, nowMS int64, err error)
	now func() time.Time

	mu             sync.Mutex
	asked          time.Time
	untilMS, nowMS int64
}

func (s *settled) get(ctx context.Context) (untilMS, nowMS int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() || s.now().Sub(s.asked) >= settledEvery {
		var err error
		if s.untilMS, s.nowMS, err = s.ask(ctx); err != nil {
			s.untilMS, s.nowMS = 0, 0 // a list without it says nothing of its age
		}
		s.asked = s.now()
	}
	return s.untilMS, s.nowMS
}
