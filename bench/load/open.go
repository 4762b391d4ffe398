package load

import (
	"container/heap"
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"sluice/bench/report"
)

// Visit says how a crowd visits a target.
type Visit struct {
	Target      Target
	Run         string // begins every Idempotency-Key: no two runs share it
	Connections int    // at most
	Timeout     time.Duration
	SaleID      string // empty: normal stock

	SKU     func(n int) int64 // id of a SKU of the crowd; SKUs is the one of the warm-up
	Token   func(user int) string
	Service string // token that confirms

	// StockLeft reads the free units of the most wanted SKU. It may be nil.
	StockLeft func(context.Context) (int64, error)
	// Watch is called with each second that is over, and the latencies of all so far, by one goroutine. It may be nil.
	Watch func(report.Second, report.Latency)
}

// Visited is what a visit came to.
type Visited struct {
	Length    time.Duration // of what was measured
	Outcomes  []report.Outcome
	Shoppers  []report.Outcome
	Settles   []report.Settle
	Seconds   []report.Second
	Generator report.Generator
	Fairness  *report.Fairness
	Cut       *report.Cut
	Units     []Units // by SKU; the last is that of the warm-up
}

// Units are those of one SKU that shoppers know of.
type Units struct {
	Accepted int64 // they were told that they have them
	Unknown  int64 // nobody told them: they may have them
}

// Fit reports whether so many units can be gone: as many as shoppers know of, and those of which they do not know perhaps.
func (u Units) Fit(gone int64) bool { return gone >= u.Accepted && gone <= u.Accepted+u.Unknown }

// Add adds those of another SKU.
func (u *Units) Add(o Units) {
	u.Accepted += o.Accepted
	u.Unknown += o.Unknown
}

const (
	lateAfter   = 10 * time.Millisecond
	idleMax     = 10 * time.Second       // of a connection: servers close idle ones, perhaps just as a request is sent
	queueMax    = 1 << 16                // requests that wait for a connection
	laterMax    = 4 << 20                // requests for later
	backoff     = 200 * time.Millisecond // before the first repetition
	pauseMax    = 30 * time.Second       // before any
	lastWordMax = time.Minute            // for requests after the last shopper has come
	stopWithin  = 2 * time.Second        // requests under way, when the run is ended
	silenceMax  = 10                     // seconds without an answer, after which the target is gone
)

// errTargetGone ends a run.
var errTargetGone = errors.New("the target has not answered for 10 seconds")

// request is one that is to be sent.
type request struct {
	visit   *visit
	call    call
	try     int // of a bot
	repeats int
	unknown bool   // an earlier one had no answer
	id      string // of the reservation

	word     report.Word // the last answer; empty: none yet
	answered time.Duration

	planned    time.Duration // since the start
	dispatched time.Duration
	free       bool // a connection was, when it was dispatched
}

// visit is the visit of one shopper.
type visit struct {
	Arrival
	open      atomic.Int32 // requests without an end
	won, lost atomic.Bool
}

// open is an open loop under way.
type open struct {
	crowd *Crowd
	visit *Visit
	start time.Time

	record   *record
	fairness *fairness
	units    []struct{ accepted, unknown atomic.Int32 }

	jobs    chan *request
	idle    atomic.Int32 // workers without a request
	busy    atomic.Int32
	peak    atomic.Int32
	workers int
	under   atomic.Int64 // requests without an end
	working sync.WaitGroup
	hard    context.Context // ends what is under way
	ended   atomic.Int64    // when it had sent everything, or was cut short, in ns; 0: it goes on
	meter   meter           // of the dispatcher

	mu    sync.Mutex
	later later
	wake  chan struct{}

	stock []*int64 // by second; of the collector
}

// Run sends a crowd to a target and tells what it got. It ends by itself, or early with the context. The plan and the
// visit must be valid.
func (c *Crowd) Run(ctx context.Context, v *Visit) *Visited { return newOpen(c, v).run(ctx) }

func newOpen(c *Crowd, v *Visit) *open {
	return &open{
		crowd: c, visit: v, start: time.Now(), record: newRecord(min(8, 2*runtime.GOMAXPROCS(0)), c.WarmUp),
		fairness: newFairness(c.WarmUp, c.Curve.Length()), units: make([]struct{ accepted, unknown atomic.Int32 }, c.SKUs+1),
		jobs: make(chan *request, queueMax), wake: make(chan struct{}, 1),
	}
}

func (o *open) run(ctx context.Context) *Visited {
	hard, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	o.hard = hard
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	collected := make(chan struct{})
	collecting, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(collected)
		o.collect(collecting, cut)
	}()
	o.dispatch(ctx)
	ended := o.since()
	o.ended.Store(int64(ended))
	if ctx.Err() != nil {
		time.AfterFunc(min(stopWithin, o.visit.Timeout), kill)
	}
	close(o.jobs)
	o.working.Wait()
	for _, r := range o.later { // their time did not come
		o.drop(r, report.LackTime)
		o.giveUp(r)
	}
	stop()
	<-collected
	return o.visited(context.Cause(ctx), ended)
}

func (o *open) since() time.Duration { return time.Since(o.start) }

// last is when the last shopper comes.
func (o *open) last() time.Duration { return o.crowd.WarmUp + o.crowd.Curve.Length() }

// inTime reports whether shoppers still came at a time.
func (o *open) inTime(at time.Duration) bool {
	ended := time.Duration(o.ended.Load())
	return at <= o.last() && (ended == 0 || at <= ended)
}

