package restore

import (
	"context"
	"errors"
	"testing"
)

// A server may be away for a moment while partitions are restored: the vetting at the end opens them all.
func TestOneFailedVettingIsNotTheLast(t *testing.T) {
	t.Parallel()
	calls := 0
	w := &run{Restore: &Restore{Open: func(context.Context) error {
		if calls++; calls == 1 {
			return errors.New("mysql was away")
		}
		return nil
	}}}
	done := make(chan struct{}, 2)
	done <- struct{}{}
	done <- struct{}{}
	close(done)
	if err := w.opener(t.Context(), done); err != nil || calls < 2 {
		t.Errorf("%d vettings, %v", calls, err)
	}
}
