package edge

import (
	"context"
	"sync"
	"testing"
	"time"
)

// Whoever asks first with no time left spoils the answer for nobody: neither for those who wait, nor for a second.
func TestSettledOutlivesItsFirstAsker(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	var first sync.Once
	s := &settled{now: time.Now, ask: func(ctx context.Context) (untilMS, nowMS int64, err error) {
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
