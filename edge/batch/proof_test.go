package batch

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/stock"
)

// A proof that failed proved nothing: as long as Kafka does not take an entry, no replay of what is in it is answered.
func TestFailedProofIsMadeAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
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
		st, cell := newLogStage(t)
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
		release := st.stall()
		held := st.reserveAll(cell, 10, 1) // its call is in flight
		synctest.Wait()
		replay, first := make(chan answer, 1), make(chan answer, 1)
		go func() { replay <- st.reserve(take(cell, 1, "k")) }()
		synctest.Wait()
		go func() { first <- st.reserve(take(cell, 2, "k")) }()
		synctest.Wait()
		release()
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

// A request whose events did not reach Kafka is acknowledged when it is repeated and they do.
func TestReplayAtLevelLogPublishesAgain(t *testing.T) {
	t.Parallel()
	st, cell := newLogStage(t)
	down := true
	st.pub.answer = func(stock.Entry) error {
		if down {
			return errKafka
		}
		return nil
	}
	for user := range int64(3) {
		if got := st.reserve(take(cell, 1+user, "k")); got.kind() != errorOf(stock.ErrUnknown) {
			t.Fatalf("without Kafka: %v, want unknown", got)
		}
	}
	down = false
	st.pub.published = nil
	if got := st.reserve(take(cell, 2, "k")); got.kind() != "replayed" {
		t.Errorf("the replay is answered %v", got)
	}
	outbox, err := st.store.OutboxAfter(t.Context(), 0, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(outbox, st.pub.published); diff != "" {
		t.Errorf("the outbox was not published: %s", diff)
	}

	st.pub.published = nil
	if got := st.reserve(take(cell, 3, "k")); got.kind() != "replayed" {
		t.Errorf("another replay is answered %v", got)
	}
	if got := st.pub.count(); got != 0 {
		t.Errorf("%d entries published once more, want none: they are known to be there", got)
	}
}

// A proof reaches the end of the outbox, however many pages that are.
func TestReplayAtLevelLogPublishesAllPages(t *testing.T) {
	t.Parallel()
	st, cell := newLogStage(t)
	lacking := ""
	st.pub.answer = func(e stock.Entry) error {
		if lacking == "" || e.ID == lacking {
			return errKafka
		}
		return nil
	}
	const users = pageEntries + 6
	for user := range int64(users) {
		if got := st.reserve(take(cell, 1+user, "k")); got.kind() != errorOf(stock.ErrUnknown) {
			t.Fatalf("without Kafka: %v, want unknown", got)
		}
	}
	outbox, err := st.store.OutboxAfter(t.Context(), 0, "", 2*pageEntries)
	if err != nil {
		t.Fatal(err)
	}
	lacking = outbox[len(outbox)-1].ID
	if got := st.reserve(take(cell, users, "k")); got.kind() != errorOf(stock.ErrUnknown) {
		t.Errorf("while Kafka lacks its entry alone, the replay is answered %v", got)
	}
}

// An event that has left the outbox has come through Kafka.
func TestReplayAtLevelLogAfterPersisting(t *testing.T) {
	t.Parallel()
	st, cell := newLogStage(t)
	st.pub.answer = func(stock.Entry) error { return errKafka }
	if got := st.reserve(take(cell, 1, "k")); got.kind() != errorOf(stock.ErrUnknown) {
		t.Fatal(got)
	}
	outbox, err := st.store.OutboxAfter(t.Context(), 0, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range outbox {
		if _, err := st.store.OutboxDelete(t.Context(), 0, []string{e.ID}); err != nil {
			t.Fatal(err)
		}
	}
	if got := st.reserve(take(cell, 1, "k")); got.kind() != "replayed" {
		t.Errorf("the replay is answered %v", got)
	}
}

// After trouble with the server, entries up to a known id need not be those that were published.
func TestTroubleMakesProofsBeginAnew(t *testing.T) {
	t.Parallel()
	st, cell := newLogStage(t)
	replay := func() int {
		st.pub.published = nil
		if got := st.reserve(take(cell, 1, "k")); got.err != nil {
			t.Fatal(got)
		}
		return st.pub.count()
	}
	_ = replay()
	if first, second := replay(), replay(); first != 2 || second != 0 {
		t.Errorf("published %d and %d entries, want 2 and 0", first, second)
	}
	calls := len(st.store.sizes())
	st.store.before = func(call int, vectors []*stock.Vector) {
		if call == calls {
			vectors[0].Err = fmt.Errorf("call: %w", stock.ErrUnknown)
		}
	}
	_ = st.reserve(take(cell, 2, "k"))
	if got := replay(); got != 2 {
		t.Errorf("published %d entries after trouble, want 2", got)
	}
}

// Trouble that comes while a proof is under way counts, though the proof succeeds: it was about the server before.
func TestTroubleDuringAProof(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
		if got := st.reserve(take(cell, 1, "k")); got.err != nil {
			t.Fatal(got)
		}
		release := make(chan struct{})
		st.pub.answer = func(stock.Entry) error {
			<-release
			return nil
		}
		proven := make(chan answer)
		go func() { proven <- st.reserve(take(cell, 1, "k")) }()
		synctest.Wait()
		st.store.before = func(_ int, vectors []*stock.Vector) { vectors[0].Err = fmt.Errorf("call: %w", stock.ErrUnknown) }
		if got := st.reserve(take(cell, 2, "k")); got.err == nil {
			t.Fatal(got)
		}
		st.store.before = nil
		close(release)
		if got := <-proven; got.err != nil {
			t.Error(got)
		}
		st.pub.published = nil
		if got := st.reserve(take(cell, 1, "k")); got.err != nil || st.pub.count() != 2 {
			t.Errorf("%v, and published %d entries, want 2", got, st.pub.count())
		}
	})
}

// Replays that come while a proof is under way share the next one.
func TestProofsAreShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newLogStage(t)
		if got := st.reserve(take(cell, 1, "k")); got.err != nil {
			t.Fatal(got)
		}
		st.pub.published = nil
		release := make(chan struct{})
		st.pub.answer = func(stock.Entry) error {
			<-release
			return nil
		}
		answers := make(chan answer, 50)
		for range cap(answers) {
			go func() { answers <- st.reserve(take(cell, 1, "k")) }()
		}
		synctest.Wait()
		close(release)
		for range cap(answers) {
			if a := <-answers; a.kind() != "replayed" {
				t.Error(a)
			}
		}
		if got := st.pub.count(); got != 2 { // the load and the reserve
			t.Errorf("%d entries published, want each of the two once", got)
		}
	})
}
