package screen

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/stock"
	"sluice/edge/cells"
)

// SoldOutStore is the part of the store that SoldOut reads.
type SoldOutStore interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	ReservationCount(ctx context.Context, partition int) (int64, error)
	// ScanReservations yields at least the ids that the partition has during the whole scan.
	ScanReservations(ctx context.Context, partition int, yield func(stock.ReservationID) error) error
	OutboxLast(ctx context.Context, partition int) (string, error)
	OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	Partitions() int
}

// ageMax is how old a follower's knowledge may be when an edge says sold_out by itself. It must be less than
// stock.EntryLifeMin: if an entry could come and go between two polls, the follower would miss a reservation.
const ageMax = 200 * time.Millisecond

// pollTimeoutDefault is shorter than ageMax, so that an answer that comes late still counts.
const pollTimeoutDefault = 150 * time.Millisecond

// SoldOutConfig bounds a SoldOut. The zero value means the defaults.
type SoldOutConfig struct {
	// FollowMax is the number of partitions that the screen follows at once. Defaults to 16.
	FollowMax int
	// IDsMax is the largest number of reservations of a partition that the screen follows. Each takes 2 bytes.
	// Defaults to 4 million.
	IDsMax int64
	// CallTimeout bounds one call of the store. Defaults to pollTimeoutDefault.
	CallTimeout time.Duration
	// Log gets what a person should see. Defaults to slog.Default().
	Log *slog.Logger
}

func (c SoldOutConfig) withDefaults() SoldOutConfig {
	if c.FollowMax <= 0 {
		c.FollowMax = 16
	}
	if c.IDsMax <= 0 {
		c.IDsMax = 4 << 20
	}
	if c.CallTimeout <= 0 {
		c.CallTimeout = pollTimeoutDefault
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// SoldOut answers for cells without free units. It does so only while it can prove two things, as of at most 200 ms
// ago: the cell has no free unit, and the request's reservation does not exist. Therefore a shopper who repeats an
// accepted request is not told sold_out. To prove both, it follows the outbox of each partition with a cell that was
// seen sold out. It is safe for concurrent use.
//
// It does not know what happened since its last poll, mostly 10 ms and at most 200 ms ago. So one shopper may be told
// sold_out wrongly: another edge gives them a unit that has just come back, and they repeat the request here within
// that time.
//
// If Redis would have refused for another reason, such as the user's limit, the screen says sold_out, which is also
// true.
type SoldOut struct {
	store SoldOutStore
	cells *cells.Cache
	cfg   SoldOutConfig
	start time.Time

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	running   sync.WaitGroup
	followers []atomic.Pointer[follower] // by partition

	following atomic.Int64 // of followers; changed under mu

	mu        sync.Mutex
	notBefore []time.Duration // by partition: no new follower until then

	answered, bases, gaps, mistaken *metrics.Counter
}

// NewSoldOut makes a screen that follows nothing at first. The caller closes it.
func NewSoldOut(store SoldOutStore, known *cells.Cache, cfg SoldOutConfig, set *metrics.Set) *SoldOut {
	s := &SoldOut{
		store:     store,
		cells:     known,
		cfg:       cfg.withDefaults(),
		start:     time.Now(),
		followers: make([]atomic.Pointer[follower], store.Partitions()),
		notBefore: make([]time.Duration, store.Partitions()),
		answered:  set.NewCounter("sluice_edge_screen_soldout_answered_requests_total"),
		bases:     set.NewCounter("sluice_edge_screen_soldout_bases_total"),
		gaps:      set.NewCounter("sluice_edge_screen_soldout_gaps_total"),
		mistaken:  set.NewCounter("sluice_edge_screen_soldout_mistaken_cells_total"),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	set.NewGauge("sluice_edge_screen_soldout_followed_partitions", func() float64 { return float64(s.Following()) })
	return s
}

// Following returns the number of partitions that the screen follows.
func (s *SoldOut) Following() int { return int(s.following.Load()) }

// Any reports whether Certain may be true of some cell. Like Maybe, it costs next to nothing, and needs less of a request.
func (s *SoldOut) Any() bool { return s.following.Load() > 0 }

// Maybe reports whether Certain may be true of some reservation of the cell.
func (s *SoldOut) Maybe(cell stock.Cell) bool {
	f := s.followers[cell.Partition(len(s.followers))].Load()
	return f != nil && f.suspects(cell)
}

// Close stops following.
func (s *SoldOut) Close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.running.Wait()
}

// Saw notes that Redis answered sold_out for a cell without any free unit. From then on the screen follows the cell's
// partition.
func (s *SoldOut) Saw(cell stock.Cell) {
	partition := cell.Partition(len(s.followers))
	f := s.followers[partition].Load()
	if f == nil {
		if f = s.follow(partition); f == nil {
			return
		}
	}
	f.want(cell)
}

// Certain reports whether it is certain that the cell is sold out and that no reservation with this id exists. It
// costs nothing while nothing is sold out.
func (s *SoldOut) Certain(cell stock.Cell, id stock.ReservationID) bool {
	partition := id.Partition()
	f := s.followers[partition].Load()
	if f == nil {
		return false
	}
	position, ok := f.certain(cell, id, s.clock())
	// Redis may have told this edge of a later state of the cell than the follower knows.
	if !ok || position.Less(s.cells.Fence(partition, cell)) {
		return false
	}
	s.answered.Inc()
	return true
}

// follow starts to follow a partition, unless the screen follows too many.
func (s *SoldOut) follow(partition int) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.followers[partition].Load(); f != nil {
		return f
	}
	if s.ctx.Err() != nil || int(s.following.Load()) >= s.cfg.FollowMax || s.clock() < s.notBefore[partition] {
		return nil
	}
	f := newFollower(s, partition)
	s.followers[partition].Store(f)
	s.following.Add(1)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		rest := f.run(s.ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.followers[partition].Store(nil)
		s.following.Add(-1)
		s.notBefore[partition] = s.clock() + rest
	}()
	return f
}

// clock is the time since the screen was made.
func (s *SoldOut) clock() time.Duration { return time.Since(s.start) }
