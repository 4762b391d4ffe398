// Package screen refuses requests that Redis would refuse too, without asking Redis. Known refuses SKUs that nobody
// has loaded, SoldOut refuses cells that are sold out. A screen never decides that a unit is sold. If it is not
// certain, it lets the request pass.
package screen

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/bits-and-blooms/bloom/v3"
	"golang.org/x/time/rate"

	"sluice/core/stock"
	"sluice/edge/cells"
)

// ErrBusy means that clients ask for more unknown SKUs than the screen may check in Redis.
var ErrBusy = errors.New("too many unknown SKUs are asked for")

// KnownStore is the part of the store that Known reads.
type KnownStore interface {
	// CellCounts returns the number of cells of each partition. It is -1 for partitions that the error is about.
	CellCounts(ctx context.Context) ([]int64, error)
	// ScanCells yields at least the cells that the partition has during the whole scan.
	ScanCells(ctx context.Context, partition int, yield func(stock.Cell) error) error
	Partitions() int
}

// Snapshots keeps filters over a restart. Package localstore implements it.
type Snapshots interface {
	Save(key string, version uint32, data []byte, ttl time.Duration) error
	Load(key string, version uint32) ([]byte, bool)
}

// KnownConfig bounds a Known. The zero value means the defaults.
type KnownConfig struct {
	// Deployment is the deployment whose snapshots are valid.
	Deployment string
	// FalsePositives is the share of unknown SKUs that may pass. It decides the size of the filters. Defaults to
	// 0.001, about 2 bytes per SKU.
	FalsePositives float64
	// ExactPerSecond is how many negatives the screen may check in Redis per second. Requests that anyone may make
	// have a second budget of the same size. Defaults to 200.
	ExactPerSecond int
	// PollEvery is how often Run reads the numbers of cells. Defaults to pollKnownEvery.
	PollEvery time.Duration
	// Snapshots keeps the filters over a restart. If it is nil, Run scans all partitions after a restart.
	Snapshots Snapshots
	// Log gets what a person should see. Defaults to slog.Default().
	Log *slog.Logger
}

