package edge

import (
	"context"
	"time"

	"sluice/core/lifecycle"
)

const (
	// bringUsersEvery is how often an edge looks whether Redis lacks registered users: those of a call that died between MySQL and
	// Redis, or that somebody has deleted.
	bringUsersEvery = 5 * time.Second
	// forgetUsersEvery is how often an edge looks for sales that closed long ago.
	forgetUsersEvery = time.Minute
)

func (n *Node) runScreenOfUsers(ctx context.Context) error {
	n.screened.Run(ctx)
	return nil
}

// keepUsers keeps the sets of users in Redis in step with MySQL, until ctx ends.
func (n *Node) keepUsers(ctx context.Context) error {
	var forgotAt time.Time
	lifecycle.Repeat(ctx, n.log, "keep registered users in redis", bringUsersEvery, func(ctx context.Context) error {
		brought, err := n.users.Bring(ctx)
		if brought > 0 {
			n.log.WarnContext(ctx, "brought registered users back that redis lacked", "users", brought)
		}
		if err != nil || time.Since(forgotAt) < forgetUsersEvery {
			return err
		}
		forgotAt = time.Now()
		nowMS, err := n.store.Now(ctx)
		if err == nil {
			_, err = n.users.Forget(ctx, nowMS-n.cfg.Stock.Retention.Milliseconds())
		}
		return err
	})
	return nil
}
