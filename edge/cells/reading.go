package cells

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"sluice/core/stock"
)

// callMax is the number of cells that one call reads.
const callMax = 256

// partition has the remembered cells of one partition, and its readings. While one call of a partition is under way,
// further questions gather for the next call. So a slow partition holds up no other.
type partition struct {
	mu      sync.Mutex
	known   table
	flights map[stock.Cell]*reading // asked for and not yet answered
	waiting []*reading              // of these, not yet sent
	busy    bool                    // a reader goroutine runs
	closed  bool
}

// reading is the reading of one cell for everybody who asks.
type reading struct {
	cell stock.Cell
	sent bool
	asOf time.Duration // when it was sent, on the cache's clock
	done chan struct{}

	// Valid once done is closed.
	state stock.CellState
	err   error
}

// join finds or starts a reading of a cell that is not older than oldest. The caller has locked the partition.
func (c *Cache) join(p *partition, cell stock.Cell, oldest time.Duration) (*reading, error) {
	if r := p.flights[cell]; r != nil && (!r.sent || r.asOf >= oldest) {
		return r, nil
	}
	if p.closed {
		return nil, ErrClosed
	}
	if len(p.waiting) >= c.cfg.QueueMax {
		return nil, ErrFull
	}
	if p.flights == nil {
		p.flights = make(map[stock.Cell]*reading)
	}
	r := &reading{cell: cell, done: make(chan struct{})}
	p.flights[cell] = r
	p.waiting = append(p.waiting, r)
	c.misses.Inc()
	if !p.busy {
		p.busy = true
		c.readers.Add(1)
		go c.read(p)
	}
	return r, nil
}

// read calls the store until nothing waits.
func (c *Cache) read(p *partition) {
	defer c.readers.Done()
	for {
		p.mu.Lock()
		n := min(len(p.waiting), callMax)
		if n == 0 {
			p.waiting = nil
			p.busy = false
			p.mu.Unlock()
			return
		}
		batch := p.waiting[:n:n]
		p.waiting = p.waiting[n:]
		asOf := c.clock()
		for _, r := range batch {
			r.sent, r.asOf = true, asOf
		}
		p.mu.Unlock()

		states, err := c.call(batch)

		p.mu.Lock()
		for i, r := range batch {
			if r.err = err; err == nil {
				r.state = states[i]
				p.known.observe(&r.state, asOf)
			}
			if p.flights[r.cell] == r {
				delete(p.flights, r.cell)
			}
			close(r.done)
		}
		p.mu.Unlock()
	}
}

// call reads the cells of batch. It makes an error of a panic, because everybody who waits needs an answer.
func (c *Cache) call(batch []*reading) (states []stock.CellState, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: reading cells panicked: %v\n%s", stock.ErrProtocol, p, debug.Stack())
		}
	}()
	ctx, cancel := context.WithTimeout(c.ctx, c.cfg.CallTimeout)
	defer cancel()
	cells := make([]stock.Cell, len(batch))
	for i, r := range batch {
		cells[i] = r.cell
	}
	states, _, err = c.store.Cells(ctx, cells)
	if err == nil && len(states) != len(batch) {
		return nil, fmt.Errorf("%w: %d states of %d cells", stock.ErrProtocol, len(states), len(batch))
	}
	return states, err
}
