// Package limit owns the token buckets that shed load before it costs anything: one bucket per user or per address, in
// bounded memory. A refused request was not looked at, and its answer says when to come back.
//
// The buckets are those of golang.org/x/time/rate. A full bucket is the same as none, so two generations
// of plain maps bound them: forgetting a whole generation costs one assignment, where a cache would move
// an entry in a list at each request.
package limit

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Config sizes the buckets of one kind.
type Config struct {
	Rate  float64 // tokens per second that flow into a bucket
	Burst int     // tokens that a bucket holds
	// KeysMax bounds the buckets that are remembered, about 200 bytes each. With more keys in use,
	// those used least recently start again with a full bucket.
	KeysMax int
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
// everything.
type Limiter[K comparable] struct {
	cfg     Config
	name    string
	policy  string
	hash    func(K) uint64
	stripes [stripes]stripe[K]
}

// stripe has two generations. A bucket that nobody used for as long as it takes to fill is full: so the
// old generation is dropped after that time, or when the young one has its share of the keys.
type stripe[K comparable] struct {
	mu    sync.Mutex
	young map[K]*rate.Limiter
	old   map[K]*rate.Limiter
	since time.Time // when young began
	_     [16]byte  // keeps the locks on cache lines of their own
}

// New makes a limiter. The name is that of its policy in headers; hash spreads the keys.
func New[K comparable](name string, cfg Config, hash func(K) uint64) *Limiter[K] {
	l := &Limiter[K]{cfg: cfg, name: strconv.Quote(name), hash: hash}
	l.policy = fmt.Sprintf("%s;q=%d;w=%d", l.name, cfg.Burst, seconds(float64(cfg.Burst)/cfg.Rate))
	return l
}

// Allow takes one token from the key's bucket.
func (l *Limiter[K]) Allow(key K, now time.Time) Allowance {
	if l == nil {
		return Allowance{OK: true}
	}
	s := &l.stripes[l.hash(key)%stripes]
	s.mu.Lock()
	defer s.mu.Unlock()
	bucket := l.bucket(s, key, now)
	a := Allowance{OK: bucket.AllowN(now, 1), name: l.name, policy: l.policy}
	left := math.Max(bucket.TokensAt(now), 0)
	a.remaining = int64(left)
	a.reset = seconds((float64(l.cfg.Burst) - left) / l.cfg.Rate)
	if !a.OK {
		a.RetryAfter = max(seconds((1-left)/l.cfg.Rate), 1)
	}
	return a
}

func (l *Limiter[K]) bucket(s *stripe[K], key K, now time.Time) *rate.Limiter {
	bucket := s.young[key]
	if bucket != nil {
		return bucket
	}
	fill := time.Duration(float64(l.cfg.Burst) / l.cfg.Rate * float64(time.Second))
	if s.young == nil || len(s.young) >= l.cfg.KeysMax/(2*stripes)+1 || now.Sub(s.since) > fill {
		s.old, s.young, s.since = s.young, make(map[K]*rate.Limiter), now
	}
	if bucket = s.old[key]; bucket == nil {
		bucket = rate.NewLimiter(rate.Limit(l.cfg.Rate), l.cfg.Burst)
	}
	s.young[key] = bucket
	return bucket
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
