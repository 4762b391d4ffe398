package quota_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"pgregory.net/rapid"

	"sluice/core/limit"
	"sluice/core/stock/redisstock"
	"sluice/edge/quota"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// plain is a seal that hides nothing.
type plain struct{}

func (plain) Seal(text []byte) []byte            { return append([]byte(nil), text...) }
func (plain) Open(sealed []byte) ([]byte, error) { return sealed, nil }

// board is the stream of Redis, in memory.
type board struct {
	now     func() time.Time
	number  int // of the last notice
	notices []redisstock.Notice
	away    bool
	calls   int
}

// trim removes what is there.
func (b *board) trim() { b.notices = nil }

// give appends a notice.
func (b *board) give(text []byte) (id string) {
	b.number++
	id = fmt.Sprintf("%013d-%09d", b.now().UnixMilli(), b.number)
	b.notices = append(b.notices, redisstock.Notice{ID: id, Text: text})
	return id
}

var errAway = errors.New("redis is away")

func (b *board) ExchangeNotices(_ context.Context, text []byte, after string, limit int) (told string, heard []redisstock.Notice, err error) {
	b.calls++
	if b.away {
		return "", nil, errAway
	}
	if len(text) > 0 {
		told = b.give(text)
	}
	if after == "" {
		return told, nil, nil
	}
	for i := len(b.notices) - 1; i >= 0 && b.notices[i].ID > after; i-- {
		heard = append([]redisstock.Notice{b.notices[i]}, heard...)
	}
	return told, heard[:min(len(heard), limit)], nil
}

// edge is one edge of a simulation.
type edge struct {
	users  *limit.Limiter[int64]
	sharer *quota.Sharer
	set    *metrics.Set
	wake   chan struct{}
	last   time.Time
	awake  bool
	cutOff bool // Redis is away for this edge alone
}

// way is the stream as one edge reaches it.
type way struct {
	*board
	of *edge
}

func (w way) ExchangeNotices(ctx context.Context, text []byte, after string, limit int) (told string, heard []redisstock.Notice, err error) {
	if w.of.cutOff {
		return "", nil, errAway
	}
	return w.board.ExchangeNotices(ctx, text, after, limit)
}

// world is some edges with one clock.
type world struct {
	now   time.Time
	board board
	edges []*edge
	luck  *rand.Rand
}

func newWorld(seed uint64, edges int, cfg limit.Config) *world {
	w := &world{now: noon, luck: rand.New(rand.NewPCG(seed, 1))}
	w.board.now = func() time.Time { return w.now }
	for range edges {
		w.join(cfg)
	}
	return w
}

func (w *world) join(cfg limit.Config) *edge {
	e := &edge{wake: make(chan struct{}, 1), last: w.now.Add(-time.Duration(w.luck.Int64N(100)) * time.Millisecond), set: metrics.NewSet()}
	cfg.Wake = e.wake
	e.users = limit.New("user", cfg, limit.UserID)
	e.sharer = quota.New(quota.Config{
		Board: way{&w.board, e}, Seal: plain{}, Policies: []quota.Policy{e.users}, Wake: e.wake,
		Metrics: e.set, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return w.now },
	})
	w.edges = append(w.edges, e)
	return e
}

// pass lets a millisecond pass. Edges exchange as Run has them do, up to half as late again.
func (w *world) pass(t quota.TB) {
	w.now = w.now.Add(time.Millisecond)
	for _, e := range w.edges {
		select {
		case <-e.wake:
			e.awake = true
		default:
		}
		wait := quota.PollEvery
		if e.awake {
			wait = e.sharer.Gap()
		}
		wait += time.Duration(w.luck.Int64N(int64(wait/2) + 1))
		if w.now.Sub(e.last) < wait {
			continue
		}
		e.last, e.awake = w.now, false
		if err := e.sharer.Exchange(context.Background()); err != nil && !w.board.away && !e.cutOff {
			t.Fatal(err)
		}
	}
}

// meet lets edges learn of each other.
func (w *world) meet(t quota.TB) {
	for range 1500 {
		w.pass(t)
	}
}

// Ways in which requests come to edges.
var spreads = map[string]func(w *world, ms int) int{
	"even":   func(w *world, ms int) int { return ms % len(w.edges) },
	"random": func(w *world, _ int) int { return w.luck.IntN(len(w.edges)) },
	"skewed": func(w *world, _ int) int { // half to the first, a quarter to the second, ...
		for i := range w.edges {
			if w.luck.IntN(2) == 0 {
				return i
			}
		}
		return 0
	},
	"one":    func(*world, int) int { return 0 },
	"moving": func(w *world, ms int) int { return ms / 700 % len(w.edges) },
}

// TestLimitHoldsOverAllEdges sends a user's requests to 2 to 8 edges, at a steady rate, or first of all a burst.
func TestLimitHoldsOverAllEdges(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		edges := rapid.IntRange(2, 8).Draw(t, "edges")
		perSecond := rapid.IntRange(10, 300).Draw(t, "rate")
		burst := max(int(float64(perSecond)*rapid.Float64Range(0.05, 3).Draw(t, "seconds of burst")), 10)
		spread := spreads[rapid.SampledFrom([]string{"even", "random", "skewed", "one", "moving"}).Draw(t, "spread")]
		load := float64(perSecond) * rapid.SampledFrom([]float64{0.5, 0.9, 1.1, 2, 5}).Draw(t, "load")
		crowd := rapid.IntRange(0, 3*burst).Draw(t, "crowd")                       // come first,
		crowdSeconds := rapid.Float64Range(0.5, 2).Draw(t, "seconds of the crowd") // in so much time
		w := newWorld(rapid.Uint64().Draw(t, "seed"), edges, limit.Config{Rate: float64(perSecond), Burst: burst, KeysMax: 1000})
		w.meet(t)

		ideal := limit.New("user", limit.Config{Rate: float64(perSecond), Burst: burst, KeysMax: 1000}, limit.UserID)
		const seconds = 8
		passed, right, came := 0, 0, 0.0
		for ms := range seconds * 1000 {
			came += load / 1000
			if float64(ms) < crowdSeconds*1000 {
				came += float64(crowd) / crowdSeconds / 1000
			}
			for ; came >= 1; came-- {
				if w.edges[spread(w, ms)].users.Allow(7, w.now).OK {
					passed++
				}
				if ideal.Allow(7, w.now).OK {
					right++
				}
			}
			w.pass(t)
			if most := float64(burst) + float64(perSecond*(ms+1))/1000; ms >= 999 && float64(passed) > 1.2*most+float64(edges) {
				t.Fatalf("after %d ms %d requests passed, the limit allows %.0f", ms, passed, most)
			}
			if ms%1000 == 999 && float64(passed) < 0.8*float64(right) {
				t.Fatalf("after %d ms %d requests passed, one edge alone would have let %d pass", ms, passed, right)
			}
		}
	})
}
