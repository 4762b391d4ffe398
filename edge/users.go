package edge

import (
	"context"
	"slices"
	"time"

	"sluice/core/lifecycle"
	"sluice/core/registry"
)

const (
	// bringUsersEvery is how often an edge looks whether Redis lacks registered users: those of a call that died between MySQL and
	// Redis, or that somebody has deleted.
	bringUsersEvery = 5 * time.Second
	// lookForVettingsEvery is how often it looks whether Redis was vetted since. Redis may lack users then, and refuses nobody for
	// good until somebody has looked.
	lookForVettingsEvery = 200 * time.Millisecond
	// forgetUsersEvery is how often an edge looks for sales that closed long ago.
	forgetUsersEvery = time.Minute
)

// keepUsers keeps the sets of users in Redis in step with MySQL, until ctx ends.
func (n *Node) keepUsers(ctx context.Context) {
	bringing := lifecycle.NewTrouble(n.log, "bring registered users to redis")
	forgetting := lifecycle.NewTrouble(n.log, "remove the users of sales that closed long ago from redis")
	brought := n.set.NewCounter("sluice_edge_registered_brought_users_total")
	gone := n.set.NewCounter("sluice_edge_registered_gone_users_total")
	strangers := n.set.NewCounter("sluice_edge_registered_stranger_users_total")
	var broughtAt, forgotAt time.Time
	var vetted []uint64
	for ctx.Err() == nil {
		if nonces := n.vettings(); !slices.Equal(nonces, vetted) || time.Since(broughtAt) >= bringUsersEvery {
			done, err := n.bringUsers(ctx)
			brought.AddInt64(done.Users)
			gone.AddInt64(done.Gone)
			strangers.AddInt64(done.Strangers)
			bringing.Saw(err)
			vetted, broughtAt = nonces, time.Now()
		}
		if time.Since(forgotAt) >= forgetUsersEvery {
			forgetting.Saw(n.forgetUsers(ctx))
			forgotAt = time.Now()
		}
		lifecycle.Pause(ctx, lookForVettingsEvery)
	}
}

// vettings are the nonces that the store trusts.
func (n *Node) vettings() []uint64 {
	marks := n.store.Marks()
	nonces := make([]uint64, len(marks))
	for p := range marks {
		nonces[p] = marks[p].Nonce
	}
	return nonces
}

func (n *Node) bringUsers(ctx context.Context) (registry.Brought, error) {
	done, err := n.users.Bring(ctx)
	if done.Users > 0 {
		n.log.WarnContext(ctx, "brought registered users back that redis lacked", "users", done.Users)
	}
	if done.Gone > 0 {
		n.log.ErrorContext(ctx, "registrations are gone from mysql: somebody has deleted their rows", "users", done.Gone)
	}
	if done.Strangers > 0 {
		n.log.ErrorContext(ctx, "redis has registered users whom mysql lacks: see sluice reconcile report", "users", done.Strangers)
	}
	return done, err
}

func (n *Node) forgetUsers(ctx context.Context) error {
	nowMS, err := n.store.Now(ctx)
	if err == nil {
		_, err = n.users.Forget(ctx, nowMS-n.cfg.Stock.Retention.Milliseconds())
	}
	return err
}
