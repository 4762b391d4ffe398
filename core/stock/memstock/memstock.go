// Package memstock is stock.Store in memory. It is the reference of the rules, and short enough to read as their
// description. redisstock must behave as it does, and package stocktest compares the two.
package memstock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"sluice/core/stock"
)

// Store is the model. A copy of a Store shares its stock and may be given other settings, as two
// nodes of a deployment may have.
type Store struct {
	// Retention is how long the record of a finished reservation is kept.
	Retention time.Duration
	// OutboxEntriesMax is the number of outbox entries of a partition at which it begins to refuse reserves and deducts.
	OutboxEntriesMax int64
	// Ack is the level of cells that did not choose one.
	Ack stock.Ack
	// HasReplica says that there is a replica. It has everything at once.
	HasReplica bool

	*shared
}

// shared is the part of a Store that its copies share.
type shared struct {
	now func() int64

	mu         sync.Mutex
	partitions []*partition
}

var _ stock.Store = (*Store)(nil)

// New makes an empty store. now returns its time in Unix milliseconds.
func New(partitions int, now func() int64) *Store {
	s := &Store{
		Retention:        stock.RetentionDefault,
		OutboxEntriesMax: stock.OutboxEntriesDefault,
		Ack:              stock.AckRedis,
		shared:           &shared{now: now, partitions: make([]*partition, partitions)},
	}
	for i := range s.partitions {
		s.partitions[i] = newPartition(i)
	}
	return s
}

// Partitions is the number of partitions.
func (s *Store) Partitions() int { return len(s.partitions) }

// Do decides the vectors, one after the other.
func (s *Store) Do(_ context.Context, vectors ...*stock.Vector) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range vectors {
		s.do(v)
	}
}

func (s *Store) do(v *stock.Vector) {
	v.Outcomes, v.Cells, v.Entry, v.TimeMS = v.Outcomes[:0], v.Cells[:0], stock.Entry{}, s.now()
	v.Replicated, v.NoReplica = v.Replicate && s.HasReplica, v.Replicate && !s.HasReplica
	if v.Err = v.Check(len(s.partitions)); v.Err != nil {
		return
	}
	p := s.partitions[v.Partition]
	step := p.begin(v.TimeMS, s.OutboxEntriesMax)
	step.noReplica, step.ack = !v.Replicated, s.Ack
	step.see(v.Requests)
	if v.Err = step.decideAll(v); v.Err != nil {
		v.Outcomes = v.Outcomes[:0]
		return
	}
	v.Entry = step.commit(s.Retention.Milliseconds())
	for cell := range step.looked {
		v.Cells = append(v.Cells, p.cell(cell))
	}
}

// Register adds users to those who may take from a sale's cells of a partition, and returns how many are new.
func (s *Store) Register(_ context.Context, partition int, sale uint32, users []int64) (added int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return 0, err
	}
	for _, user := range users {
		if r := (registration{sale, user}); !p.registered[r] {
			p.registered[r] = true
			added++
		}
	}
	return added, nil
}

// Vouch notes that a partition has all users of a sale, unless it has fewer than there are. It returns how many it has.
func (s *Store) Vouch(partition int, sale uint32, users int64) (there int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[partition]
	if there = p.users(sale); there >= users {
		p.whole[sale] = there
	}
	return there
}

// LoseUser forgets a registration without regard to the rules.
func (s *Store) LoseUser(partition int, sale uint32, user int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.partitions[partition].registered, registration{sale, user})
}

// Cells reads cells.
func (s *Store) Cells(_ context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]stock.CellState, len(cells))
	for i, cell := range cells {
		states[i] = s.partitions[cell.Partition(len(s.partitions))].cell(cell)
	}
	return states, s.now(), nil
}

