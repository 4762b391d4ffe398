package screen

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bits-and-blooms/bloom/v3"

	"sluice/core/event"
	"sluice/core/stock"
)

const (
	followedMax = 1024 // cells of one follower
	wantedMax   = 256
	pageEntries = 256 // outbox entries of one read
	auditEvery  = time.Second
	pollEvery   = 10 * time.Millisecond // more makes the answers older
	basePoll    = 50 * time.Millisecond // between polls during a base
	idleStop    = 5 * time.Second       // without a question, after which a follower ends
	idsRate     = 0.001                 // of new reservations that the filter takes for existing ones

	// windowMargin keeps the screen silent near the opening and closing of a sale, because only Redis' clock
	// decides these.
	windowMargin = time.Second

	restFactor = 10 // a piece of work for Redis is followed by a rest that is so many times as long
	restMin    = time.Second
	restMax    = 10 * time.Second
)

// Why a follower ends.
var (
	errIdle     = errors.New("nobody asks")
	errGap      = errors.New("events are missing")
	errOutgrown = errors.New("more reservations than there was room for")
	errTooMany  = errors.New("too many reservations to follow")
)

// follower follows the outbox of one partition. It knows which reservations exist, and the balances of cells that were
// seen sold out.
//
// It begins with a base: it notes the end of the outbox, then reads all ids of the partition. Every later id comes by
// the outbox, after that end. A follower reads a cell once and then follows its events. Each event must be the
// successor of the last one. If there is any doubt, the follower ends, and the next sold_out of Redis starts another.
type follower struct {
	s         *SoldOut
	partition int
	asked     atomic.Int64 // when someone last asked for a sold-out cell, on the screen's clock

	mu     sync.RWMutex
	based  bool               // the base is done: ids is complete as of seen
	ids    *bloom.BloomFilter // nobody may read it before based
	seen   time.Duration      // the follower knows every entry made before
	cells  map[stock.Cell]*followed
	wanted map[stock.Cell]bool // sold-out cells to read next

	// Only the goroutine that runs uses the rest.
	after   string // the last entry seen
	room    int64  // how many more ids fit into the filter before its rate gets worse
	audited time.Duration
}

// followed is a cell whose events a follower follows.
type followed struct {
	state stock.CellState
	since time.Duration  // when it was first read; it counts once the follower knows the outbox up to then
	reach stock.Position // the cell's position when it was last read; it counts if its events have led as far
	free  int64          // the cell's free units when it was last read
	redis time.Duration  // Redis' clock minus the screen's
}

func newFollower(s *SoldOut, partition int) *follower {
	f := &follower{
		s:         s,
		partition: partition,
		cells:     make(map[stock.Cell]*followed),
		wanted:    make(map[stock.Cell]bool),
	}
	f.asked.Store(int64(s.clock()))
	return f
}

// want asks the follower to follow a cell.
func (f *follower) want(cell stock.Cell) {
	f.mu.RLock()
	skip := f.cells[cell] != nil || f.wanted[cell] || len(f.wanted) >= wantedMax
	f.mu.RUnlock()
	if skip {
		return
	}
	f.mu.Lock()
	f.wanted[cell] = true
	f.mu.Unlock()
}

// suspects reports whether the follower has last seen the cell without a free unit.
func (f *follower) suspects(cell stock.Cell) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	c := f.cells[cell]
	return c != nil && c.state.Avail == 0
}

// certain reports whether it is certain that the cell has no free unit and that the reservation does not exist, and as
// of which position of the cell.
func (f *follower) certain(cell stock.Cell, id stock.ReservationID, now time.Duration) (stock.Position, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	c := f.cells[cell]
	if c == nil || c.state.Avail != 0 {
		return stock.Position{}, false
	}
	if time.Duration(f.asked.Load()) < now-ageMax { // otherwise all processors would write to it all the time
		f.asked.Store(int64(now))
	}
	known := f.based && now-f.seen <= ageMax && f.seen > c.since && !c.state.Less(c.reach)
	return c.state.Position, known && c.refusesOnlyForStock(now) && !f.ids.Test(id[:])
}

