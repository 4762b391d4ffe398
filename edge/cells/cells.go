// Package cells remembers the last known state of the cells that an edge deals with: the highest position seen of each
// cell, for the fence; its settings; and readings that are young enough to show. It decides nothing. A state may be
// old, and comes with its age.
package cells

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
)

// ErrFull means that too many readings of a partition wait already.
var ErrFull = errors.New("too many readings wait")

// ErrClosed means that the cache was closed.
var ErrClosed = errors.New("cell cache closed")

// Store is where cells are read.
type Store interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	Partitions() int
}

// CellsMaxDefault is the default of Config.CellsMax.
const CellsMaxDefault = 1 << 18

// Config bounds a Cache. The zero value means the defaults.
type Config struct {
	// CellsMax is the number of cells that the cache remembers, about 250 bytes each. The longest unused cell of a
	// partition goes first, and its fence with it. Defaults to CellsMaxDefault.
	CellsMax int
	// CallTimeout bounds one reading from the store. Defaults to stock.CallTimeoutDefault.
	CallTimeout time.Duration
	// QueueMax is the number of cells per partition that may wait to be read. Defaults to 1,024.
	QueueMax int
	// Snapshots keeps the cells over a restart. If it is nil, the next run begins empty.
	Snapshots Snapshots
	// Deployment is the deployment whose snapshot is valid.
	Deployment string
	// Log gets what a person should see. Defaults to slog.Default().
	Log *slog.Logger
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	if c.CellsMax <= 0 {
		c.CellsMax = CellsMaxDefault
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = stock.CallTimeoutDefault
	}
	if c.QueueMax <= 0 {
		c.QueueMax = 1024
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Cache remembers cells. It is safe for concurrent use.
type Cache struct {
	store      Store
	cfg        Config
	start      time.Time
	partitions []partition // each has its own lock, so that a vector needs one lock for all its cells

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	readers sync.WaitGroup

	hits, misses *metrics.Counter
}

// New makes a cache over store, with the cells of the snapshot. The caller closes it.
func New(store Store, cfg Config, set *metrics.Set) *Cache {
	c := &Cache{
		store:      store,
		cfg:        cfg.withDefaults(),
		partitions: make([]partition, store.Partitions()),
		hits:       set.NewCounter(`sluice_edge_cache_reads_total{from="memory"}`),
		misses:     set.NewCounter(`sluice_edge_cache_reads_total{from="store"}`),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.start = c.cfg.Now()
	perPartition := max(1, c.cfg.CellsMax/len(c.partitions))
	for i := range c.partitions {
		c.partitions[i].known = newTable(perPartition)
	}
	c.restore()
	set.NewGauge("sluice_edge_cache_cells", func() float64 { return float64(c.Len()) })
	return c
}

// Close ends readings under way, refuses new ones, and saves the cells for the next start.
func (c *Cache) Close() {
	c.cancel()
	for i := range c.partitions {
		p := &c.partitions[i]
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
	}
	c.readers.Wait()
	c.save()
}

// Len returns the number of remembered cells.
func (c *Cache) Len() int {
	n := 0
	for i := range c.partitions {
		p := &c.partitions[i]
		p.mu.Lock()
		n += p.known.len()
		p.mu.Unlock()
	}
	return n
}

// Peek returns the remembered state of a cell, however old, without asking anyone.
func (c *Cache) Peek(cell stock.Cell) (state stock.CellState, asOf time.Time, ok bool) {
	p := c.partitionOf(cell)
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.known.find(cell)
	if e == nil {
		return stock.CellState{}, time.Time{}, false
	}
	return e.state, c.start.Add(e.asOf), true
}

// Fence returns the highest position seen of a cell of a partition. It is the zero Position if the cell is not remembered.
func (c *Cache) Fence(partition int, cell stock.Cell) stock.Position {
	p := &c.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.known.find(cell); e != nil {
		return e.fence
	}
	return stock.Position{}
}

// Seen returns the remembered cells of a partition as they were last seen, each with its fence for its position. It may be that
// Redis has lost them since.
func (c *Cache) Seen(partition int) (seen []stock.CellState) {
	p := &c.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.known.entries {
		e := &p.known.entries[i]
		seen = append(seen, e.state)
		seen[i].Position = e.fence
	}
	return seen
}

// Prepare fills in the fences of requests of one partition.
func (c *Cache) Prepare(partition int, requests []stock.Request) {
	p := &c.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	var last *entry
	for i := range requests {
		r := &requests[i]
		if last == nil || last.state.Cell != r.Cell {
			last = p.known.find(r.Cell)
		}
		if last != nil {
			r.Fence = last.fence
		}
	}
}

// Observe remembers states of cells of one partition from the answer to a call. asOf is when the call was made. Calls
// that were in flight at once may be observed in any order.
func (c *Cache) Observe(partition int, states []stock.CellState, asOf time.Time) {
	at := asOf.Sub(c.start)
	p := &c.partitions[partition]
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range states {
		p.known.observe(&states[i], at)
	}
}

// State returns a cell's state, at most maxAge old, and the moment as of which it is known. It reads a cell that is not
// remembered, once for everybody who asks at the same time. The state of an unknown cell is not Loaded. Errors are
// ErrFull, ErrClosed, the end of ctx, or the store's.
func (c *Cache) State(ctx context.Context, cell stock.Cell, maxAge time.Duration) (stock.CellState, time.Time, error) {
	p := c.partitionOf(cell)
	oldest := c.clock() - maxAge

	p.mu.Lock()
	if e := p.known.find(cell); e != nil && e.asOf >= oldest {
		state, asOf := e.state, c.start.Add(e.asOf)
		p.mu.Unlock()
		c.hits.Inc()
		return state, asOf, nil
	}
	r, err := c.join(p, cell, oldest) //nolint:contextcheck // what it starts is for all who ask, and ends with the cache
	p.mu.Unlock()
	if err != nil {
		return stock.CellState{}, time.Time{}, err
	}
	select {
	case <-r.done:
		if r.err != nil {
			return stock.CellState{}, time.Time{}, fmt.Errorf("read %v: %w", cell, r.err)
		}
		return r.state, c.start.Add(r.asOf), nil
	case <-ctx.Done():
		return stock.CellState{}, time.Time{}, ctx.Err()
	}
}

// clock returns the time since the cache was made. Unlike a time.Time, such a duration holds no pointer.
func (c *Cache) clock() time.Duration { return c.cfg.Now().Sub(c.start) }

func (c *Cache) partitionOf(cell stock.Cell) *partition {
	return &c.partitions[cell.Partition(len(c.partitions))]
}
