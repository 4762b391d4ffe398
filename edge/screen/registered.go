package screen

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/bits-and-blooms/bloom/v3"

	"sluice/core/lifecycle"
	"sluice/core/registry"
	"sluice/core/stock/redisstock"
)

// RegisteredStore is the part of the store that Registered reads.
type RegisteredStore interface {
	CountUsers(ctx context.Context, sets []redisstock.UserSet) ([]int64, error)
	ScanUsers(ctx context.Context, of redisstock.UserSet, yield func(user int64) error) error
}

const (
	// pollRegisteredEvery is how often the users of each sale are counted. Two polls fit into registry.Spread.
	pollRegisteredEvery = registry.Spread / 3
	// pollSalesEvery is how often an edge asks which sales are for registered users only.
	pollSalesEvery = time.Second

	registeredFalsePositives = 0.001
)

// Registered distinguishes users who are registered for a sale from others, with a bloom filter per sale. It is safe for
// concurrent use.
//
// Nobody takes a user out of a set. So a filter is complete if it has as many users as Redis counts, and no fewer than
// MySQL has or Redis had: a Redis that lost users proves nothing. If a count is that of MySQL, which was asked afterwards, there are
// no others. A registration is answered only after registry.Spread. So a negative of a filter is certain if a count that is younger than that shows it complete.
// Otherwise the user passes, and the script decides.
type Registered struct {
	store RegisteredStore
	sales func(context.Context) ([]registry.Sale, error)
	log   *slog.Logger
	now   func() time.Time

	filters atomic.Pointer[map[uint32]*userFilter]

	refused, unsure, missed *metrics.Counter
}

// userFilter has the users of one sale, from the first of its sets: all sets have all registered users.
type userFilter struct {
	of redisstock.UserSet

	mu        sync.RWMutex
	bits      *bloom.BloomFilter
	holds     int64     // users in bits; -1: unknown
	known     int64     // users that there are at least: what MySQL has, and the highest count of Redis since both were equal
	counted   int64     // users in Redis at the last count; -1: unknown
	countedAt time.Time // before that count was asked for
}

// NewRegistered makes a screen that lets everybody pass until Run has read the users. sales are those whose users Redis has.
func NewRegistered(store RegisteredStore, sales func(context.Context) ([]registry.Sale, error), log *slog.Logger, set *metrics.Set) *Registered {
	r := &Registered{
		store: store, sales: sales, log: log, now: time.Now,
		refused: set.NewCounter("sluice_edge_screen_registered_refused_lookups_total"),
		unsure:  set.NewCounter("sluice_edge_screen_registered_unsure_lookups_total"),
		missed:  set.NewCounter("sluice_edge_screen_registered_false_positives_total"),
	}
	r.filters.Store(&map[uint32]*userFilter{})
	set.NewGauge("sluice_edge_screen_registered_sales", func() float64 { return float64(len(*r.filters.Load())) })
	set.NewGauge("sluice_edge_screen_registered_users", r.users)
	set.NewGauge("sluice_edge_screen_registered_complete_ratio", r.completeness)
	set.NewGauge("sluice_edge_screen_registered_false_positive_ratio", r.falsePositives)
	return r
}

// May reports whether a user may be registered for a sale. A false is certain.
func (r *Registered) May(sale uint32, user int64) bool {
	f := (*r.filters.Load())[sale]
	if f == nil {
		return true
	}
	f.mu.RLock()
	found := f.has(user)
	complete := !found && f.complete(r.now()) // a look at the clock, which the registered do not need
	f.mu.RUnlock()
	switch {
	case found:
		return true
	case !complete:
		r.unsure.Inc()
		return true
	}
	r.refused.Inc()
	return false
}