// refusesOnlyForStock reports whether the cell is open for sale, so that only its stock can be a reason to refuse.
func (c *followed) refusesOnlyForStock(now time.Duration) bool {
	s := &c.state
	redis := (now + c.redis).Milliseconds()
	margin := windowMargin.Milliseconds()
	return !s.Frozen && !s.Fenced && !s.Breached &&
		(s.OpensAtMS == 0 || redis > s.OpensAtMS+margin) &&
		(s.ClosesAtMS == 0 || redis < s.ClosesAtMS-margin)
}

// run follows until nobody asks any more, or until there is doubt. It returns how long nobody should follow the
// partition again.
func (f *follower) run(ctx context.Context) (rest time.Duration) {
	defer func() {
		if p := recover(); p != nil {
			f.s.cfg.Log.Error("sold-out screen: following panicked",
				"partition", f.partition, "panic", p, "stack", string(debug.Stack()))
			rest = restMax
		}
		f.mu.Lock()
		f.based = false
		f.mu.Unlock()
	}()
	start := f.s.clock()
	err := f.base(ctx)
	// Reading all ids of a large partition is work for Redis.
	rest = max(restMin, restFactor*(f.s.clock()-start))
	if err == nil {
		f.s.bases.Inc()
		err = f.follow(ctx)
	}
	switch {
	case ctx.Err() != nil || errors.Is(err, errIdle) || errors.Is(err, errOutgrown):
	case errors.Is(err, errGap):
		f.s.gaps.Inc()
	default:
		f.s.cfg.Log.Warn("sold-out screen: not following", "partition", f.partition, "error", err)
		rest = restMax
	}
	return rest
}

