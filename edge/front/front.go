// Package front keeps what the catalog answers to anybody, so that a page of a shop costs the catalog nothing while nothing changes.
// Events make an answer old, and so does time. While the catalog gives none, older ones are given, and say how old they are.
package front

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"sluice/core/follow"
	"sluice/core/problem"
)

const (
	// refusalLife is how long it is known that there is no such thing.
	refusalLife = 2 * time.Second
	// patience is how long who could have a stale answer waits for another one.
	patience = 300 * time.Millisecond
	// jitter is the part of a life that chance takes away, so that what came together does not end together.
	jitter = 0.2
)

// Parts are what a front is made of.
type Parts struct {
	Config

	Brokers []string
	// Token is a token of a service that may read which products there are.
	Token   func(now time.Time) (string, error)
	Local   Local // nil: nothing is known from before the start
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Front answers for the catalog. It is safe for concurrent use.
type Front struct {
	cfg               Parts
	catalog           *catalog
	memory            *otter.Cache[string, *Answer]
	floors            *floors
	screen            *screen
	hot               *hot
	shared            *shared
	asking            singleflight.Group
	products, sellers *follow.Follower
	background        context.Context // of questions, which outlive who asked first
	stop              context.CancelFunc
	complaints        rate.Sometimes

	fromMemory, fromRedis, fromCatalog, stale, passed, screened, outdated *metrics.Counter
}

// New makes a front, which asks nobody yet. The caller closes it.
func New(parts Parts) (*Front, error) {
	f := &Front{cfg: parts, floors: newFloors(), screen: newScreen(), hot: newHot(), complaints: rate.Sometimes{First: 3, Interval: time.Minute}}
	var err error
	f.memory, err = otter.New(&otter.Options[string, *Answer]{
		MaximumWeight: uint64(parts.MemoryMax),
		Weigher: func(_ string, a *Answer) uint32 {
			if a.pinned {
				return 0 // it is never evicted
			}
			return uint32(a.bytes())
		},
	})
	if err != nil {
		return nil, fmt.Errorf("keep answers of the catalog: %w", err)
	}
	set := parts.Metrics
	f.catalog, f.shared = newCatalog(&f.cfg.Config, set), newShared(&f.cfg)
	f.products, f.sellers = f.follow(topicProducts, "products"), f.follow(topicSellers, "sellers")
	f.background, f.stop = context.WithCancel(context.Background())
	level := func(name string) *metrics.Counter {
		return set.NewCounter(`sluice_edge_front_answers_total{from="` + name + `"}`)
	}
	f.fromMemory, f.fromRedis, f.fromCatalog = level("memory"), level("redis"), level("catalog")
	f.stale, f.passed, f.screened = level("stale"), level("passed"), level("screen")
	f.outdated = set.NewCounter("sluice_edge_front_outdated_answers_total")
	set.NewGauge("sluice_edge_front_memory_bytes", func() float64 { return float64(f.memory.WeightedSize()) })
	set.NewGauge("sluice_edge_front_memory_answers", func() float64 { return float64(f.memory.EstimatedSize()) })
	set.NewGauge("sluice_edge_front_hot_answers", func() float64 { return float64(len(f.hot.targets())) })
	set.NewGauge("sluice_edge_front_screen_entries", func() float64 { holds, _ := f.screen.count(); return float64(holds) })
	set.NewGauge("sluice_edge_front_screen_complete_ratio", func() float64 {
		if _, complete := f.screen.count(); complete {
			return 1
		}
		return 0
	})
	return f, nil
}

// Close ends all questions.
func (f *Front) Close() {
	f.stop()
	f.catalog.close()
	f.memory.StopAllGoroutines()
}

func (f *Front) nowMS() int64 { return time.Now().UnixMilli() }

// Result is an answer as it is given.
type Result struct {
	*Answer

	Stale  bool  // it is no longer fresh, and the catalog gives no other
	AgeS   int64 // how old a stale one is
	LateS  int64 // how long ago it should have been replaced
	Passed bool  // it is as the catalog gave it, and for nobody else
}

// Ask is a reading that somebody wants.
type Ask struct {
	Route  *Route
	Target string // path and query: of a query, plain values in the order of the route
	ID     string // of the path
	Client netip.Addr
}

// CacheControl is what browsers and CDNs may do with answers.
func (f *Front) CacheControl() []byte {
	return fmt.Appendf(nil, "public, max-age=%d, stale-if-error=%d", int64(f.cfg.MaxAge.Seconds()), int64(f.cfg.StaleMax.Seconds()))
}

// Plain reports whether a value can be in a target that is kept: it is the same however it is read.
func Plain(value []byte) bool { return plain(value) }

// Fresh returns an answer from memory if it is fresh. The target may be of memory that is used again.
func (f *Front) Fresh(target string, nowMS int64) (Result, bool) {
	a, ok := f.memory.GetIfPresent(target)
	if !ok || a.until <= nowMS || f.floors.agrees(a) != current {
		return Result{}, false
	}
	f.count(a)
	f.fromMemory.Inc()
	return Result{Answer: a}, true
}

// Get returns an answer. If it has no fresh one it asks the catalog, once for all who want it.
func (f *Front) Get(ask Ask) (Result, error) {
	if fresh, ok := f.Fresh(ask.Target, f.nowMS()); ok {
		return fresh, nil
	}
	if err := f.refuses(ask); err != nil {
		return Result{}, err
	}
	q := question{route: ask.Route, target: ask.Target, id: ask.ID, client: ask.Client}
	last := f.usable(q.target)
	// Who asks after an event does not wait for the answer to a question from before it.
	told := f.floors.number(q.route.tag(q.id))
	flight := fmt.Sprintf("%s %d %d", q.target, told.at, told.version)
	answer := f.asking.DoChan(flight, func() (any, error) { return f.fetch(q) })
	var hurry <-chan time.Time
	if last != nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		hurry = timer.C
	}
	select {
	case got := <-answer:
		if got.Shared && errors.Is(got.Err, errLimited) && last == nil {
			// The catalog was asked for who came first. The limit of one address is not the others'.
			got = <-f.asking.DoChan(flight+" for "+q.client.String(), func() (any, error) { return f.fetch(q) })
		}
		if a, ok := got.Val.(*Answer); ok && got.Err == nil {
			return Result{Answer: a}, nil
		}
		if last = f.usable(q.target); last == nil {
			return Result{}, f.without(q, got.Err)
		}
	case <-hurry:
		if last = f.usable(q.target); last == nil { // an event has hidden it
			return Result{}, f.without(q, errAway)
		}
	}
	f.stale.Inc()
	f.count(last)
	now := f.nowMS()
	return Result{Answer: last, Stale: true, AgeS: max(1, (now-last.begun)/1000), LateS: max(1, (now-last.until)/1000)}, nil
}

