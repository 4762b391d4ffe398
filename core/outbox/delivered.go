package outbox

import (
	"slices"
	"sync"

	"sluice/core/stock"
)

// deliveredMax is how many entries a generation of delivered remembers, about 50 bytes each: at ten
// thousand vectors a second, twice the time after which a relay looks at them.
const deliveredMax = 1 << 16

// delivered is what Kafka has acknowledged to a publisher: the last entries, at least deliveredMax of them,
// and how far it must have come in each of its partitions.
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

// remember notes entries that a Kafka partition has from the offset base on. A base before the end of what it
// acknowledged earlier shows that it lost some of that, and remember reports so.
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

// Delivered tells whether Kafka is known to have an entry, because it acknowledged it to this publisher
// not long ago.
func (d *delivered) Delivered(e stock.Entry) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := keyOf(e)
	_, young := d.young[key]
	_, old := d.old[key]
	return young || old
}

// Forget forgets what was delivered: none of it counts as known any more.
func (d *delivered) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.young, d.old = nil, nil
}

// Reached tells, for each Kafka partition, the offset after the last entry that Kafka acknowledged to this
// publisher.
func (d *delivered) Reached() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ends)
}

// Lose notes that Kafka ends before what it had reached: everything delivered is forgotten.
func (d *delivered) Lose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lose()
}

// lose is Lose for who has the lock.
func (d *delivered) lose() {
	d.young, d.old = nil, nil
	clear(d.ends)
	d.losses++
}

// Losses is how often Kafka was found to have lost what it had acknowledged to this publisher.
func (d *delivered) Losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.losses
}
