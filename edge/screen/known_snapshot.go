package screen

import (
	"errors"
	"fmt"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
	"github.com/go-json-experiment/json"
)

const (
	snapshotEvery   = time.Minute
	snapshotVersion = 1
)

// snapshot is the saved form of a filter.
type snapshot struct {
	Deployment string             `json:"deployment"`
	Partitions int                `json:"partitions"`
	Holds      int64              `json:"holds"`
	Bits       *bloom.BloomFilter `json:"bits"`
}

func snapshotKey(p int) string { return fmt.Sprintf("known/%d", p) }

// save saves a partition's filter for the next start. It does so only if the filter was scanned since it was last
// saved, and if that is at least the duration after ago.
func (k *Known) save(p int, after time.Duration) {
	f := &k.filters[p]
	now := time.Now()
	f.mu.Lock()
	due := k.cfg.Snapshots != nil && f.unsaved && now.Sub(f.savedAt) >= after
	if due {
		f.unsaved, f.savedAt = false, now
	}
	f.mu.Unlock()
	if !due {
		return
	}
	f.mu.RLock()
	data, err := json.Marshal(snapshot{k.cfg.Deployment, len(k.filters), f.holds, f.bits})
	f.mu.RUnlock()
	if err == nil {
		err = k.cfg.Snapshots.Save(snapshotKey(p), snapshotVersion, data, 0)
	}
	if err != nil {
		k.cfg.Log.Debug("SKU screen: filter not saved", "partition", p, "error", err) // the store tells why
	}
}

// restore takes a partition's filter from its snapshot. The filter is complete if the partition still has the same
// number of cells. Run scans it again anyway when there is time.
func (k *Known) restore(p int) error {
	if k.cfg.Snapshots == nil {
		return nil
	}
	data, ok := k.cfg.Snapshots.Load(snapshotKey(p), snapshotVersion)
	if !ok {
		return nil
	}
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	if s.Bits == nil || s.Bits.K() == 0 || s.Bits.BitSet() == nil || s.Bits.Cap() == 0 || s.Bits.BitSet().Len() != s.Bits.Cap() {
		return errors.New("read snapshot: its filter lacks bits, and would refuse SKUs that are there")
	}
	if s.Deployment != k.cfg.Deployment || s.Partitions != len(k.filters) {
		return fmt.Errorf("the snapshot is of deployment %q with %d partitions, want %q with %d", s.Deployment, s.Partitions, k.cfg.Deployment, len(k.filters))
	}
	f := &k.filters[p]
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bits, f.holds = s.Bits, s.Holds
	return nil
}
