package registry

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Everything else in Redis waits while a script adds users. So a process has one pipeline of these scripts under way, and the
// pipeline has so many.
const (
	usersPerScript     = 500
	scriptsPerPipeline = 8
)

// toRedis adds users to sets.
func (r *Registry) toRedis(ctx context.Context, sets []redisstock.UserSet, users []int64) error {
	for some := range slices.Chunk(users, usersPerScript) {
		for of := range slices.Chunk(sets, scriptsPerPipeline) {
			if _, err := r.pipeline(ctx, of, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// pipeline adds users to sets as RegisterAll does, when it is its turn.
func (r *Registry) pipeline(ctx context.Context, sets []redisstock.UserSet, users []int64) (added []int, err error) {
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("register: %w: %w", stock.ErrUnknown, ctx.Err())
	}
	defer func() { <-r.turn }()
	return r.store.RegisterAll(ctx, sets, users)
}

// loadsAtOnce is how many batches of a load are under way at the same time. MySQL writes one while Redis takes others.
const loadsAtOnce = 4

// Load registers many users of one sale, several batches at a time. One goroutine uses it.
type Load struct {
	registry *Registry
	sale     uint32
	group    *errgroup.Group
	ctx      context.Context //nolint:containedctx // that of the group, which ends with its first error

	mu  sync.Mutex
	sum Result
}

// Load begins a load, which the caller ends by Wait.
func (r *Registry) Load(ctx context.Context, sale uint32) *Load {
	l := &Load{registry: r, sale: sale}
	l.group, l.ctx = errgroup.WithContext(ctx)
	l.group.SetLimit(loadsAtOnce)
	return l
}

// Add registers a batch of users, at most UsersMax, and keeps the list. It returns as soon as there is room for the batch. It
// returns false if the load has failed: then Wait says why.
func (l *Load) Add(users []int64) bool {
	if l.ctx.Err() != nil {
		return false
	}
	l.group.Go(func() error {
		done, err := l.registry.Register(l.ctx, l.sale, users)
		if err != nil {
			return err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.sum.Added += done.Added
		l.sum.Registered = max(l.sum.Registered, done.Registered) // batches end in any order
		return nil
	})
	return true
}

// Wait returns when no batch is under way any more. The result is that of all batches that were registered. The error is that
// of the first one that failed.
func (l *Load) Wait() (Result, error) {
	err := l.group.Wait()
	return l.sum, err
}
