package limit

import (
	"math"
	"time"
)

// lagMax is the longest time after which an edge has mostly learned what others let pass.
const lagMax = 100 * time.Millisecond

// terms are what all buckets of a limiter have in common. They follow from its configuration and from the number of edges.
type terms struct {
	rate, burst float64
	shared      bool          // there are other edges
	fill        time.Duration // how long a bucket takes to be full again at most
	spareMax    float64       // tokens
	debtMax     float64       // tokens that a bucket can be below 0: more than all other edges can let pass before they learn of it
	tell        float64       // untold tokens that are worth telling while the bucket is far from empty
	forget      float64       // untold tokens that are forgotten per second: all edges together forget a tenth of the rate
}

func termsOf(cfg Config, edges int) *terms {
	t := &terms{rate: cfg.Rate, burst: float64(cfg.Burst), shared: edges > 1}
	if t.shared {
		t.spareMax = t.rate * lagMax.Seconds()
		t.debtMax = float64(edges) * (t.burst + t.spareMax)
		t.tell = max(1.5, t.burst/float64(10*edges)) // more than one token, so that rare requests are never told
		t.forget = t.rate / float64(10*edges)
	}
	const longest = float64(math.MaxInt64 / 2)
	t.fill = time.Duration(min((t.burst+t.debtMax)/t.rate*float64(time.Second), longest))
	return t
}

// bucket is a token bucket as one edge knows it. Each edge has the whole bucket of a key, and takes out of it what others
// say that they have taken. So in the long run no more passes than one bucket holds, wherever it passes. Until an edge
// learns of what others took, it gives tokens twice. Then its level is below 0, and nothing passes here until the bucket
// has made up for it.
type bucket struct {
	level float64
	// spare has the tokens of the last moment that a full bucket did not hold. They pay for what others took in that
	// moment, because an edge learns of it late, when its bucket is full again.
	spare  float64
	untold float64 // tokens taken here that other edges do not know of
	at     time.Time
	due    bool // it waits to be told
}

func newBucket(t *terms, now time.Time) *bucket {
	return &bucket{level: t.burst, spare: t.spareMax, at: now}
}

// flow lets in the tokens of the time since the last call.
func (b *bucket) flow(t *terms, now time.Time) {
	since := now.Sub(b.at).Seconds()
	if since <= 0 {
		return
	}
	b.at = now
	b.untold = max(b.untold-t.forget*since, 0)
	b.level += t.rate * since
	if over := b.level - t.burst; over > 0 {
		b.level, b.spare = t.burst, min(b.spare+over, t.spareMax)
	}
}

// take takes a token, if there is one.
func (b *bucket) take(t *terms, now time.Time) bool {
	const whole = 1 - 1e-9 // as sums of fractions may be a little less
	b.flow(t, now)
	if b.level < whole {
		return false
	}
	b.level--
	if b.untold = min(b.untold+1, t.burst); !t.shared {
		b.untold = 0
	}
	return true
}

// learn takes what others have taken.
func (b *bucket) learn(t *terms, tokens float64, now time.Time) {
	b.flow(t, now)
	paid := min(b.spare, tokens)
	b.spare -= paid
	b.level = max(b.level-(tokens-paid), -t.debtMax)
}

// worthTelling reports whether other edges should know what was taken here. While a bucket is more than half full, a few
// tokens are not worth it. So keys that are far from their limit cost nothing.
func (b *bucket) worthTelling(t *terms) bool {
	return t.shared && (b.untold >= t.tell || b.untold >= 0.5 && b.level < t.burst/2)
}

// tell returns the tokens that other edges do not know of. They are told now.
func (b *bucket) tell() int64 {
	told := int64(math.Ceil(b.untold)) // whole ones again: a little of each may be forgotten
	b.untold, b.due = 0, false
	return told
}
