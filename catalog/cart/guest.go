package cart

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/stock"
)

const (
	selectTaken = "SELECT version, content, COALESCE(user_id, 0), COALESCE(merge_id, 0) FROM cart_guests__ WHERE guest = ?"
	takeGuest   = "UPDATE cart_guests__ SET version = version + 1, user_id = ?, merge_id = ?, ends_at = NOW(3) + INTERVAL 30 DAY " +
		"WHERE guest = ? AND version = ? AND user_id IS NULL"
	emptyGuest  = "UPDATE cart_guests__ SET version = version + 1, content = '[]' WHERE guest = ? AND merge_id = ? AND content <> '[]'"
	insertMerge = "INSERT INTO cart_merges__ (user_id, merge_id, left_out, ends_at) VALUES (?, ?, ?, NOW(3) + INTERVAL 60 DAY)"
	selectMerge = "SELECT left_out FROM cart_merges__ WHERE user_id = ? AND merge_id = ?"
)

// taskMerge is the kind of the tasks that end a merge.
const taskMerge = "merge"

// taken is a guest's cart in the moment in which a user took it over, or before.
type taken struct {
	Cart

	guest guest
	user  ids.User
	merge int64
}

// Merge puts a guest's cart into the cart of a user, by the rules of Merge, once. Left are the SKUs for which there was no room. A cart that
// another user has taken over is refused, and one without lines changes nothing.
//
// The guest's cart is taken over first, so that it changes no more and nobody else gets it. A task that is written with that ends the merge
// if this process does not.
func (c *Carts) Merge(ctx context.Context, user ids.User, token GuestToken) (merged Cart, left []int64, err error) {
	g, err := c.open(token)
	if err != nil {
		return Cart{}, nil, err
	}
	t, err := c.take(ctx, g, user)
	switch {
	case err != nil:
		return Cart{}, nil, err
	case t.merge == 0:
		merged, err = c.Read(ctx, c.OfUser(user))
		return merged, nil, err
	}
	return c.finish(ctx, t)
}

// take takes a guest's cart over for a user. One that the user has already is as it was left. One without lines is nobody's.
func (c *Carts) take(ctx context.Context, g guest, user ids.User) (taken, error) {
	for range changesMax {
		t, err := c.taken(ctx, g)
		switch {
		case err != nil:
			return taken{}, err
		case t.merge != 0 && t.user != user:
			return taken{}, errMerged
		case t.merge != 0, len(t.Lines) == 0:
			return t, nil
		}
		at := c.ofGuest(g).at
		t.user, t.merge = user, ids.Random[int64]()
		done := false
		_, err = at.Write(ctx, "cart", func(tx *sql.Tx) error {
			result, err := at.In(tx).ExecContext(ctx, takeGuest, user, t.merge, g[:], t.Version)
			if err != nil {
				return db.WriteError("take a guest's cart over", err)
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return err
			}
			done = true
			return task.Of(owner, at.Suffix).Add(ctx, tx, taskMerge, strconv.FormatInt(t.merge, 10), g[:], taskPause)
		})
		if err != nil || done {
			return t, err
		}
	}
	return taken{}, errBusy
}

// taken reads a guest's cart, taken over or not.
func (c *Carts) taken(ctx context.Context, g guest) (taken, error) {
	at := c.ofGuest(g).at
	t := taken{guest: g, Cart: Cart{Version: 1}}
	var content []byte
	var user int64
	err := at.In(at.Writer()).QueryRowContext(ctx, selectTaken, g[:]).Scan(&t.Version, &content, &user, &t.merge)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return t, nil
	case err != nil:
		return taken{}, readError(at, "cart_guests", err)
	}
	t.user = ids.User(user)
	if t.Lines, err = decode(content); err != nil {
		err = fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
	}
	return t, err
}

// finish puts what a user has taken over into the user's cart, unless that was done, and then takes it from the guest's. It may be done
// again, by several at once.
func (c *Carts) finish(ctx context.Context, t taken) (merged Cart, left []int64, err error) {
	of := c.OfUser(t.user)
	if len(t.Lines) > 0 {
		err = c.join(ctx, of, t)
		for tries := 1; errors.Is(err, errAgain) && tries < changesMax; tries++ {
			err = c.join(ctx, of, t)
		}
		if err != nil {
			return Cart{}, nil, err
		}
		at := c.ofGuest(t.guest).at
		if _, err := at.In(at.Writer()).ExecContext(ctx, emptyGuest, t.guest[:], t.merge); err != nil {
			return Cart{}, nil, db.WriteError("empty a guest's cart", err)
		}
	}
	if left, err = c.leftOut(ctx, of, t); err != nil {
		return Cart{}, nil, err
	}
	merged, err = c.Read(ctx, of)
	return merged, left, err
}

// errAgain takes a transaction back whose cart another one has made.
var errAgain = fmt.Errorf("another one makes the cart: %w", errBusy)

// join puts the lines into the user's cart, in the transaction that notes that they are there.
func (c *Carts) join(ctx context.Context, of Holder, t taken) error {
	_, err := of.at.Write(ctx, "cart", func(tx *sql.Tx) error {
		in := of.at.In(tx)
		was, err := read(ctx, of, in, " FOR UPDATE")
		if err != nil {
			return err
		}
		to, left := Merge(was, t.Cart)
		text, err := json.Marshal(left)
		if err != nil {
			return fmt.Errorf("%w: %w", stock.ErrNotApplied, err)
		}
		_, err = in.ExecContext(ctx, insertMerge, t.user, t.merge, text)
		switch {
		case db.Answer(err) == db.AnswerDuplicate:
			return nil
		case err != nil:
			return db.WriteError("note a merge", err)
		case was.equal(to):
			return nil
		}
		to.Version = was.Version + 1
		done, err := write(ctx, of, in, to)
		if err == nil && !done {
			err = errAgain
		}
		return err
	})
	return err
}

// leftOut tells again for which SKUs there was no room.
func (c *Carts) leftOut(ctx context.Context, of Holder, t taken) (left []int64, err error) {
	var text []byte
	err = of.at.In(of.at.Writer()).QueryRowContext(ctx, selectMerge, t.user, t.merge).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &left)
	}
	if err != nil {
		return nil, readError(of.at, "cart_merges", err)
	}
	return left, nil
}

// endMerge ends a merge that a process has begun.
func (c *Carts) endMerge(ctx context.Context, of task.Task) error {
	var id []byte
	if err := of.Into(&id); err != nil || len(id) != drawnBytes {
		return task.Permanent(fmt.Errorf("no guest: %w", err))
	}
	t, err := c.taken(ctx, guest(id))
	if err != nil || t.merge == 0 || strconv.FormatInt(t.merge, 10) != of.Name {
		return err // the user is erased, or the row is gone
	}
	_, _, err = c.finish(ctx, t)
	return err
}
