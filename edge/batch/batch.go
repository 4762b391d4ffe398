// Package batch makes vectors of the requests that arrive at an edge at the same time. It works by group commit: a
// request waits only while its lane's call is in flight. So an idle edge adds no wait, and a busy one sends large
// vectors. The package acknowledges a request at its cell's level, and hands the outbox entries of the scripts to the
// publisher. It decides nothing about stock.
package batch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/edge/cells"
)

// ErrFull means that too many requests wait. Nothing was executed.
var ErrFull = errors.New("queue full")

// ErrShare is an ErrFull: there is room for others, but not for one more request of this user.
var ErrShare = fmt.Errorf("%w: the user has its share of it", ErrFull)

// ErrDraining means that the edge is shutting down. Nothing was executed.
var ErrDraining = errors.New("draining")

// Store is the part of stock.Store that the batcher needs.
type Store interface {
	Do(ctx context.Context, vectors ...*stock.Vector)
	NodeOf(partition int) (string, error)
	OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	// StillHas fails unless a partition has every effect that the mark counts.
	StillHas(ctx context.Context, partition int, mark stock.Mark) error
	Partitions() int
}

// Publisher sends outbox entries to Kafka.
type Publisher interface {
	// Publish sends an entry soon. False means that the buffer is full; a relay will find the entry in the outbox.
	Publish(e stock.Entry) bool
	// PublishWait also calls done once, when Kafka has the entry on all in-sync replicas, or when that has failed.
	PublishWait(e stock.Entry, done func(error)) bool
}

// Defaults of a Batcher, and of the settings of an edge.
const (
	QueueMaxDefault    = 8192
	InFlightMaxDefault = 4
	ShedAfterDefault   = 200 * time.Millisecond
	LogTimeoutDefault  = 2 * time.Second
)

// Config bounds a Batcher. The zero value means the defaults.
type Config struct {
	// QueueMax is the number of requests that may wait for one Redis node or be in a call to it: so many that take units,
	// and so many others. Defaults to QueueMaxDefault. A larger queue takes more memory.
	QueueMax int
	// ShedAfter is how long a request that takes units may wait for its node, and in the call. The batcher lets in as many
	// as are decided in that time. Defaults to ShedAfterDefault.
	ShedAfter time.Duration
	// VectorMax is the number of requests of one vector. Defaults to, and is at most,
	// stock.VectorMax.
	VectorMax int
	// InFlightMax is the number of calls to one Redis node at once. All but one of them carry full vectors only.
	// Defaults to InFlightMaxDefault.
	InFlightMax int
	// CallTimeout bounds one call. Defaults to stock.CallTimeoutDefault.
	CallTimeout time.Duration
	// LogTimeout bounds the wait for Kafka at the level log. Defaults to LogTimeoutDefault.
	LogTimeout time.Duration
	// Ack is the level of cells that did not choose one. Defaults to redis.
	Ack stock.Ack
	// The batcher calls OnShut, from any goroutine and often, when a server refuses because nobody has vetted it.
	// OnShut must not block.
	OnShut func()
	// The batcher calls OnFence in the same way when an answer has a fenced cell.
	OnFence func()
	// Log gets what a person should see. Defaults to slog.Default().
	Log *slog.Logger

	starved func(now time.Time) time.Duration // see takers; a test gives its own
}

