package edge

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// If the first caller has no time left, it spoils the answer neither for those who wait nor for later callers.
func TestPersistedOutlivesItsFirstAsker(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s := &persisted{now: time.Now, ask: func(ctx context.Context) (untilMS, nowMS int64, err error) {
		first.Do(func() { close(asked) })
		select {
		case <-ctx.Done():
			return 0, 0, ctx.Err()
		case <-answer:
			return 7, 8, nil
		}
	}}
	hasty, giveUp := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if until, _ := s.get(hasty); until != 0 {
			t.Errorf("got %d without an answer", until)
		}
	}()
	<-asked
	giveUp()
	<-gone // though nobody has answered
	close(answer)
	if until, now := s.get(t.Context()); until != 7 || now != 8 {
		t.Errorf("the next one got %d and %d", until, now)
	}
}

// TestPersistedIsAskedNowAndThen: lists share an answer for a moment, judge phases by
// the time of their request, and have no answer where there is none.
func TestPersistedIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_000_000)
	asked := 0
	var fails error
	s := &persisted{now: func() time.Time { return now }, ask: func(context.Context) (untilMS, nowMS int64, err error) {
		asked++
		return int64(10 * asked), int64(10*asked + 1), fails
	}}
	for _, step := range []struct {
		name           string
		after          time.Duration
		fails          error
		untilMS, nowMS int64
	}{
		{"first", 0, nil, 10, 11},
		{"a moment later", persistedEvery - 1, nil, 10, 11 + 999}, // Redis' clock has gone on
		{"a second after the first", 1, nil, 20, 21},
		{"Redis is away", persistedEvery, errors.New("away"), 0, 0},
		{"a moment later", persistedEvery - 1, nil, 0, 0},
		{"Redis is back", 1, nil, 40, 41},
	} {
		now, fails = now.Add(step.after), step.fails
		if untilMS, nowMS := s.get(t.Context()); untilMS != step.untilMS || nowMS != step.nowMS {
			t.Errorf("%s: until %d at %d, want %d at %d", step.name, untilMS, nowMS, step.untilMS, step.nowMS)
		}
	}
}