// dispatch sends everything at its time, until all is done or the context ends.
func (o *open) dispatch(ctx context.Context) {
	defer o.meter.stop(o.since)
	for a := range o.crowd.Arrivals() {
		if !o.until(ctx, a.At, false) {
			return
		}
		if !a.WarmUp {
			o.meter.start(o.since)
		}
		o.come(a)
	}
	last := o.last()
	o.until(ctx, last, false)
	o.meter.stop(o.since)
	settles := o.crowd.SettleAfter + o.visit.Timeout
	retries := time.Duration(o.crowd.Retries) * (pauseMax/8 + o.visit.Timeout)
	o.until(ctx, last+min(lastWordMax+o.crowd.SettleAfter, settles+retries+o.visit.Timeout), true)
}

// come sends what a shopper sends first.
func (o *open) come(a Arrival) {
	v := &visit{Arrival: a}
	tries := 1
	if a.Bot {
		tries = o.crowd.BotTries
	}
	v.open.Store(int32(tries))
	for try := range tries {
		o.under.Add(1)
		o.dispatchOne(&request{visit: v, try: try, planned: a.At})
	}
}

// until sends what is due before a time, and waits for the time; or, if it is to, for the end of everything.
func (o *open) until(ctx context.Context, end time.Duration, orDone bool) bool {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		now := o.since()
		due, at := o.due(now, end)
		switch {
		case due != nil:
			o.dispatchOne(due)
			continue
		case orDone && o.under.Load() == 0:
			return true
		case now >= end:
			return true
		}
		timer.Reset(at - now)
		select {
		case <-timer.C:
		case <-o.wake:
		case <-ctx.Done():
		}
	}
	return false
}

// due returns the next request for later whose time has come, or when to look again.
func (o *open) due(now, end time.Duration) (*request, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.later) == 0 {
		return nil, end
	}
	if first := o.later[0]; first.planned > now {
		return nil, min(end, first.planned)
	}
	return heap.Pop(&o.later).(*request), now
}

// dispatchOne gives a request to a worker, and never waits: whoever waits here sends everything late.
func (o *open) dispatchOne(r *request) {
	s := o.record.shards[0]
	s.plan(r)
	r.dispatched = o.since()
	r.free = int(o.idle.Load()) > len(o.jobs)
	if !r.free && o.workers < o.visit.Connections {
		r.free = true
		o.idle.Add(1)
		w := &openWorker{open: o, shard: o.record.shards[o.workers%len(o.record.shards)]}
		o.workers++
		o.working.Go(w.run)
	}
	select {
	case o.jobs <- r:
	default:
		s.leave(r, report.LackConnections)
		o.giveUp(r)
	}
}

// drop notes a request whose time has not come and that is never sent.
func (o *open) drop(r *request, lack report.Lack) {
	if !r.visit.WarmUp {
		s := o.record.shards[0]
		s.mu.Lock()
		s.planned++
		s.unsent[lack]++
		s.mu.Unlock()
	}
}

// again has a request sent later. It reports false if there are too many.
func (o *open) again(r *request) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.later) >= laterMax {
		return false
	}
	heap.Push(&o.later, r)
	if o.later[0] == r {
		o.nudge()
	}
	return true
}

func (o *open) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// end notes that nothing more comes of a request.
func (o *open) end(r *request) {
	v := r.visit
	if r.call == reserve && r.word != "" && !v.WarmUp {
		o.record.shards[int(v.Number)%len(o.record.shards)].shopper(r, o.inTime(r.answered))
	}
	if r.call == reserve && v.open.Add(-1) == 0 && v.SKU == 0 && !v.WarmUp && (v.won.Load() || v.lost.Load()) {
		o.fairness.add(&v.Arrival, v.won.Load())
	}
	if o.under.Add(-1) == 0 {
		o.nudge()
	}
}

// giveUp ends a request of which nobody knows a success.
func (o *open) giveUp(r *request) {
	if r.call == reserve && r.unknown {
		o.units[r.visit.SKU].unknown.Add(1)
	}
	o.end(r)
}

// collect looks at each second when it is over. If it comes late, several are.
func (o *open) collect(ctx context.Context, cut context.CancelCauseFunc) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	silent := 0
	for {
		select {
		case <-ctx.Done():
			for len(o.record.seconds) <= secondOf(o.since()) {
				o.record.roll()
			}
			return
		case <-ticker.C:
		}
		planned, first := int64(0), len(o.record.seconds)
		for over := secondOf(o.since()); len(o.record.seconds) < over; {
			planned += o.over(ctx, len(o.record.seconds)+1 == over)
		}
		if silent++; planned == 0 || o.record.heard(first) {
			silent = 0
		}
		if silent >= silenceMax {
			cut(errTargetGone)
		}
	}
}

// over ends a second and tells of it. It returns how many requests were planned in it. Only the last one has the stock
// of now.
func (o *open) over(ctx context.Context, last bool) int64 {
	n := len(o.record.seconds)
	o.record.roll()
	var left *int64
	if last {
		left = o.stockLeft(ctx)
	}
	o.stock = append(o.stock, left)
	s := o.record.second(n)
	s.StockLeft = left
	if o.visit.Watch != nil {
		o.visit.Watch(s, report.Summary(o.record.answered))
	}
	return s.Planned
}

func (o *open) stockLeft(ctx context.Context) *int64 {
	if o.visit.StockLeft == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second/2)
	defer cancel()
	left, err := o.visit.StockLeft(ctx)
	if err != nil {
		return nil
	}
	return &left
}

// later has requests for later, the next one first.
type later []*request

func (l later) Len() int           { return len(l) }
func (l later) Less(i, j int) bool { return l[i].planned < l[j].planned }
func (l later) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *later) Push(r any)        { *l = append(*l, r.(*request)) }
func (l *later) Pop() any {
	old := *l
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*l = old[:len(old)-1]
	return last
}
