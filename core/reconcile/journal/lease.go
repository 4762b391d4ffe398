package journal

import (
	"context"
	"fmt"
	"time"
)

// Lease asks for the right to compare, for some time from now on. It returns false while another one has it. The
// holder asks again before the time is over.
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

// Release gives the right back, so that another one can begin at once.
func (j *Journal) Release(ctx context.Context, holder string) error {
	_, err := j.db.ExecContext(ctx, "UPDATE reconcile_lease SET held_until = NOW(3) WHERE one = 1 AND holder = ?", holder)
	if err != nil {
		return fmt.Errorf("give the lease of comparisons back: %w", err)
	}
	return nil
}
