package outbox

import (
	"slices"
	"sync"

	"sluice/core/stock"
)

// deliveredMax is the number of entries in a generation of delivered, about 50 bytes each. At ten thousand vectors a
// second that is twice the time after which a relay looks at an entry.
const deliveredMax = 1 << 16

// delivered remembers what Kafka has acknowledged to a publisher: the last entries, at least deliveredMax of them,
// and how far each Kafka partition must have come.
type delivered struct {
	mu         sync.Mutex
	young, old map[entryKey]struct{}
	ends       []int64
	losses     int
}

type entryKey struct {
	partition int
	ms, n     uint64 // the entry's id
}

func keyOf(e stock.Entry) entryKey {
	ms, n := entryNumbers(e.ID)
	return entryKey{e.Partition, ms, n}
}

// remember notes entries that a Kafka partition has from the offset base on. If base is before an offset that Kafka
// acknowledged earlier, Kafka has lost something, and remember returns true.
func (d *delivered) remember(partition int, base int64, entries []waiting) (lost bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if lost = base < d.ends[partition]; lost {
		d.lose()
	}
	d.ends[partition] = base + int64(len(entries))
	for i := range entries {
		if len(d.young) >= deliveredMax {
			d.young, d.old = nil, d.young
		}
		if d.young == nil {
			d.young = make(map[entryKey]struct{})
		}
		d.young[keyOf(entries[i].Entry)] = struct{}{}
	}
	return lost
}

// Delivered reports whether Kafka has acknowledged an entry to this publisher not long ago.
func (d *delivered) Delivered(e stock.Entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(e)
	_, young := d.young[key]
	_, old := d.old[key]
	return young || old
}

// Forget forgets which entries were delivered.
func (d *delivered) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.young, d.old = nil, nil
}

// Reached returns, for each Kafka partition, the offset after the last entry that Kafka acknowledged to this
// publisher.
func (d *delivered) Reached() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ends)
}

// Lose notes that Kafka has lost acknowledged entries, and forgets which entries were delivered.
func (d *delivered) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose()
}

// lose is Lose for a caller that holds the lock.
func (d *delivered) lose() {
	d.young, d.old = nil, nil
	clear(d.ends)
	d.losses++
}

// Losses returns how often this publisher has noticed that Kafka lost acknowledged entries.
func (d *delivered) Losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.losses
}
