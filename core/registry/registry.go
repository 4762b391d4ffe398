// Package registry keeps the users who are registered for sales. MySQL has a row of each before Redis has the user, and no row is
// ever deleted. Redis has them in a set per sale and partition, which the scripts ask. So Redis never has a user that MySQL lacks,
// and where it has as many, it has the same. Somebody who knows that vouches for the set; before that, no script refuses a user
// for good.
package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sluice/core/db"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// UsersMax is how many users one call registers.
const UsersMax = 10_000

// Spread is the greatest age of a count of users by which an edge may refuse others without Redis. So after this time
// no edge refuses a user who is in Redis.
const Spread = 500 * time.Millisecond

// Reasons why nobody is registered. They wrap sale.ErrPlan, because the plan of the sale or the list is not in order.
var (
	ErrOpenToAll = fmt.Errorf("%w: anybody may take from this sale: a sale demands registrations from its creation on, or never", sale.ErrPlan)
	ErrUsers     = fmt.Errorf("%w: want 1 to %d positive user ids", sale.ErrPlan, UsersMax)
)

// Store has the sets of users. *redisstock.Store implements it.
type Store interface {
	RegisterAll(ctx context.Context, sets []redisstock.UserSet, users []int64) (added []int, err error)
	CountUsers(ctx context.Context, sets []redisstock.UserSet) ([]int64, error)
	Marks() []stock.Mark
	LookAtUsers(ctx context.Context, sets []redisstock.UserSet, trusted []stock.Mark) ([]redisstock.SetState, error)
	Vouch(ctx context.Context, of redisstock.UserSet, trusted stock.Mark, users int64) (there int64, err error)
	ScanUsers(ctx context.Context, of redisstock.UserSet, yield func(user int64) error) error
	ForgetUsers(ctx context.Context, of redisstock.UserSet) (there bool, err error)
	Partitions() int
}

// Registry registers users for the sales of a deployment.
type Registry struct {
	db    *sql.DB
	store Store
	known sync.Map      // []redisstock.UserSet by sale: a sale has the same SKUs for ever
	turn  chan struct{} // is full while users go to Redis

	bringing sync.Mutex
	before   map[redisstock.UserSet]counts // when Bring looked last
}

// New makes a registry of a database and a store, which the caller closes.
func New(db *sql.DB, store Store) *Registry {
	return &Registry{db: db, store: store, turn: make(chan struct{}, 1), before: map[redisstock.UserSet]counts{}}
}

// Result is the result of a registration.
type Result struct {
	Added      int64 // users who were not registered before
	Registered int64 // users who are registered for the sale now
}

// Register registers users for a sale, in any order. It can be repeated: who is registered stays so. When it returns, every
// script knows them, and every edge does after Spread. If its error is stock.ErrUnknown, MySQL may have them already; then Bring adds
// them to Redis.
func (r *Registry) Register(ctx context.Context, id uint32, users []int64) (Result, error) {
	if len(users) == 0 || len(users) > UsersMax || slices.Min(users) < 1 {
		return Result{}, ErrUsers
	}
	s, err := r.Find(ctx, id)
	if err != nil {
		return Result{}, err
	}
	users = slices.Compact(slices.Sorted(slices.Values(users))) // one order for all, so that no two calls wait for each other
	done, kept, err := r.add(ctx, id, users)
	if err != nil || !kept {
		return done, err // a sale that was over for long has no sets: it gets them when it opens again
	}
	if err := r.toRedis(ctx, s.Sets, users); err != nil {
		return done, unknown(err)
	}
	return done, nil
}

// unknown returns the error of a registration that MySQL has. What tells that Redis has executed nothing becomes an unknown
// outcome: the users are registered, and come to Redis.
func unknown(err error) error {
	if !errors.Is(err, stock.ErrNotApplied) && !errors.Is(err, stock.ErrShut) {
		return err
	}
	//nolint:errorlint // the cause says that nothing was executed
	return fmt.Errorf("%w: the users are in mysql, and redis gets them within seconds once it can: %v", stock.ErrUnknown, err)
}

// setsAtOnce is how many sets of a sale are written at the same time.
const setsAtOnce = 8

// eachSet does the same with each set, some at a time, and names the partitions where it fails.
func (r *Registry) eachSet(sets []redisstock.UserSet, do func(redisstock.UserSet) error) error {
	var mu sync.Mutex
	var failed stock.PartitionErrors
	var work sync.WaitGroup
	places := make(chan struct{}, setsAtOnce)
	for _, of := range sets {
		places <- struct{}{}
		work.Go(func() {
			defer func() { <-places }()
			if err := do(of); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed.Add(of.Partition, err)
			}
		})
	}
	work.Wait()
	return failed.Err()
}

// Forget removes the sets of sales that closed before a Redis time. Their users stay in MySQL, and come back if a sale opens
// again. It returns how many sales it has forgotten.
func (r *Registry) Forget(ctx context.Context, closedBeforeMS int64) (forgotten int, err error) {
	sales, err := r.Sales(ctx)
	if err != nil {
		return 0, err
	}
	var failures []error
	for _, s := range sales {
		if s.ClosesAtMS == 0 || s.ClosesAtMS >= closedBeforeMS {
			continue
		}
		gone, err := r.forget(ctx, s)
		if err != nil {
			failures = append(failures, fmt.Errorf("forget users of sale %d: %w", s.ID, err))
		}
		if gone {
			forgotten++
		}
	}
	return forgotten, errors.Join(failures...)
}

// forget removes the sets of one sale if all its partitions answer. Otherwise the sale would stay kept: Bring would fill again what
// was removed from the others, and the next call would remove it again.
func (r *Registry) forget(ctx context.Context, s Sale) (forgotten bool, err error) {
	if _, err := r.store.CountUsers(ctx, s.Sets); err != nil {
		return false, err
	}
	return r.drop(ctx, s, claimForgotten)
}

// dropForgotten removes what was added to the sets of a sale, or noted of them, while another process forgot it: no other would
// remove that.
func (r *Registry) dropForgotten(ctx context.Context, s Sale) error {
	if _, err := r.drop(ctx, s, findForgotten); err != nil {
		return fmt.Errorf("remove users of sale %d if it is forgotten: %w", s.ID, err)
	}
	return nil
}

// drop removes the sets of a sale if its row permits it, and locks the row meanwhile. A process that opens the sale
// comes before, and then nothing is dropped; or it comes afterwards, and brings all users.
func (r *Registry) drop(
	ctx context.Context, s Sale, permits func(context.Context, *sql.Tx, Sale) (bool, error),
) (dropped bool, err error) {
	err = db.Write(ctx, r.db, "sale", func(tx *sql.Tx) error {
		if dropped, err = permits(ctx, tx, s); err != nil || !dropped {
			return err
		}
		return r.eachSet(s.Sets, func(of redisstock.UserSet) error {
			_, err := r.store.ForgetUsers(ctx, of)
			return err
		})
	})
	return dropped && err == nil, err
}
