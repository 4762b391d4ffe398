package edge

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sluice/core/ledger"
	"sluice/core/stock/redisstock"
)

const (
	booksConns     = 2               // of lists, so that they never wait for a sale's connections, nor it for theirs
	booksTimeout   = 2 * time.Second // of one statement of theirs
	persistedEvery = time.Second

	persistedTimeout = time.Second // of asking how far MySQL is
)

// openBooks opens what lists read, by connections of their own.
func (n *Node) openBooks() (*ledger.Reader, error) {
	cfg := n.cfg.MySQL
	cfg.ConnsMax, cfg.Timeout = booksConns, min(cfg.Timeout, booksTimeout)
	db, err := cfg.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	n.parts.Later("close mysql for lists", func(context.Context) error { return db.Close() })
	persisted := &persisted{now: time.Now, ask: func(ctx context.Context) (untilMS, nowMS int64, err error) {
		if state, err := n.redisState(ctx); state != redisstock.StateOpen || err != nil {
			return 0, 0, err // it may have lost what it would tell
		}
		return n.store.Persisted(ctx)
	}}
	return ledger.New(db, persisted.get), nil
}

// persisted remembers for a moment how far MySQL is: to ask reads the oldest entry of each partition. What was true
// then is true now. Redis' clock has gone on since, and so has what get tells of it.
type persisted struct {
	ask func(ctx context.Context) (untilMS, nowMS int64, err error)
	now func() time.Time

	asking singleflight.Group

	mu    sync.Mutex
	asked time.Time
	last  reach
}

// reach is how far MySQL is; zero where nobody knows, and a list then says nothing of its age.
type reach struct{ untilMS, nowMS int64 }

// get waits for an answer no longer than its caller does. The asking has time of its own, since all who wait share
// what comes of it.
func (s *persisted) get(ctx context.Context) (untilMS, nowMS int64) {
	s.mu.Lock()
	last, age, fresh := s.last, s.now().Sub(s.asked), !s.asked.IsZero()
	s.mu.Unlock()
	if fresh && age < persistedEvery {
		if last.nowMS != 0 {
			last.nowMS += age.Milliseconds()
		}
		return last.untilMS, last.nowMS
	}
	answer := s.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.Background(), persistedTimeout)
		defer cancel()
		var r reach
		var err error
		if r.untilMS, r.nowMS, err = s.ask(ctx); err != nil {
			r = reach{}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last, s.asked = r, s.now()
		return r, nil
	})
	select {
	case <-ctx.Done():
		return 0, 0
	case a := <-answer:
		r, _ := a.Val.(reach)
		return r.untilMS, r.nowMS
	}
}
