package cells

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"sluice/core/stock"
)

const (
	warmKey     = "cells"
	warmVersion = 1
	// warmMax is the number of cells that a restart keeps: those seen last.
	warmMax = 4096
	// warmTTL is how long kept cells are of use. A kept cell is never young enough to show.
	warmTTL = 10 * time.Minute
)

// warmDurations is the form of durations in the record: nanoseconds.
var warmDurations = jsonv1.FormatDurationAsNano(true)

// Snapshots keeps records over a restart. Package localstore implements it.
type Snapshots interface {
	Save(key string, version uint32, data []byte, ttl time.Duration) error
	Load(key string, version uint32) ([]byte, bool)
}

// warm keeps an edge's knowledge of cells over a restart: fences, and settings such as the acknowledge level.
type warm struct {
	Deployment string            `json:"deployment"`
	States     []stock.CellState `json:"states"` // with the fence for their position
}

// save keeps the cells seen last.
func (c *Cache) save() {
	if c.cfg.Snapshots == nil {
		return
	}
	var known []entry
	for i := range c.partitions {
		p := &c.partitions[i]
		p.mu.Lock()
		known = append(known, p.known.entries...)
		p.mu.Unlock()
	}
	slices.SortFunc(known, func(a, b entry) int { return cmp.Compare(b.asOf, a.asOf) })
	known = known[:min(len(known), warmMax)]
	w := warm{Deployment: c.cfg.Deployment, States: make([]stock.CellState, len(known))}
	for i := range known {
		w.States[i] = known[i].state
		w.States[i].Position = known[i].fence
	}
	data, err := json.Marshal(w, warmDurations)
	if err == nil {
		err = c.cfg.Snapshots.Save(warmKey, warmVersion, data, warmTTL)
	}
	if err != nil {
		c.cfg.Log.Warn("cells not kept for the next start", "error", err)
	}
}

// restore remembers the cells that the last run of this edge knew.
func (c *Cache) restore() {
	if c.cfg.Snapshots == nil {
		return
	}
	data, ok := c.cfg.Snapshots.Load(warmKey, warmVersion)
	if !ok {
		return
	}
	var w warm
	if err := json.Unmarshal(data, &w, warmDurations); err != nil || w.Deployment != c.cfg.Deployment {
		c.cfg.Log.Warn("cells kept by the last run ignored: unreadable, or of another deployment", "deployment", w.Deployment, "error", err)
		return
	}
	for i := range w.States {
		state := &w.States[i]
		known := &c.partitionOf(state.Cell).known
		if known.find(state.Cell) == nil {
			known.remember(state, -warmTTL) // even a cell that Redis has lost: its fence shows the loss
		}
	}
}
