package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"sluice/core/db"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// bringPatience is how long the opening of a sale waits for its users. Those who come later get users_missing until then, which
// they may repeat.
const bringPatience = 10 * time.Second

// lockName is the lock of the process that adds users who are missing.
const lockName = "sluice registrations"

// Brought is what Bring has done.
type Brought struct {
	Users     int64 // that Redis lacked, in all sets
	Gone      int64 // rows that MySQL had counted and does not have: somebody has deleted them. They count no longer
	Strangers int64 // users of sets whom MySQL does not have: it was set back, or somebody has added them
}

// counts are the users of a set, and those of its sale that MySQL had afterwards. Redis never has a user before MySQL: so a set
// that has as many has the same, and one that has more has strangers.
type counts struct{ redis, mysql int64 }

// surplus is how many more users Redis has. A registration that has reached Redis leaves it as it was.
func (c counts) surplus() int64 { return c.redis - c.mysql }

// Bring brings every set up to date in the partitions that the store trusts, and vouches for it. It adds whom Redis lacks, but
// leaves alone what a registration is about to add. Of all processes one adds users at a time. Bring fails where it cannot;
// everything else is brought.
func (r *Registry) Bring(ctx context.Context) (done Brought, err error) {
	r.bringing.Lock()
	defer r.bringing.Unlock()
	trusted := r.store.Marks()
	sales, err := r.Sales(ctx)
	if err != nil {
		return done, err
	}
	var failures []error
	work := make([]*bring, len(sales))
	for i := range sales {
		work[i] = &bring{Registry: r, sale: sales[i], trusted: trusted, done: &done}
		failures = append(failures, work[i].look(ctx))
	}
	if sales, err = r.Sales(ctx); err != nil { // again, after the sets were counted
		return done, err
	}
	before := r.before
	r.before = make(map[redisstock.UserSet]counts, len(before))
	for i := range sales {
		for _, b := range work {
			if b.sale.ID == sales[i].ID {
				b.sale = sales[i]
				failures = append(failures, b.all(ctx, before))
			}
		}
	}
	return done, errors.Join(failures...)
}

// BringSale brings the sets of one sale up to date, as far as it can within bringPatience: Bring does the rest. It brings nobody
// to a sale whose users Redis does not keep, or that anybody may take from.
func (r *Registry) BringSale(ctx context.Context, id uint32) error {
	b := &bring{Registry: r, trusted: r.store.Marks(), done: &Brought{}}
	var err error
	b.sale, err = r.Find(ctx, id)
	if errors.Is(err, ErrOpenToAll) {
		return nil
	}
	if err != nil || !b.sale.Kept {
		return err
	}
	within, cancel := context.WithTimeout(ctx, bringPatience)
	defer cancel()
	_ = b.look(within)
	if b.sale, err = r.Find(ctx, id); err != nil {
		return err
	}
	var unequal []redisstock.UserSet
	for of, state := range b.states {
		if state.Users != b.sale.Registered {
			unequal = append(unequal, of)
		}
	}
	_ = errors.Join(b.vouchForEqual(within), b.fill(within, r.db, unequal))
	return r.dropForgotten(ctx, b.sale)
}

// bring is the work on the sets of one sale.
type bring struct {
	*Registry

	sale    Sale
	trusted []stock.Mark // by partition, before MySQL was asked: see Store.Vouch
	states  map[redisstock.UserSet]redisstock.SetState
	done    *Brought
	empty   bool // it has vouched for sets without users
}

// look reads the states of the sets in the partitions that the store trusts.
func (b *bring) look(ctx context.Context) error {
	sets := slices.DeleteFunc(slices.Clone(b.sale.Sets), func(of redisstock.UserSet) bool { return b.trusted[of.Partition].Nonce == 0 })
	states, err := b.store.LookAtUsers(ctx, sets, b.trusted)
	b.states = make(map[redisstock.UserSet]redisstock.SetState, len(sets))
	for i, state := range states {
		if state.Users >= 0 {
			b.states[sets[i]] = state
		}
	}
	if err != nil {
		return fmt.Errorf("look at the users of sale %d: %w", b.sale.ID, err)
	}
	return nil
}

