package outbox

import (
	"sync"

	"sluice/core/stock"
)

// recentMax is how many entries a generation of recent remembers, about 100 bytes each: at ten thousand
// vectors a second, twice the time after which a relay looks at them.
const recentMax = 1 << 16

// recent remembers the entries that Kafka acknowledged last, at least recentMax of them.
type recent struct {
	mu         sync.Mutex
	young, old map[entryKey]struct{}
}

type entryKey struct {
	partition int
	id        string
}

func (r *recent) add(e *stock.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.young) >= recentMax {
		r.young, r.old = nil, r.young
	}
	if r.young == nil {
		r.young = make(map[entryKey]struct{})
	}
	r.young[entryKey{e.Partition, e.ID}] = struct{}{}
}

func (r *recent) has(e *stock.Entry) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := entryKey{e.Partition, e.ID}
	_, young := r.young[key]
	_, old := r.old[key]
	return young || old
}

func (r *recent) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.young, r.old = nil, nil
}