// base reads the ids of all reservations. Meanwhile it polls the outbox, because an entry stays there only until it
// is persisted.
func (f *follower) base(ctx context.Context) error {
	seen := f.s.clock()
	after, err := f.s.store.OutboxLast(ctx, f.partition)
	if err != nil {
		return fmt.Errorf("read the end of the outbox: %w", err)
	}
	count, err := f.s.store.ReservationCount(ctx, f.partition)
	if err != nil {
		return fmt.Errorf("count reservations: %w", err)
	}
	if count > f.s.cfg.IDsMax {
		return errTooMany
	}
	f.after = after
	f.room = count + count/2 + 16_384
	f.mu.Lock()
	f.seen = seen
	f.ids = bloom.NewWithEstimates(uint(f.room), idsRate)
	f.mu.Unlock()

	scanned := 0
	err = f.s.store.ScanReservations(ctx, f.partition, func(id stock.ReservationID) error {
		f.ids.Add(id[:]) // without the lock: nobody reads ids before based
		f.room--
		if scanned++; scanned%64 == 0 && f.s.clock()-f.seen > basePoll {
			return f.poll(ctx)
		}
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("scan reservations: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.based = true
	return nil
}

// follow reads the outbox again and again.
func (f *follower) follow(ctx context.Context) error {
	for {
		begun := f.s.clock()
		if begun-time.Duration(f.asked.Load()) > idleStop {
			return errIdle
		}
		if err := f.read(ctx); err != nil {
			return err
		}
		if err := f.poll(ctx); err != nil {
			return err
		}
		took := f.s.clock() - begun
		pause := min(max(pollEvery, restFactor*took), ageMax/2)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// read reads the wanted cells, and once a second all followed cells. Only so does the follower see changes without an
// event: a cell that was shut, a server that lost its last effects.
func (f *follower) read(ctx context.Context) error {
	audit := f.s.clock()-f.audited > auditEvery
	var cells []stock.Cell
	f.mu.RLock()
	for cell := range f.wanted {
		cells = append(cells, cell)
	}
	if audit {
		for cell := range f.cells {
			cells = append(cells, cell)
		}
	}
	f.mu.RUnlock()
	if audit {
		f.audited = f.s.clock()
	}
	if len(cells) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.s.cfg.CallTimeout)
	defer cancel()
	states, redisMS, err := f.s.store.Cells(ctx, cells)
	if err != nil {
		return fmt.Errorf("read cells: %w", err)
	}
	now := f.s.clock()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range states {
		state := &states[i]
		delete(f.wanted, state.Cell)
		c := f.cells[state.Cell]
		if c == nil {
			if !state.Loaded || state.Avail != 0 || !f.makeRoom() {
				continue
			}
			c = &followed{state: *state, since: now}
			f.cells[state.Cell] = c
		}
		if state.Less(c.state.Position) {
			return fmt.Errorf("%w: %v went back", errGap, state.Cell)
		}
		c.reach, c.free = state.Position, state.Avail
		c.redis = time.Duration(redisMS)*time.Millisecond - now
		c.state.Fenced, c.state.Breached = state.Fenced, state.Breached
	}
	return nil
}

// makeRoom reports whether the follower has room for one more cell. If it is full, it drops cells that have units
// again.
func (f *follower) makeRoom() bool {
	if len(f.cells) < followedMax {
		return true
	}
	for cell, c := range f.cells {
		if c.state.Avail != 0 {
			delete(f.cells, cell)
		}
	}
	return len(f.cells) < followedMax
}

// poll reads the entries appended to the outbox since the last poll.
func (f *follower) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.s.cfg.CallTimeout)
	defer cancel()
	begun := f.s.clock()
	for {
		entries, err := f.s.store.OutboxAfter(ctx, f.partition, f.after, pageEntries)
		if err != nil {
			return fmt.Errorf("read the outbox: %w", err)
		}
		for i := range entries {
			if err := f.apply(entries[i].Data); err != nil {
				return err
			}
			f.after = entries[i].ID
		}
		if f.s.clock()-f.seen > ageMax {
			return fmt.Errorf("%w: too long between two polls", errGap)
		}
		if len(entries) < pageEntries {
			return f.caughtUp(begun)
		}
	}
}

// apply applies the events of one entry.
func (f *follower) apply(data []byte) error {
	d, err := event.NewDecoder(data)
	if err != nil {
		return fmt.Errorf("read an entry: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var e event.Event
	for range d.Count {
		if err := d.Next(&e); err != nil {
			return fmt.Errorf("read an entry: %w", err)
		}
		if e.Kind == event.KindReserve || e.Kind == event.KindDeduct {
			f.ids.Add(e.Reservation[:])
			f.room--
		}
		c := f.cells[e.Cell]
		if c == nil || !c.state.Less(e.Position) {
			continue
		}
		if !e.Follows(c.state.Position) {
			return fmt.Errorf("%w: %v from %s to %s", errGap, e.Cell, c.state.Text(), e.Text())
		}
		c.state.Position = e.Position
		c.state.Avail = e.Avail
		if e.Kind.Adjusts() {
			c.state.Settings = e.Change.Settings
		}
	}
	if f.room < 0 {
		return errOutgrown
	}
	return nil
}

// caughtUp ends a poll that began at begun and has read the outbox to its end.
func (f *follower) caughtUp(begun time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = begun
	for cell, c := range f.cells {
		soldOut := c.state.Avail == 0 && c.free > 0 && !c.state.Fenced && !c.state.Breached // here, and not in Redis
		if behind := c.state.Less(c.reach); soldOut && (behind || c.state.Position == c.reach) {
			f.s.mistaken.Inc()
			return fmt.Errorf("%w: %v has %d free units in Redis at %s, its events end at %s with none", errGap, cell, c.free, c.reach.Text(), c.state.Text())
		} else if behind {
			return fmt.Errorf("%w: %v is at %s, its events end at %s", errGap, cell, c.reach.Text(), c.state.Text())
		}
	}
	return nil
}
