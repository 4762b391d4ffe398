package auth

import (
	"sync"
	"sync/atomic"
	"time"

	"sluice/core/ids"
)

const (
	// EndedFor is how long a session that has ended is remembered at least: until its last token has ended.
	EndedFor = ShopperLifetime + 2*Skew
	// endedMax bounds the sessions of a generation, about 40 bytes each.
	endedMax = 500_000
)

// Ended has the sessions that ended a short while ago, so that their tokens are refused at once. It is safe for concurrent use.
// A nil Ended has none.
//
// Two generations bound it in time and memory: a session is in the young one first, and is forgotten with the old one.
type Ended struct {
	any        atomic.Bool // so that asking costs nothing while there are none
	mu         sync.RWMutex
	young, old map[ids.Session]struct{}
	since      time.Time // when young began
}

// NewEnded makes an Ended without sessions.
func NewEnded() *Ended { return &Ended{young: map[ids.Session]struct{}{}} }

// Add remembers that a session has ended.
func (e *Ended) Add(session ids.Session, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.young) >= endedMax || now.Sub(e.since) >= EndedFor {
		e.old, e.young, e.since = e.young, map[ids.Session]struct{}{}, now
	}
	e.young[session] = struct{}{}
	e.any.Store(true)
}

// Has reports whether a session has ended.
func (e *Ended) Has(session ids.Session, now time.Time) bool {
	if e == nil || session == 0 || !e.any.Load() {
		return false
	}
	e.mu.RLock()
	_, young := e.young[session]
	_, old := e.old[session]
	over := now.Sub(e.since) >= 2*EndedFor
	e.mu.RUnlock()
	if over {
		e.forget(now)
	}
	return (young || old) && !over
}

// Len is how many sessions are remembered, of which some may have ended so long ago that they no longer matter.
func (e *Ended) Len() int {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return len(e.young) + len(e.old)
}

// forget forgets all sessions, if the last of them ended long ago.
func (e *Ended) forget(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.since) >= 2*EndedFor {
		e.young, e.old, e.since = map[ids.Session]struct{}{}, nil, now
		e.any.Store(false)
	}
}
