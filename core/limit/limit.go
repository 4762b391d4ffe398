// Package limit owns the token buckets that shed load before it costs anything: one bucket per user or per address, in
// bounded memory. A refused request was not looked at, and its answer says when to come back.
//
// A limit holds over all edges together. Each edge decides alone, tells the others what it let pass, and learns what they
// let pass (share.go). Package edge/quota brings it from edge to edge.
//
// A full bucket is the same as none, so two generations of plain maps bound the buckets: forgetting a whole generation costs
// one assignment, where a cache would move an entry in a list at each request.
package limit

import (
	"fmt"
	"hash/maphash"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Config sizes the buckets of one kind.
type Config struct {
	Rate  float64 // tokens per second that flow into a bucket
	Burst int     // tokens that a bucket holds
	// KeysMax bounds the buckets that are remembered, about 200 bytes each. With more keys in use,
	// those used least recently start again with a full bucket.
	KeysMax int
	// Wake, if set, gets a value when a key has tokens to tell, unless it is full.
	Wake chan<- struct{}
}

// Bounds of a Config, whose other fields are 1 or more. The least Rate and the largest Burst make a
// bucket that takes 32 years to fill, which a time.Duration still holds.
const (
	RateMin    = 0.001
	RateMax    = 1_000_000
	BurstMax   = 1_000_000
	KeysMaxMax = 10_000_000
)

// stripes spreads the locks; a power of two.
const stripes = 64

// Limiter gives each key a token bucket. It is safe for concurrent use. A nil Limiter allows
// everything, and tells nothing.
type Limiter[K comparable] struct {
	cfg     Config
	name    string
	policy  string
	id      func(K) uint64
	seed    maphash.Seed // it spreads ids over stripes
	terms   atomic.Pointer[terms]
	stripes [stripes]stripe
}

// stripe has two generations. A bucket that nobody used for as long as it takes to fill is full: so the
// old generation is dropped after that time, or when the young one has its share of the keys.
type stripe struct {
	mu    sync.Mutex
	young map[uint64]*bucket
	old   map[uint64]*bucket
	since time.Time // when young began
	due   []uint64  // keys with tokens to tell
	_     [56]byte  // keeps the locks on cache lines of their own
}

// New makes a limiter for one edge. The name is that of its policy in headers. id tells keys apart, and must be the same at
// all edges.
func New[K comparable](name string, cfg Config, id func(K) uint64) *Limiter[K] {
	l := &Limiter[K]{cfg: cfg, name: strconv.Quote(name), id: id, seed: maphash.MakeSeed()}
	l.policy = fmt.Sprintf("%s;q=%d;w=%d", l.name, cfg.Burst, seconds(float64(cfg.Burst)/cfg.Rate))
	l.Among(1)
	return l
}

// Allow takes one token from the key's bucket.
func (l *Limiter[K]) Allow(key K, now time.Time) Allowance {
	if l == nil {
		return Allowance{OK: true}
	}
	t, id := l.terms.Load(), l.id(key)
	s := l.stripe(id)
	s.mu.Lock()
	b := l.bucket(s, id, t, now)
	a := Allowance{OK: b.take(t, now), name: l.name, policy: l.policy}
	level := b.level
	if !b.due && b.worthTelling(t) {
		l.enqueue(s, id, b)
	}
	s.mu.Unlock()

	a.remaining = int64(max(level, 0))
	a.reset = seconds((t.burst - level) / t.rate)
	if !a.OK {
		a.RetryAfter = max(seconds((1-level)/t.rate), 1)
	}
	return a
}

func (l *Limiter[K]) stripe(id uint64) *stripe {
	return &l.stripes[maphash.Comparable(l.seed, id)%stripes]
}

func (l *Limiter[K]) bucket(s *stripe, id uint64, t *terms, now time.Time) *bucket {
	b := s.young[id]
	if b != nil {
		return b
	}
	if s.young == nil || len(s.young) >= l.cfg.KeysMax/(2*stripes)+1 || now.Sub(s.since) > t.fill {
		s.old, s.young, s.since = s.young, make(map[uint64]*bucket), now
	}
	if b = s.old[id]; b == nil {
		b = newBucket(t, now)
	}
	s.young[id] = b
	return b
}

// Allowance is the answer of a limiter to one request.
type Allowance struct {
	OK         bool
	RetryAfter int64 // seconds until the next token; only where not OK

	name, policy     string
	remaining, reset int64
}

// Limited tells that a limiter was asked, so that headers have something to say.
func (a Allowance) Limited() bool { return a.policy != "" }

// AppendPolicy appends the policy's item of the RateLimit-Policy header.
func (a Allowance) AppendPolicy(dst []byte) []byte { return append(dst, a.policy...) }

// AppendState appends the policy's item of the RateLimit header: tokens left, and seconds until the
// bucket is full again.
func (a Allowance) AppendState(dst []byte) []byte {
	dst = append(dst, a.name...)
	dst = append(dst, ";r="...)
	dst = strconv.AppendInt(dst, a.remaining, 10)
	dst = append(dst, ";t="...)
	return strconv.AppendInt(dst, a.reset, 10)
}

// seconds rounds up, because coming back early is refused again.
func seconds(s float64) int64 { return int64(math.Ceil(s)) }