// Pass asks the catalog for one who must not have an answer of others.
func (f *Front) Pass(ask Ask, after string) (Result, error) {
	a, err := f.catalog.ask(f.background, question{route: ask.Route, target: ask.Target, id: ask.ID, client: ask.Client, after: after})
	if err != nil {
		return Result{}, refusal(err)
	}
	f.passed.Inc()
	return Result{Answer: a, Passed: true}, nil
}

// without is the problem for who gets no answer. What events have hidden is unknown though the catalog is away: behind a 503, a CDN may
// still show it.
func (f *Front) without(q question, err error) error {
	a, ok := f.memory.GetIfPresent(q.target) // it tells whose the product is
	if q.route.versioned && (f.floors.number(q.route.tag(q.id)).hidden || ok && f.floors.judge(a) == hidden) {
		return &problem.Problem{Kind: q.route.unknown}
	}
	return refusal(err)
}

// usable returns what there is in memory for want of a fresh answer.
func (f *Front) usable(target string) *Answer {
	a, ok := f.memory.GetIfPresent(target)
	if !ok {
		return nil
	}
	switch {
	case f.floors.judge(a) == hidden:
		return nil
	case a.restored && !f.Knows(): // an event may have hidden it meanwhile
		return nil
	case a.Refusal != nil || f.over(a):
		return nil
	}
	return a
}

// over reports whether an answer is too old even for a stale one.
func (f *Front) over(a *Answer) bool {
	return f.nowMS() > a.begun+(f.cfg.Life+f.cfg.StaleMax).Milliseconds()
}

