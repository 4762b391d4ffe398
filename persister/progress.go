package persister

import "sync"

// progress says how far one generation of the consumer group has come in each of its Kafka partitions.
type progress struct {
	mu         sync.Mutex
	partitions map[int]*offsets
}

// offsets are those of one Kafka partition.
type offsets struct {
	next      int64 // MySQL has everything before this offset; negative: unknown yet
	end       int64 // the offset that Kafka will write next, as of the last fetch
	committed int64
}

// newProgress starts from the offsets that the group has committed.
func newProgress(committed map[int]int64) *progress {
	p := &progress{partitions: map[int]*offsets{}}
	for partition, offset := range committed {
		p.partitions[partition] = &offsets{next: offset, committed: offset}
	}
	return p
}

// has tells whether a partition is one of the generation's.
func (p *progress) has(partition int) bool {
	_, ok := p.partitions[partition] // which never change
	return ok
}

// saw notes where a partition ends.
func (p *progress) saw(partition int, end int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partitions[partition].end = end
}

// applied notes that everything before an offset is in MySQL.
func (p *progress) applied(partition int, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partitions[partition].next = next
}

// uncommitted returns the offsets that the group should commit. After Kafka has lost messages, an offset can be lower than
// before.
func (p *progress) uncommitted() map[int]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	offsets := map[int]int64{}
	for partition, at := range p.partitions {
		if at.next >= 0 && at.next != at.committed {
			offsets[partition] = at.next
		}
	}
	return offsets
}

func (p *progress) committed(offsets map[int]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for partition, offset := range offsets {
		p.partitions[partition].committed = offset
	}
}

// unread is the number of messages not yet applied.
func (p *progress) unread() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum int64
	for _, at := range p.partitions {
		sum += max(0, at.end-max(0, at.next))
	}
	return sum
}