// Reservations reads reservations.
func (s *Store) Reservations(_ context.Context, ids []stock.ReservationID) ([]stock.Reservation, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := make([]stock.Reservation, len(ids))
	for i, id := range ids {
		p, err := s.partition(id.Partition())
		if err != nil {
			return nil, 0, err
		}
		found[i] = p.reservations[id]
	}
	return found, s.now(), nil
}

// Expire gives the units of due reservations back, earliest deadline first. It looks again later at those of a
// shut cell.
func (s *Store) Expire(_ context.Context, partition, limit int) (stock.Sweep, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return stock.Sweep{}, err
	}
	sweep := stock.Sweep{TimeMS: s.now()}
	step := p.begin(sweep.TimeMS, s.OutboxEntriesMax)
	var waiting, later []member
	for i, m := range p.due {
		if m.atMS > sweep.TimeMS {
			sweep.NextMS = m.atMS
			waiting = append(waiting, p.due[i:]...)
			break
		}
		if sweep.Expired >= limit {
			sweep.More = true
			waiting = append(waiting, m)
			continue
		}
		expired, againMS := step.expire(m)
		sweep.Expired += expired
		if againMS > 0 {
			m.atMS = againMS
			later = append(later, m)
		}
	}
	p.due = waiting
	for _, m := range later {
		p.due = add(p.due, m)
	}
	if entry := step.commit(s.Retention.Milliseconds()); entry.ID != "" {
		sweep.Entries = []stock.Entry{entry}
	}
	return sweep, nil
}

// Forget removes records whose retention has ended.
func (s *Store) Forget(_ context.Context, partition, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return 0, err
	}
	forgotten := 0
	for len(p.gone) > 0 && p.gone[0].atMS <= s.now() && forgotten < limit {
		for _, id := range p.gone[0].ids {
			delete(p.reservations, id)
			if p.baskets[id].State.Decided() { // the reservation was the smallest line of one
				delete(p.baskets, id)
			}
			forgotten++
		}
		p.gone = p.gone[1:]
	}
	return forgotten, nil
}

// OutboxAfter reads at most limit entries of a partition's outbox after the entry with an id, or
// from its beginning if the id is empty.
func (s *Store) OutboxAfter(_ context.Context, partition int, after string, limit int) ([]stock.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return nil, err
	}
	var entries []stock.Entry
	for _, e := range p.outbox {
		if len(entries) < limit && entryLess(after, e.ID) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// OutboxDelete removes entries from a partition's outbox and tells how many there were.
func (s *Store) OutboxDelete(_ context.Context, partition int, ids []string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.partition(partition)
	if err != nil {
		return 0, err
	}
	return p.deleteEntries(ids), nil
}

// Buyers returns the units that count against the limits of a cell's users.
func (s *Store) Buyers(cell stock.Cell) map[int64]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	buyers := map[int64]int64{}
	for b, units := range s.partitions[cell.Partition(len(s.partitions))].buyers {
		if b.cell == cell {
			buyers[b.user] = units
		}
	}
	return buyers
}

// Edit changes a cell without regard to the rules, as a person at the server's console might, or the loss of the server's
// last second.
func (s *Store) Edit(cell stock.Cell, edit func(*stock.CellState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions[cell.Partition(len(s.partitions))]
	state := p.cell(cell)
	edit(&state)
	p.cells[cell] = state
}

// LoseBasket removes the record of a basket without regard to the rules.
func (s *Store) LoseBasket(id stock.ReservationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.partitions[id.Partition()].baskets, id)
}

// AgeBasket makes the record of a basket older than the last vetting, without regard to the rules.
func (s *Store) AgeBasket(id stock.ReservationID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	baskets := s.partitions[id.Partition()].baskets
	if b, ok := baskets[id]; ok {
		b.Intact = false
		baskets[id] = b
	}
}

func (s *shared) partition(i int) (*partition, error) {
	if i < 0 || i >= len(s.partitions) {
		return nil, fmt.Errorf("%w: partition %d of %d", stock.ErrProtocol, i, len(s.partitions))
	}
	return s.partitions[i], nil
}
