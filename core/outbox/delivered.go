package outbox

import (
	"slices"
	"sync"
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

func keyOf(partition int, id string) entryKey {
	ms, n := entryNumbers(id)
	return entryKey{partition, ms, n}
}

// add notes entries that a Kafka partition has from the offset base on. A base before the end of what it
// acknowledged earlier shows that it lost some of that, and add reports so.
func (d *delivered) add(partition int, base int64, entries []waiting) (lost bool) {
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
		d.young[keyOf(entries[i].Partition, entries[i].ID)] = struct{}{}
	}
	return lost
}

func (d *delivered) has(key entryKey) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, young := d.young[key]
	_, old := d.old[key]
	return young || old
}

func (d *delivered) reached() []int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.ends)
}

// lose forgets everything and counts a loss. The caller has the lock.
func (d *delivered) lose() {
	d.young, d.old = nil, nil
	clear(d.ends)
	d.losses++
}

func (d *delivered) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.young, d.old = nil, nil
}