// all brings all sets up to date. before are the counts of the look before.
func (b *bring) all(ctx context.Context, before map[redisstock.UserSet]counts) error {
	var todo []redisstock.UserSet
	var strangers int64
	for of, state := range b.states {
		now := counts{state.Users, b.sale.Registered}
		b.before[of] = now
		switch {
		case now.redis == now.mysql:
		case !state.Whole,
			now.redis < now.mysql && before[of] == now,                 // what was missing is not on its way
			now.surplus() > 0 && now.surplus() != before[of].surplus(): // others may be missing among as many strangers
			todo = append(todo, of)
			strangers += max(0, now.surplus())
		}
	}
	added, vouched := b.done.Users, b.vouchForEqual(ctx)
	var filled error
	if len(todo) > 0 {
		filled = b.leading(ctx, func(from db.Queryer) error {
			b.done.Strangers += strangers
			return b.fill(ctx, from, todo)
		})
	}
	var dropped error
	if b.done.Users > added || b.empty { // the note of an empty set would outlive the set, and vouch for the next one
		dropped = b.dropForgotten(ctx, b.sale)
	}
	return errors.Join(vouched, filled, dropped)
}

// leading does work unless another process does such work. It says where to read from.
func (r *Registry) leading(ctx context.Context, work func(db.Queryer) error) (err error) {
	if r.db.Stats().MaxOpenConnections == 1 { // the work would wait for that of the lock
		return work(r.db)
	}
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w: %w", stock.ErrNotApplied, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	unlock, first, err := db.TryLock(ctx, conn, lockName)
	if err != nil || !first {
		return err
	}
	defer unlock()
	return work(conn)
}

// vouchForEqual vouches for the sets that have as many users as MySQL, and more than when somebody did so before.
func (b *bring) vouchForEqual(ctx context.Context) error {
	var equal []redisstock.UserSet
	for of, state := range b.states {
		if state.Users == b.sale.Registered && (!state.Whole || state.Noted < state.Users) {
			equal = append(equal, of)
		}
	}
	return b.vouch(ctx, equal, b.sale.Registered)
}

// vouch vouches for sets that have so many users.
func (b *bring) vouch(ctx context.Context, sets []redisstock.UserSet, users int64) error {
	b.empty = b.empty || users == 0 && len(sets) > 0
	return b.eachSet(sets, func(of redisstock.UserSet) error {
		_, err := b.store.Vouch(ctx, of, b.trusted[of.Partition], users)
		return err
	})
}

// fill adds all users to sets, and vouches for those that have all of them. It reads MySQL once for all sets. It does not ask who
// is missing: to add a user who is there costs as much.
func (b *bring) fill(ctx context.Context, from db.Queryer, sets []redisstock.UserSet) error {
	if len(sets) == 0 {
		return nil
	}
	var rows int64
	var failures []error
	err := b.users(ctx, from, b.sale.ID, func(page []int64) (err error) {
		rows += int64(len(page))
		if sets, err = b.fillPage(ctx, sets, page); err != nil {
			failures = append(failures, err)
		}
		return nil
	})
	if err == nil {
		err = b.vouch(ctx, sets, rows)
	}
	if err == nil && rows < b.sale.Registered {
		err = b.recount(ctx)
	}
	if err = errors.Join(append(failures, err)...); err != nil {
		return fmt.Errorf("bring back users of sale %d: %w", b.sale.ID, err)
	}
	return nil
}

// fillPage adds some users to sets. It returns the sets that have all of them.
func (b *bring) fillPage(ctx context.Context, sets []redisstock.UserSet, page []int64) (filled []redisstock.UserSet, err error) {
	var failures []error
	for of := range slices.Chunk(sets, scriptsPerPipeline) {
		of = slices.Clone(of)
		for some := range slices.Chunk(page, usersPerScript) {
			added, err := b.pipeline(ctx, of, some)
			if err != nil {
				failures = append(failures, err)
			}
			if added == nil {
				of = nil
			}
			for i := len(of) - 1; i >= 0; i-- {
				if added[i] < 0 {
					of = slices.Delete(of, i, i+1)
				} else {
					b.done.Users += int64(added[i])
				}
			}
			if len(of) == 0 {
				break
			}
		}
		filled = append(filled, of...)
	}
	return filled, errors.Join(failures...)
}

// recount counts the rows of a sale, where their number is not what the sale's row says.
func (b *bring) recount(ctx context.Context) error {
	return db.Write(ctx, b.db, "count of registrations", func(tx *sql.Tx) error {
		var counted, rows int64
		if err := tx.QueryRowContext(ctx, lockCount, b.sale.ID).Scan(&counted); err != nil { // whoever adds rows changes it last
			return fmt.Errorf("lock sale: %w: %w", stock.ErrNotApplied, err)
		}
		if err := tx.QueryRowContext(ctx, countRows, b.sale.ID).Scan(&rows); err != nil {
			return fmt.Errorf("count registrations: %w: %w", stock.ErrNotApplied, err)
		}
		if rows == counted {
			return nil
		}
		b.done.Gone += max(0, counted-rows)
		if _, err := tx.ExecContext(ctx, setCount, rows, b.sale.ID); err != nil {
			return db.WriteError("update sale", err)
		}
		return nil
	})
}
