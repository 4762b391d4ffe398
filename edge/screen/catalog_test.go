package screen

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/core/stock"
)

// catalog is a store that has cells and nothing else.
type catalog struct {
	mu       sync.Mutex
	cells    map[stock.Cell]bool
	down     bool
	scanTime time.Duration
	scans    []time.Time // when each began
	reads    int         // of single cells
}

func newCatalog(skus ...int64) *catalog {
	c := &catalog{cells: map[stock.Cell]bool{}}
	c.add(skus...)
	return c
}

func (c *catalog) add(skus ...int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range skus {
		c.cells[sku(n)] = true
	}
}

func (c *catalog) setDown(down bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = down
}

func (c *catalog) Partitions() int { return partitions }

var errDown = errors.New("redis is down")

func (c *catalog) Cells(_ context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads += len(cells)
	if c.down {
		return nil, 0, errDown
	}
	states := make([]stock.CellState, len(cells))
	for i, cell := range cells {
		states[i] = stock.CellState{Cell: cell, Loaded: c.cells[cell], Position: stock.Position{Epoch: 1, Seq: 1}}
	}
	return states, 0, nil
}

func (c *catalog) CellCounts(context.Context) ([]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errDown
	}
	counts := make([]int64, partitions)
	for cell := range c.cells {
		counts[cell.Partition(partitions)]++
	}
	return counts, nil
}

func (c *catalog) ScanCells(_ context.Context, partition int, yield func(stock.Cell) error) error {
	c.mu.Lock()
	c.scans = append(c.scans, time.Now())
	var found []stock.Cell
	for cell := range c.cells {
		if cell.Partition(partitions) == partition {
			found = append(found, cell)
		}
	}
	down := c.down
	c.mu.Unlock()
	time.Sleep(c.scanTime)
	if down {
		return errDown
	}
	for _, cell := range found {
		if err := yield(cell); err != nil {
			return err
		}
	}
	return nil
}

func (c *catalog) scanCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.scans)
}

func (c *catalog) readCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads
}
