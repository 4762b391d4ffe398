package journal

import (
	"context"
	"fmt"
	"time"
)

// Lease asks to be the one that compares, for some time from now on. It reports false while another one is. Who holds
// the lease asks again before the time is over.
func (j *Journal) Lease(ctx context.Context, holder string, length time.Duration) (bool, error) {
	result, err := j.db.ExecContext(ctx, `UPDATE reconcile_lease SET holder = ?, held_until = NOW(3) + INTERVAL ? SECOND
		WHERE one = 1 AND (holder = ? OR held_until <= NOW(3))`, holder, int64(length.Seconds()), holder)
	if err == nil {
		var n int64
		if n, err = result.RowsAffected(); err == nil {
			return n > 0, nil
		}
	}
	return false, fmt.Errorf("ask for the lease of comparisons: %w", err)
}

// Release lets another one begin at once.
func (j *Journal) Release(ctx context.Context, holder string) error {
	_, err := j.db.ExecContext(ctx, "UPDATE reconcile_lease SET held_until = NOW(3) WHERE one = 1 AND holder = ?", holder)
	if err != nil {
		return fmt.Errorf("give the lease of comparisons back: %w", err)
	}
	return nil
}
