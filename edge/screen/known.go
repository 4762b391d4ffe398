// Package screen refuses what Redis would refuse too, without asking it: SKUs that nobody loaded
// (Known) and cells that are sold out (SoldOut). A screen never decides that a unit is sold, and
// where it is not certain it lets the request pass.
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

// ErrBusy tells that more unknown SKUs are asked for than can be checked in Redis.
var ErrBusy = errors.New("too many unknown SKUs are asked for")

// KnownStore is what Known reads.
type KnownStore interface {
	// CellCounts is the number of cells of each partition, and -1 of those that the error is about.
	CellCounts(ctx context.Context) ([]int64, error)
	// ScanCells yields at least the cells that the partition has from its beginning to its end.
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
	// FalsePositives is the share of unknown SKUs that the filters are sized to let pass. Defaults
	// to 0.001, about 2 bytes per SKU.
	FalsePositives float64
	// ExactPerSecond is how many negatives per second are checked in Redis, and how many more of what
	// anyone may ask. Defaults to 200.
	ExactPerSecond int
	// PollEvery is how often the numbers of cells are read. Defaults to pollKnownEvery.
	PollEvery time.Duration
	// Snapshots keeps the filters over a restart. Nil: they are scanned again.
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

// pollKnownEvery is how often an edge asks for new SKUs. A sale opens no sooner than sale.LeadTime after it was made, so
// that every edge has asked meanwhile.
const pollKnownEvery = time.Second

// stalePolls is after how many missed polls the filters are no longer taken for complete.
const stalePolls = 3

// Known tells SKUs that are loaded from made-up ones by a bloom filter per partition. It is safe for
// concurrent use.
type Known struct {
	store   KnownStore
	cells   *cells.Cache
	cfg     KnownConfig
	filters []filter
	exact   *rate.Limiter
	public  *rate.Limiter // exact, for what anyone may ask
	stale   atomic.Bool   // the numbers of cells were not read for too long
	changed chan struct{} // a filter was found stale: poll now

	unsure, refused, shed, healed, missed *metrics.Counter
}

// filter is the cells of one partition.
type filter struct {
	mu      sync.RWMutex
	bits    *bloom.BloomFilter
	filling *bloom.BloomFilter // what a scan under way fills, else nil
	holds   int64              // of the cells that the partition ever had, surely the first so many; -1: unknown
	counted int64              // cells of the partition at the last poll; -1: unknown
	missed  int                // polls in a row that did not tell
	ready   bool               // was complete once since the start
	scanned bool               // by this process: a snapshot's filter is scanned again when there is time
	unsaved bool               // scanned since it was last saved
	savedAt time.Time
}

// complete reports that a negative is certain. Cells are never deleted, so the same number of cells
// is the same cells.
func (f *filter) complete() bool { return f.counted >= 0 && f.holds == f.counted }

// NewKnown makes a screen that lets everything pass until Run has read which cells there are.
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

// MayExist reports whether a cell may exist; a false is certain. With ErrBusy it did not exist at the
// last poll, and it is not known whether it does now. What anyone may ask is public: it is checked from
// a budget of its own, so that it leaves that of the others alone.
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
		return true, nil //nolint:nilerr // a screen that cannot tell lets pass
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

// Add makes a cell known that was just made.
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

// Missed tells that Redis called a cell not loaded that MayExist had let pass.
func (k *Known) Missed(cell stock.Cell) {
	f := k.filter(cell)
	var buf [stock.CellBytes]byte
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.bits.Test(cell.Append(buf[:0])) { // else it passed because the filter is not complete
		k.missed.Inc()
	}
}

// Ready reports that every filter was complete once since the start, and that the numbers of cells are
// known. Cells that were made since then make a screen let more pass, not less fit for work: else new
// SKUs would take all edges away at once.
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

// Cells is the number of cells that the filters hold.
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

// completeness is the share of partitions whose filter is complete.
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

// fill is the share of bits that are set, in the fullest filter. At 0.5 a filter is as full as it
// was sized for.
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

// falsePositives is the measured share of unknown cells that passed.
func (k *Known) falsePositives() float64 {
	missed, negatives := float64(k.missed.Get()), float64(k.refused.Get()+k.shed.Get())
	if missed+negatives == 0 {
		return math.NaN()
	}
	return missed / (missed + negatives)
}

func (k *Known) filter(cell stock.Cell) *filter {
	return &k.filters[cell.Partition(len(k.filters))]
}

// sized makes a filter with room for twice as many cells as there are, so that a growing partition
// is within its rate until the next scan.
func (k *Known) sized(cells int64) *bloom.BloomFilter {
	return bloom.NewWithEstimates(uint(max(2*cells, 1024)), k.cfg.FalsePositives)
}
