package batch

import (
	"context"
	"fmt"
	"sync"

	"sluice/core/stock"
)

// Bounds of one round.
const (
	pageEntries = 64
	pagesMax    = 64
)

// prover proves that Kafka has the effects of earlier vectors, for replays at the level log. An entry that has left the
// outbox came to MySQL through Kafka. The prover publishes the entries that are still there again, and waits for Kafka.
// Each round of a partition goes on from the end of the last one. All replays that come during a round share the
// next one.
type prover struct {
	b     *Batcher
	parts []proving
}

type proving struct {
	mu sync.Mutex
	rounds
}

func newProver(b *Batcher) *prover {
	return &prover{b: b, parts: make([]proving, b.store.Partitions())}
}

// forget makes the next round begin with the oldest entry. After trouble with a server, another server may have taken
// its place, and its entries have other ids.
func (p *prover) forget(partition int) {
	s := &p.parts[partition]
	s.mu.Lock()
	s.forget()
	s.mu.Unlock()
}

// prove returns once Kafka has all effects that happened in the partition before the call.
func (p *prover) prove(partition int) error {
	p.b.meter.proofs.Inc()
	s := &p.parts[partition]
	s.mu.Lock()
	round, begin := s.join()
	s.mu.Unlock()
	if begin {
		go p.run(partition)
	}
	return round.wait()
}

// run makes rounds as long as someone waits for one.
func (p *prover) run(partition int) {
	s := &p.parts[partition]
	for {
		s.mu.Lock()
		round, after := s.begin()
		s.mu.Unlock()
		if round == nil {
			return
		}
		last, err := p.round(partition, after.entry)
		s.mu.Lock()
		s.end(after, last)
		s.mu.Unlock()
		round.end(err)
	}
}

// round publishes the entries after an id, and returns the id up to which Kafka has them.
func (p *prover) round(partition int, after string) (last string, err error) {
	last = after
	defer func() {
		if r := recover(); r != nil {
			p.b.meter.panicked(p.b.cfg.Log, r)
			err = fmt.Errorf("reading the outbox panicked: %v", r)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), p.b.cfg.LogTimeout)
	defer cancel()
	for range pagesMax {
		entries, err := p.b.store.OutboxAfter(ctx, partition, last, pageEntries)
		if err != nil {
			return last, err
		}
		if err := p.publish(ctx, entries); err != nil {
			return last, err
		}
		if len(entries) > 0 {
			last = entries[len(entries)-1].ID
		}
		if len(entries) < pageEntries {
			return last, nil
		}
	}
	return last, errBacklog
}

// publish returns once Kafka has all the entries.
func (p *prover) publish(ctx context.Context, entries []stock.Entry) error {
	acks := make(chan error, len(entries)) // room for all: a late one must not block the publisher
	for _, e := range entries {
		if !p.b.pub.PublishWait(e, func(err error) { acks <- err }) {
			return errBufferFull
		}
	}
	for range entries {
		select {
		case err := <-acks:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return errLogTimeout
		}
	}
	return nil
}
