package batch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
)

// A proof that failed proved nothing: as long as Kafka does not take an entry, no replay of what is in it is answered.
func TestFailedProofIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{Ack: stock.AckLog})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		st.pub.answer = func(stock.Entry) error { return errKafka }
		for range 3 {
			if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
				t.Errorf("without Kafka: %v, want unknown", got)
			}
		}
		st.pub.answer = func(stock.Entry) error { return nil }
		before := st.pub.count()
		if got := st.reserve(take(cell, 1, "k")); got.kind() != "replayed" || st.pub.count() != before+2 { // the load's, and its own
			t.Errorf("with Kafka: %v, %d entries published, want 2", got, st.pub.count()-before)
		}
	})
}

// A replay in one vector with a first request is not proven by that one's entry: its own is an earlier one.
func TestReplayBesideAFirstRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{Ack: stock.AckLog})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		st.pub.answer = func(stock.Entry) error { return errKafka }
		if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
			t.Fatal(got)
		}
		st.pub.mu.Lock()
		lost := st.pub.published[len(st.pub.published)-1].ID
		st.pub.mu.Unlock()
		st.pub.answer = func(e stock.Entry) error {
			if e.ID == lost {
				return errKafka
			}
			return nil
		}
		release := make(chan struct{})
		st.store.before = func(int, []*stock.Vector) { <-release }
		held := st.reserveAll(cell, 10, 1) // its call is in flight
		synctest.Wait()
		replay, first := make(chan answer, 1), make(chan answer, 1)
		go func() { replay <- st.reserve(take(cell, 1, "k")) }()
		synctest.Wait()
		go func() { first <- st.reserve(take(cell, 2, "k")) }()
		synctest.Wait()
		close(release)
		if got := <-first; got.kind() != "ok" {
			t.Errorf("the first request: %v", got)
		}
		if got := <-replay; got.kind() != errorOf(stock.ErrUnknown) {
			t.Errorf("the replay, which Kafka lacks: %v, want unknown", got)
		}
		held.kinds()
		if sizes := st.store.sizes(); len(sizes) != 3 || len(sizes[2]) != 1 || sizes[2][0] != 2 {
			t.Errorf("vectors of %v: they were not in one", sizes)
		}
	})
}

// A server that turns up while the edge drains gets no requests either.
func TestNewNodeWhileDraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{})
		cells := []stock.Cell{sku(0), sku(1)}
		for _, cell := range cells {
			st.load(cell, 10, stock.Settings{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := st.Drain(ctx); err != nil {
			t.Fatal(err)
		}
		st.store.node = func(partition int) (string, error) { return string(rune('a' + partition)), nil }
		st.route()
		for _, cell := range cells {
			if got := st.reserve(take(cell, 1, "k")); !errors.Is(got.err, ErrDraining) {
				t.Errorf("%v: %v, want draining", cell, got)
			}
		}
	})
}