func (c KnownConfig) withDefaults() KnownConfig {
	if c.FalsePositives <= 0 || c.FalsePositives >= 1 {
		c.FalsePositives = 0.001
	}
	if c.ExactPerSecond <= 0 {
		c.ExactPerSecond = 200
	}
	if c.PollEvery <= 0 {
		c.PollEvery = pollKnownEvery
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// pollKnownEvery is how often an edge asks for new SKUs. A sale opens no sooner than sale.LeadTime after it was made.
// By then every edge has asked.
const pollKnownEvery = time.Second

// stalePolls is the number of failed polls after which no filter counts as complete.
const stalePolls = 3

// Known distinguishes loaded SKUs from made-up ones with a bloom filter per partition. It is safe for concurrent use.
//
// Redis never deletes cells. So a filter is complete if it holds as many cells as Redis counts in its partition. Only
// then does a negative of the filter mean that the cell does not exist. Run counts again and again, and scans a
// partition when the numbers differ.
type Known struct {
	store   KnownStore
	cells   *cells.Cache
	cfg     KnownConfig
	filters []filter
	exact   *rate.Limiter
	public  *rate.Limiter // exact, for requests without a token
	stale   atomic.Bool   // the last polls failed: nobody knows the numbers of cells
	changed chan struct{} // wakes Run for a poll, because a filter lacks a cell

	unsure, refused, shed, healed, missed *metrics.Counter
}

// filter holds the cells of one partition.
type filter struct {
	mu      sync.RWMutex
	bits    *bloom.BloomFilter
	filling *bloom.BloomFilter // the filter that a running scan fills; nil: no scan runs
	holds   int64              // bits holds at least the first so many cells of the partition; -1: unknown
	counted int64              // number of cells in Redis at the last poll; -1: unknown
	missed  int                // polls in a row that did not count this partition
	ready   bool               // has been complete once since the start
	scanned bool               // by this process; a filter from a snapshot is scanned again when there is time
	unsaved bool               // scanned since it was last saved
	savedAt time.Time
}

// complete reports whether a negative of the filter is certain. Redis never deletes cells, so the same number of
// cells means the same cells.
func (f *filter) complete() bool { return f.counted >= 0 && f.holds == f.counted }

// NewKnown makes a screen that lets everything pass until Run has read the cells.
func NewKnown(store KnownStore, known *cells.Cache, cfg KnownConfig, set *metrics.Set) *Known {
	cfg = cfg.withDefaults()
	k := &Known{
		store:   store,
		cells:   known,
		cfg:     cfg,
		filters: make([]filter, store.Partitions()),
		exact:   rate.NewLimiter(rate.Limit(cfg.ExactPerSecond), cfg.ExactPerSecond),
		public:  rate.NewLimiter(rate.Limit(cfg.ExactPerSecond), cfg.ExactPerSecond),
		changed: make(chan struct{}, 1),
		unsure:  set.NewCounter("sluice_edge_screen_known_unsure_lookups_total"),
		refused: set.NewCounter("sluice_edge_screen_known_refused_lookups_total"),
		shed:    set.NewCounter("sluice_edge_screen_known_shed_lookups_total"),
		healed:  set.NewCounter("sluice_edge_screen_known_healed_lookups_total"),
		missed:  set.NewCounter("sluice_edge_screen_known_false_positives_total"),
	}
	for i := range k.filters {
		k.filters[i] = filter{bits: k.sized(0), holds: -1, counted: -1}
	}
	set.NewGauge("sluice_edge_screen_known_complete_ratio", k.completeness)
	set.NewGauge("sluice_edge_screen_known_fill_ratio", k.fill)
	set.NewGauge("sluice_edge_screen_known_cells", func() float64 { return float64(k.Cells()) })
	set.NewGauge("sluice_edge_screen_known_false_positive_ratio", k.falsePositives)
	return k
}

// MayExist reports whether a cell may exist. A false without an error is certain. ErrBusy means that the cell did not
// exist at the last poll, and that the screen may not ask Redis whether it does now.
//
// public marks requests that need no token. They have a budget of their own, so that nobody without a token uses up
// the budget of the others.
func (k *Known) MayExist(ctx context.Context, cell stock.Cell, public bool) (bool, error) {
	exact := k.exact
	if public {
		exact = k.public
	}
	f := k.filter(cell)
	var buf [stock.CellBytes]byte
	f.mu.RLock()
	found := f.bits.Test(cell.Append(buf[:0]))
	complete := f.complete()
	f.mu.RUnlock()
	switch {
	case found:
		return true, nil
	case !complete || k.stale.Load():
		k.unsure.Inc()
		return true, nil
	case !exact.AllowN(time.Now(), 1):
		k.shed.Inc()
		return false, ErrBusy
	}
	state, _, err := k.cells.State(ctx, cell, 0)
	switch {
	case err != nil:
		k.unsure.Inc()
		return true, nil //nolint:nilerr // if the screen is not certain, it lets the request pass
	case !state.Loaded:
		k.refused.Inc()
		return false, nil
	}
	k.healed.Inc()
	k.Add(cell)
	select {
	case k.changed <- struct{}{}:
	default:
	}
	return true, nil
}

// Add adds a cell that was just made.
func (k *Known) Add(cell stock.Cell) {
	var buf [stock.CellBytes]byte
	name := cell.Append(buf[:0])
	f := k.filter(cell)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bits.Add(name)
	if f.filling != nil {
		f.filling.Add(name)
	}
}

// Missed notes that MayExist let a cell pass which Redis then called not loaded.
func (k *Known) Missed(cell stock.Cell) {
	f := k.filter(cell)
	var buf [stock.CellBytes]byte
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.bits.Test(cell.Append(buf[:0])) { // otherwise the cell passed because the filter is not complete
		k.missed.Inc()
	}
}

// Ready reports whether every filter has been complete once since the start, and whether the numbers of cells are
// known. When somebody loads new SKUs, the screen lets more requests pass until it has scanned them, but it stays
// ready. Otherwise new SKUs would make all edges unready at once.
func (k *Known) Ready() bool {
	for i := range k.filters {
		f := &k.filters[i]
		f.mu.RLock()
		ready := f.ready
		f.mu.RUnlock()
		if !ready {
			return false
		}
	}
	return !k.stale.Load()
}

// Counted returns the number of cells that Redis had in a partition at the last poll, or -1 if nobody knows.
func (k *Known) Counted(partition int) int64 {
	f := &k.filters[partition]
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.counted
}

// Cells returns the number of cells in the filters.
func (k *Known) Cells() int64 {
	var n int64
	for i := range k.filters {
		f := &k.filters[i]
		f.mu.RLock()
		n += max(0, f.holds)
		f.mu.RUnlock()
	}
	return n
}

// completeness returns the share of filters that are complete.
func (k *Known) completeness() float64 {
	n := 0
	for i := range k.filters {
		f := &k.filters[i]
		f.mu.RLock()
		if f.complete() {
			n++
		}
		f.mu.RUnlock()
	}
	return float64(n) / float64(len(k.filters))
}

// fill returns the share of bits that are set in the fullest filter. At 0.5 a filter holds as many cells as it was
// sized for.
func (k *Known) fill() float64 {
	highest := 0.0
	for i := range k.filters {
		f := &k.filters[i]
		f.mu.RLock()
		highest = max(highest, float64(f.bits.BitSet().Count())/float64(f.bits.Cap()))
		f.mu.RUnlock()
	}
	return highest
}

// falsePositives returns the measured share of unknown cells that passed.
func (k *Known) falsePositives() float64 {
	return shareOf(k.missed.Get(), k.refused.Get()+k.shed.Get())
}

// shareOf returns the share of some among them and all others; NaN if there are none at all.
func shareOf(some, others uint64) float64 {
	if some+others == 0 {
		return math.NaN()
	}
	return float64(some) / float64(some+others)
}

func (k *Known) filter(cell stock.Cell) *filter {
	return &k.filters[cell.Partition(len(k.filters))]
}

// sized makes a filter for twice the number of cells, so that the filter of a growing partition keeps its share of
// false positives until the next scan.
func (k *Known) sized(cells int64) *bloom.BloomFilter {
	return bloom.NewWithEstimates(uint(max(2*cells, 1024)), k.cfg.FalsePositives)
}
