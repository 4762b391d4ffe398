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

// SoldOutStore is what SoldOut reads.
type SoldOutStore interface {
	Cells(ctx context.Context, cells []stock.Cell) (states []stock.CellState, nowMS int64, err error)
	ReservationCount(ctx context.Context, partition int) (int64, error)
	// ScanReservations yields at least the ids that the partition has from its beginning to its end.
	ScanReservations(ctx context.Context, partition int, yield func(stock.ReservationID) error) error
	OutboxLast(ctx context.Context, partition int) (string, error)
	OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error)
	Partitions() int
}

// ageMax is how old what a follower knows may be: the 200 ms for which an edge may say sold_out by
// itself. It must be less than stock.EntryLifeMin, since an entry that came and went between two polls is a
// reservation unseen.
const ageMax = 200 * time.Millisecond

// pollTimeoutDefault leaves time for an answer that comes late to count.
const pollTimeoutDefault = 150 * time.Millisecond

// SoldOutConfig bounds a SoldOut. The zero value means the defaults.
type SoldOutConfig struct {
	// FollowMax is the number of partitions followed at once. Defaults to 16.
	FollowMax int
	// IDsMax is the number of reservations that a partition may have to be followed, at 2 bytes
	// each. Defaults to 4 million.
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

// SoldOut answers for cells without free units, for as long as it can prove two things at most
// 200 ms old: that the cell has no free unit, and that the request's reservation does not exist, so
// that a shopper who repeats an accepted request is never told sold_out. For this it follows the
// outboxes of partitions with a cell that was seen sold out. It is safe for concurrent use.
//
// What happened since the last poll, at most 200 ms and mostly 10 ms ago, it does not know. So a
// shopper may be told sold_out who repeats a request here within that time after another edge gave
// them a unit that had just come back.
//
// Where Redis would have refused for another reason (the limit of the user, say), the screen says
// sold_out, which is true as well.
type SoldOut struct {
	store SoldOutStore
	cells *cells.Cache
	cfg   SoldOutConfig
	start time.Time

	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	running   sync.WaitGroup
	followers []atomic.Pointer[follower] // by partition

	mu        sync.Mutex
	following int
	notBefore []time.Duration // by partition: no new follower until then

	answered, bases, gaps *metrics.Counter
}

// NewSoldOut makes a screen that follows nothing yet. The caller closes it.
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
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	set.NewGauge("sluice_edge_screen_soldout_followed_partitions", func() float64 { return float64(s.Following()) })
	return s
}

// Following is the number of partitions followed.
func (s *SoldOut) Following() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.following
}

// Close stops following.
func (s *SoldOut) Close() {
	s.mu.Lock()
	s.cancel()
	s.mu.Unlock()
	s.running.Wait()
}

// Saw tells that Redis answered sold_out for a cell that has no free unit at all: its partition is
// followed from now on.
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

// Certain reports that Redis would not accept the reservation id, whose cell is sold out. It costs
// nothing where nothing is sold out.
func (s *SoldOut) Certain(cell stock.Cell, id stock.ReservationID) bool {
	partition := id.Partition()
	f := s.followers[partition].Load()
	if f == nil {
		return false
	}
	mark, ok := f.certain(cell, id, s.clock())
	// Whatever this edge was answered since then is newer than what the follower knows.
	if !ok || mark.Less(s.cells.Fence(partition, cell)) {
		return false
	}
	s.answered.Inc()
	return true
}

// follow starts to follow a partition, if there is room.
func (s *SoldOut) follow(partition int) *follower {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.followers[partition].Load(); f != nil {
		return f
	}
	if s.ctx.Err() != nil || s.following >= s.cfg.FollowMax || s.clock() < s.notBefore[partition] {
		return nil
	}
	f := newFollower(s, partition)
	s.followers[partition].Store(f)
	s.following++
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		rest := f.run(s.ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.followers[partition].Store(nil)
		s.following--
		s.notBefore[partition] = s.clock() + rest
	}()
	return f
}

// clock is the time since the screen was made.
func (s *SoldOut) clock() time.Duration { return time.Since(s.start) }