func (c Config) withDefaults() Config {
	setDefault(&c.QueueMax, QueueMaxDefault)
	setDefault(&c.VectorMax, stock.VectorMax)
	c.VectorMax = min(c.VectorMax, stock.VectorMax)
	setDefault(&c.InFlightMax, InFlightMaxDefault)
	setDefault(&c.ShedAfter, ShedAfterDefault)
	setDefault(&c.CallTimeout, stock.CallTimeoutDefault)
	setDefault(&c.LogTimeout, LogTimeoutDefault)
	if c.Ack == stock.AckDefault {
		c.Ack = stock.AckRedis
	}
	if c.OnShut == nil {
		c.OnShut = func() {}
	}
	if c.OnFence == nil {
		c.OnFence = func() {}
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.starved == nil {
		c.starved = newCores().share
	}
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Result is the decision about one request.
type Result struct {
	stock.Outcome
	Cell   stock.CellState // after the vector; not Loaded if the store did not return it
	TimeMS int64           // Redis time of the decision
}

// Batcher decides requests. It is safe for concurrent use.
type Batcher struct {
	store  Store
	cells  *cells.Cache
	pub    Publisher
	cfg    Config
	meter  *meter
	prover *prover
	groups sync.Pool

	routes   []atomic.Pointer[node]  // by partition
	routed   atomic.Pointer[[]*node] // that serve a partition
	routedAt atomic.Int64            // in ns since the epoch
	routing  atomic.Bool             // route runs
	replicas atomic.Bool             // some cell has the level replica, by its own setting or by default
	inFlight atomic.Int64            // calls
	work     sync.WaitGroup          // runners, probes, and entries on their way to Kafka
	living   context.Context         // until Drain
	drained  context.CancelFunc      // ends living

	mu       sync.Mutex
	nodes    []*node
	names    []string // of the servers, by partition
	breakers breakers
	draining bool
}

// New makes a batcher. The caller drains it before it closes store, cells or pub.
func New(store Store, known *cells.Cache, pub Publisher, cfg Config, set *metrics.Set) *Batcher {
	b := &Batcher{
		store:  store,
		cells:  known,
		pub:    pub,
		cfg:    cfg.withDefaults(),
		routes: make([]atomic.Pointer[node], store.Partitions()),
		names:  make([]string, store.Partitions()),

		breakers: breakers{set: set, all: map[string]*breaker{}},
	}
	b.living, b.drained = context.WithCancel(context.Background())
	b.replicas.Store(b.cfg.Ack == stock.AckReplica)
	b.meter = newMeter(set, b)
	b.prover = newProver(b)
	b.groups.New = func() any { return newGroup(b.cfg.VectorMax) }
	b.route()
	return b
}

// Do decides one request. It returns when the request is decided and acknowledged at its cell's level, or with an
// error: ErrFull, ErrShare, ErrDraining, ErrSilent, or one of package stock. It blocks for a full queue and a call at most; at the level log
// a write to Kafka comes on top. Do fills in the fence of r. If it returns an error, the result means nothing.
func (b *Batcher) Do(op stock.Op, r stock.Request) (res Result, err error) {
	replicate := b.replicating(&r)
	p, err := b.decide(op, &r, &res, replicate, false)
	if err == nil && res.Verdict == stock.VerdictReplicaMissing && !replicate {
		b.meter.replays.Inc() // its cell's level was not known
		p, err = b.decide(op, &r, &res, true, true)
	}
	if err == nil && !res.Verdict.Refused() {
		err = b.acknowledge(op, &r, &res, p)
	}
	return res, err
}

// decide queues the request and waits for its verdict.
func (b *Batcher) decide(op stock.Op, r *stock.Request, res *Result, replicate, again bool) (proof, error) {
	t, err := b.enqueue(op, r, replicate, again)
	if err != nil {
		return proof{}, err
	}
	<-t.signal
	g := t.group
	p, err := g.proof, g.result(t.i, res)
	if g.left.Add(-1) == 0 {
		b.groups.Put(g)
	}
	return p, err
}

// Drain refuses new requests. It returns when every accepted request is decided and the publisher has its effects, or
// when ctx ends. A server must end its own requests first, because at the level log some may still wait for Kafka.
func (b *Batcher) Drain(ctx context.Context) error {
	b.mu.Lock()
	b.draining = true
	b.drained()
	for _, n := range b.nodes {
		for _, l := range n.lanes() {
			l.mu.Lock()
			l.queue.draining = true
			l.mu.Unlock()
		}
	}
	b.mu.Unlock()

	done := make(chan struct{})
	go func() {
		defer close(done)
		b.work.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("drain the batcher: %w", ctx.Err())
	}
}

// Queued returns the number of requests that wait to be sent.
func (b *Batcher) Queued() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	queued := 0
	for _, n := range b.nodes {
		for _, l := range n.lanes() {
			l.mu.Lock()
			for _, requests := range l.queue.requests {
				queued += requests
			}
			l.mu.Unlock()
		}
	}
	return queued
}

// limit returns how many requests that take units may be in a lane, of the lane with the lowest limit.
func (b *Batcher) limit() int64 {
	least := int64(b.cfg.QueueMax)
	for _, n := range *b.routed.Load() {
		for _, l := range n.lanes() {
			least = min(least, l.takers.limit.Load())
		}
	}
	return least
}
