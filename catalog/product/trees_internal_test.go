package product

import (
	"context"
	"sync"
	"testing"
	"time"
)

// newTrees makes trees whose readings wait for a signal each, and tell that they have begun.
func newTrees() (p *Products, begins chan struct{}, ends chan struct{}, reads *int) {
	begins, ends, reads = make(chan struct{}), make(chan struct{}), new(int)
	p = &Products{}
	p.trees.now, p.trees.turn = time.Now, make(chan struct{}, 1)
	p.trees.read = func(ctx context.Context, _ held) (held, error) {
		*reads++ // one reads at a time
		begins <- struct{}{}
		<-ends
		return held{&Tree{}, int64(*reads)}, ctx.Err()
	}
	return p, begins, ends, reads
}

// Many who want the tree of now share a reading that begins after they asked, and keep back nobody who wants the last one.
func TestDoubtsShareReadings(t *testing.T) {
	t.Parallel()
	p, begins, ends, reads := newTrees()
	var all sync.WaitGroup
	first := func(doubts int) {
		for range doubts {
			all.Go(func() {
				if _, err := p.Tree(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	first(1)
	<-begins
	first(50)
	for p.trees.doubted() < 51 {
		time.Sleep(time.Millisecond)
	}
	ends <- struct{}{}
	<-begins // the second reading, which answers all 50
	ends <- struct{}{}
	all.Wait()
	if _, err := p.Tree(t.Context(), 0); err != nil || *reads != 2 {
		t.Errorf("%d readings, %v, want 2", *reads, err)
	}
	p.trees.written()
	all.Go(func() {
		if _, err := p.Tree(t.Context(), 0); err != nil {
			t.Error(err)
		}
	})
	<-begins
	ends <- struct{}{}
	all.Wait()
}

// A reading goes on when whoever began it has gone: the next one has it.
func TestReadingOutlivesItsRequest(t *testing.T) {
	t.Parallel()
	p, begins, ends, reads := newTrees()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _ = p.Tree(ctx, 0) })
	<-begins
	cancel()
	ends <- struct{}{}
	all.Wait()
	if _, err := p.Tree(t.Context(), 0); err != nil || *reads != 1 {
		t.Errorf("%d readings, %v, want 1", *reads, err)
	}
}

func (t *trees) doubted() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.doubts
}
