package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// Sale is a sale that is for registered users only.
type Sale struct {
	ID         uint32
	Registered int64 // users in MySQL
	ClosesAtMS int64 // Redis time; 0: never
	Kept       bool  // Redis has its users, or gets them from Bring
	Sets       []redisstock.UserSet
}

const (
	selectSales = `SELECT sale_id, registered, closes_at_ms FROM sales
		WHERE registered_only AND registered_kept ORDER BY sale_id`
	selectSale  = "SELECT registered_only, registered, closes_at_ms, registered_kept FROM sales WHERE sale_id = ?"
	selectItems = "SELECT sku_id FROM sale_items WHERE sale_id = ?"
	selectUsers = "SELECT user_id FROM registrations WHERE sale_id = ? AND user_id > ? ORDER BY user_id LIMIT ?"
	insertUsers = "INSERT INTO registrations (sale_id, user_id) VALUES "
	keepUsers   = " ON DUPLICATE KEY UPDATE user_id = user_id"
	countUsers  = "UPDATE sales SET registered = registered + ? WHERE sale_id = ?"
	selectCount = "SELECT registered, registered_kept FROM sales WHERE sale_id = ?"
	forgetSale  = "UPDATE sales SET registered_kept = FALSE WHERE sale_id = ? AND closes_at_ms = ? AND registered_kept"
	lockCount   = "SELECT registered FROM sales WHERE sale_id = ? FOR UPDATE"
	countRows   = "SELECT COUNT(*) FROM registrations WHERE sale_id = ?"
	setCount    = "UPDATE sales SET registered = ? WHERE sale_id = ?"
	lockSale    = "SELECT registered_kept FROM sales WHERE sale_id = ? FOR UPDATE"
)

// Sales are the sales whose users Redis has.
func (r *Registry) Sales(ctx context.Context) (sales []Sale, err error) {
	err = query(ctx, r.db, "sales", func(rows *sql.Rows) error {
		s := Sale{Kept: true}
		err := rows.Scan(&s.ID, &s.Registered, &s.ClosesAtMS)
		sales = append(sales, s)
		return err
	}, selectSales)
	for i := range sales {
		if err == nil {
			sales[i].Sets, err = r.sets(ctx, sales[i].ID)
		}
	}
	return sales, err
}

// Find reads a sale that is for registered users only.
func (r *Registry) Find(ctx context.Context, id uint32) (Sale, error) {
	s, only := Sale{ID: id}, false
	err := r.db.QueryRowContext(ctx, selectSale, id).Scan(&only, &s.Registered, &s.ClosesAtMS, &s.Kept)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, fmt.Errorf("sale %d: %w", id, sale.ErrNotFound)
	case err != nil:
		return s, fmt.Errorf("read sale %d: %w: %w", id, stock.ErrNotApplied, err)
	case !only:
		return s, fmt.Errorf("sale %d: %w", id, ErrOpenToAll)
	}
	s.Sets, err = r.sets(ctx, id)
	return s, err
}

// sets are those of a sale, one in each partition that has a cell of it, in their order.
func (r *Registry) sets(ctx context.Context, id uint32) ([]redisstock.UserSet, error) {
	if known, ok := r.known.Load(id); ok {
		return known.([]redisstock.UserSet), nil
	}
	var partitions []int
	err := query(ctx, r.db, "items", func(rows *sql.Rows) error {
		cell := stock.Cell{Pool: id}
		err := rows.Scan(&cell.SKU)
		partitions = append(partitions, cell.Partition(r.store.Partitions()))
		return err
	}, selectItems, id)
	if err != nil {
		return nil, err
	}
	slices.Sort(partitions)
	var sets []redisstock.UserSet
	for _, p := range slices.Compact(partitions) {
		sets = append(sets, redisstock.UserSet{Partition: p, Sale: id})
	}
	r.known.Store(id, sets)
	return sets, nil
}

// usersPerRead is how many users are read at once.
const usersPerRead = 10_000

// users yields the users of a sale, some at a time, in their order.
func (r *Registry) users(ctx context.Context, from db.Queryer, id uint32, yield func([]int64) error) error {
	for after := int64(0); ; {
		page := make([]int64, 0, usersPerRead)
		err := query(ctx, from, "registrations", func(rows *sql.Rows) error {
			var user int64
			err := rows.Scan(&user)
			page = append(page, user)
			return err
		}, selectUsers, id, after, usersPerRead)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			after = page[len(page)-1]
			if err := yield(page); err != nil {
				return err
			}
		}
		if len(page) < usersPerRead {
			return nil
		}
	}
}

// usersPerStatement keeps statements well below what a server accepts.
const usersPerStatement = 1000

// add writes users, who are sorted, and how many the sale has with them. It also returns whether Redis keeps the sale's users.
func (r *Registry) add(ctx context.Context, id uint32, users []int64) (done Result, kept bool, err error) {
	err = db.Write(ctx, r.db, "registrations", func(tx *sql.Tx) error {
		done, kept, err = insert(ctx, tx, id, users)
		return err
	})
	if err != nil {
		return Result{}, false, err
	}
	return done, kept, nil
}

// insert is the transaction of add. The row of the sale comes last, because all calls of a sale change it.
func insert(ctx context.Context, tx *sql.Tx, id uint32, users []int64) (done Result, kept bool, err error) {
	for some := range slices.Chunk(users, usersPerStatement) {
		values := make([]any, 0, 2*len(some))
		for _, user := range some {
			values = append(values, id, user)
		}
		result, err := tx.ExecContext(ctx, insertUsers+strings.Repeat("(?, ?), ", len(some)-1)+"(?, ?)"+keepUsers, values...)
		if err != nil {
			return done, false, db.WriteError("insert registrations", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return done, false, fmt.Errorf("insert registrations: %w: %w", stock.ErrUnknown, err)
		}
		done.Added += n
	}
	if _, err := tx.ExecContext(ctx, countUsers, done.Added, id); err != nil {
		return done, false, db.WriteError("count registrations", err)
	}
	if err := tx.QueryRowContext(ctx, selectCount, id).Scan(&done.Registered, &kept); err != nil {
		return done, false, fmt.Errorf("read sale %d: %w: %w", id, stock.ErrNotApplied, err)
	}
	return done, kept, nil
}

// claimForgotten writes that Redis has no users of a sale any more. It returns false if somebody else has written that, or has
// changed the sale's window since the sale was read.
func claimForgotten(ctx context.Context, tx *sql.Tx, s Sale) (bool, error) {
	result, err := tx.ExecContext(ctx, forgetSale, s.ID, s.ClosesAtMS)
	if err != nil {
		return false, db.WriteError("update sale", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("update sale: %w: %w", stock.ErrUnknown, err)
	}
	return n == 1, nil
}

// findForgotten reports whether somebody has forgotten a sale. Until the transaction ends, nobody opens it.
func findForgotten(ctx context.Context, tx *sql.Tx, s Sale) (bool, error) {
	var kept bool
	if err := tx.QueryRowContext(ctx, lockSale, s.ID).Scan(&kept); err != nil {
		return false, fmt.Errorf("lock sale: %w: %w", stock.ErrNotApplied, err)
	}
	return !kept, nil
}

// query runs a query and calls scan for each row. Its errors say that nothing was changed.
func query(ctx context.Context, from db.Queryer, what string, scan func(*sql.Rows) error, query string, values ...any) error {
	if err := db.Rows(ctx, from, scan, query, values...); err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}