// fetch asks the catalog and keeps the answer.
func (f *Front) fetch(q question) (a *Answer, err error) {
	defer func() {
		if p := recover(); p != nil { // it would end the process
			err = fmt.Errorf("ask the catalog: it panicked: %v\n%s", p, debug.Stack())
			f.complaints.Do(func() { f.cfg.Log.Error("an answer of the catalog made the edge panic", "error", err) })
		}
	}()
	if last, ok := f.memory.GetIfPresent(q.target); ok && !q.renews && last.until > f.nowMS() && f.floors.agrees(last) == current {
		return last, nil // somebody has just brought it
	}
	if a, ok := f.borrow(q); ok {
		f.fromRedis.Inc()
		return a, nil
	}
	if a, err = f.catalog.ask(f.background, q); err != nil {
		return nil, err
	}
	f.fromCatalog.Inc()
	return f.keep(a), nil
}

// borrow takes what another edge has asked for, if it is certain that no event came since. An edge that does not know the events takes
// nothing. The clocks of edges may differ.
func (f *Front) borrow(q question) (*Answer, bool) {
	if q.renews || !f.Knows() {
		return nil, false
	}
	changes := f.floors.changes.Load()
	a, ok := f.shared.get(f.background, q.target)
	if now := f.nowMS(); !ok || a.route != q.route || a.tags[0] != q.route.tag(q.id) || a.until <= now || a.until > now+f.cfg.Life.Milliseconds() || f.floors.judge(a) != current {
		return nil, false
	}
	a.checked.Store(changes)
	a.pinned = f.hot.has(a.target)
	return f.put(a), true
}

// keep puts an answer into memory, unless it is older than what events have told or than what is there. It returns the one to give.
func (f *Front) keep(a *Answer) *Answer {
	life := f.cfg.Life
	switch {
	case a.Refusal != nil && a.Refusal.Kind != a.route.unknown:
		return a // it is about how somebody asks
	case a.Refusal != nil:
		life = refusalLife
	}
	a.checked.Store(f.floors.changes.Load()) // before it is judged, so that an event in between has it judged again
	switch f.floors.judge(a) {
	case hidden:
		f.outdated.Inc()
		return &Answer{Refusal: &problem.Problem{Kind: a.route.unknown}}
	case outdated:
		f.outdated.Inc()
		if last, found := f.memory.GetIfPresent(a.target); found && f.newer(last, a) {
			return last
		}
		return a
	case unsettled:
		life = brieflyMS * time.Millisecond
	case current:
	}
	a.until = a.begun + int64(float64(life.Milliseconds())*(1-jitter*rand.Float64())) //nolint:gosec // G404: nobody gains by guessing it
	a.pinned = f.hot.has(a.target)
	kept := f.put(a)
	if kept == a && life == f.cfg.Life {
		f.shared.offer(a)
	}
	return kept
}

// put puts an answer into memory, unless there is a newer one, which it returns.
func (f *Front) put(a *Answer) *Answer {
	kept, _ := f.memory.Compute(a.target, func(last *Answer, found bool) (*Answer, otter.ComputeOp) {
		if found && f.newer(last, a) {
			f.outdated.Inc()
			return last, otter.CancelOp
		}
		return a, otter.WriteOp
	})
	return kept
}

// newer reports whether what is in memory is newer than what comes. A version that is over stands in nobody's way: a catalog that was
// restored may have lost it.
func (f *Front) newer(last, a *Answer) bool { return a.before(last) && !f.over(last) }

// before reports whether an answer is older than another one to the same question.
func (a *Answer) before(other *Answer) bool {
	if a.version != 0 && other.version != 0 && a.version != other.version {
		return a.version < other.version
	}
	return a.begun < other.begun
}

// refusal is the problem for a question that brought no answer.
func refusal(err error) error {
	switch {
	case errors.Is(err, errBusy):
		return &problem.Problem{Kind: problem.Overloaded}
	case errors.Is(err, errLimited):
		return &problem.Problem{Kind: problem.RateLimited}
	}
	return &problem.Problem{Kind: problem.Unavailable, Detail: "The catalog cannot be reached."}
}
