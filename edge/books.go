package edge

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"sluice/core/ledger"
	"sluice/core/stock/redisstock"
	"sluice/edge/internal/api"
)

const (
	booksConns     = 2 // for lists alone, so that lists and sales never wait for each other's connections
	persistedEvery = time.Second

	persistedTimeout = time.Second // for asking how far MySQL is
)

// openBooks opens the reader of lists, with connections of its own.
func (n *Node) openBooks() (*ledger.Reader, error) {
	cfg := n.cfg.MySQL
	cfg.ConnsMax, cfg.Timeout = booksConns, min(cfg.Timeout, api.BooksTimeout)
	db, err := cfg.OpenUnchecked()
	if err != nil {
		return nil, err
	}
	n.parts.Later("close mysql for lists", func(context.Context) error { return db.Close() })
	persisted := &persisted{now: time.Now, ask: func(ctx context.Context) (untilMS, nowMS int64, err error) {
		if state, err := n.redis.State(ctx); state != redisstock.StateOpen || err != nil {
			return 0, 0, err // it may have lost what it would tell
		}
		return n.store.Persisted(ctx)
	}}
	return ledger.New(db, persisted.get), nil
}

// persisted remembers for a moment how far MySQL is, because asking reads the oldest entry of each partition. An answer
// stays true, because MySQL never goes back. get adds to Redis' clock the time since the answer.
type persisted struct {
	ask func(ctx context.Context) (untilMS, nowMS int64, err error)
	now func() time.Time

	asking singleflight.Group

	mu    sync.Mutex
	asked time.Time
	last  reach
}

// reach says how far MySQL is. It is zero if nobody knows; a list then does not say its age.
type reach struct{ untilMS, nowMS int64 }

// get waits for an answer until ctx ends. The question has a timeout of its own, because everybody who waits shares the
// answer.
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