// Missed notes that May let a user pass whom Redis then called not registered.
func (r *Registered) Missed(sale uint32, user int64) {
	f := (*r.filters.Load())[sale]
	if f == nil {
		return
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.has(user) { // otherwise the filter was not complete
		r.missed.Inc()
	}
}

// has reports whether the filter may hold a user. The caller has the lock.
func (f *userFilter) has(user int64) bool {
	var buf [8]byte
	return f.bits.Test(binary.BigEndian.AppendUint64(buf[:0], uint64(user)))
}

// complete reports whether a negative of the filter is certain.
func (f *userFilter) complete(now time.Time) bool {
	return f.holds >= f.known && f.holds == f.counted && now.Sub(f.countedAt) < registry.Spread
}

// Run keeps the filters in step with the sales and their users, until ctx ends.
func (r *Registered) Run(ctx context.Context) {
	salesTrouble := lifecycle.NewTrouble(r.log, "read which sales are for registered users only: the screen knows those of before")
	countTrouble := lifecycle.NewTrouble(r.log, "count registered users: the screen lets all of them pass meanwhile")
	var salesAt, restUntil time.Time
	for ctx.Err() == nil {
		if now := r.now(); now.Sub(salesAt) >= pollSalesEvery {
			salesAt = now
			salesTrouble.Saw(r.readSales(ctx))
		}
		countTrouble.Saw(r.count(ctx))
		if now := r.now(); now.After(restUntil) {
			if f := r.behind(); f != nil {
				if err := r.scan(ctx, f); err != nil && ctx.Err() == nil {
					r.log.WarnContext(ctx, "read registered users", "sale", f.of.Sale, "error", err)
				}
				restUntil = r.now().Add(restFactor * r.now().Sub(now))
				continue // the count is as old as the scan was long
			}
		}
		if !lifecycle.Pause(ctx, pollRegisteredEvery) {
			return
		}
	}
}

// readSales makes filters for new sales, and drops those of others.
func (r *Registered) readSales(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollSalesEvery)
	defer cancel()
	sales, err := r.sales(ctx)
	if err != nil {
		return err
	}
	filters, next := *r.filters.Load(), make(map[uint32]*userFilter, len(sales))
	for _, s := range sales {
		f := filters[s.ID]
		if f == nil && len(s.Sets) > 0 {
			f = &userFilter{of: s.Sets[0], bits: usersSized(0), holds: -1, counted: -1}
		}
		if f != nil {
			f.mu.Lock()
			if f.known = max(f.known, s.Registered); f.counted == s.Registered { // before MySQL, which has users first
				f.known = s.Registered
			}
			f.mu.Unlock()
			next[s.ID] = f
		}
	}
	r.filters.Store(&next)
	return nil
}

// count counts the users of every sale.
func (r *Registered) count(ctx context.Context) error {
	var filters []*userFilter
	var sets []redisstock.UserSet
	for _, f := range *r.filters.Load() {
		filters, sets = append(filters, f), append(sets, f.of)
	}
	if len(sets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registry.Spread)
	defer cancel()
	asked := r.now()
	counts, err := r.store.CountUsers(ctx, sets)
	for i, n := range counts {
		f := filters[i]
		f.mu.Lock()
		if f.counted = n; n >= 0 {
			f.countedAt, f.known = asked, max(f.known, n)
		}
		f.mu.Unlock()
	}
	return err
}

// behind returns a filter with another number of users than Redis counts, or nil if there is none.
func (r *Registered) behind() *userFilter {
	for _, f := range *r.filters.Load() {
		f.mu.RLock()
		behind := f.counted >= 0 && f.holds != f.counted
		f.mu.RUnlock()
		if behind {
			return f
		}
	}
	return nil
}

// scan fills a new filter with the users of a sale, and replaces the old one by it. It counts the users that it reads.
// If another server takes over in the middle of a scan, the cursor stands for other users there, and the scan misses
// some.
func (r *Registered) scan(ctx context.Context, f *userFilter) error {
	f.mu.RLock()
	users := make([]int64, 0, f.counted)
	f.mu.RUnlock()
	err := r.store.ScanUsers(ctx, f.of, func(user int64) error {
		users = append(users, user)
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	slices.Sort(users)
	users = slices.Compact(users)
	bits := usersSized(int64(len(users)))
	var buf [8]byte
	for _, user := range users {
		bits.Add(binary.BigEndian.AppendUint64(buf[:0], uint64(user)))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bits, f.holds = bits, int64(len(users))
	return nil
}

// usersSized makes a filter for twice the number of users.
func usersSized(users int64) *bloom.BloomFilter {
	return bloom.NewWithEstimates(uint(max(2*users, 1024)), registeredFalsePositives)
}

// users returns the number of users in the filters.
func (r *Registered) users() float64 {
	var n int64
	for _, f := range *r.filters.Load() {
		f.mu.RLock()
		n += max(0, f.holds)
		f.mu.RUnlock()
	}
	return float64(n)
}

// completeness returns the share of filters that are complete; 1 if there is none.
func (r *Registered) completeness() float64 {
	filters, n := *r.filters.Load(), 0
	if len(filters) == 0 {
		return 1
	}
	for _, f := range filters {
		f.mu.RLock()
		if f.complete(r.now()) {
			n++
		}
		f.mu.RUnlock()
	}
	return float64(n) / float64(len(filters))
}

// falsePositives returns the measured share of users who passed although they are not registered.
func (r *Registered) falsePositives() float64 { return shareOf(r.missed.Get(), r.refused.Get()) }
