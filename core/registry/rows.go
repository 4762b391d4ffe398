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
	Kept       bool  // Redis has its users
	Sets       []redisstock.UserSet
}

const (
	selectSales = `SELECT sale_id, registered, closes_at_ms, registered_kept FROM sales
		WHERE registered_only AND registered_kept ORDER BY sale_id`
	selectSale  = "SELECT registered_only, registered, closes_at_ms, registered_kept FROM sales WHERE sale_id = ?"
	selectItems = "SELECT sku_id FROM sale_items WHERE sale_id = ?"
	selectUsers = "SELECT user_id FROM registrations WHERE sale_id = ? AND user_id > ? ORDER BY user_id LIMIT ?"
	insertUsers = "INSERT INTO registrations (sale_id, user_id) VALUES "
	keepUsers   = " ON DUPLICATE KEY UPDATE user_id = user_id"
	countUsers  = "UPDATE sales SET registered = registered + ? WHERE sale_id = ?"
	noteGone    = "UPDATE sales SET registered_kept = FALSE WHERE sale_id = ? AND closes_at_ms = ?"
)

// Sales are the sales whose users Redis has.
func (r *Registry) Sales(ctx context.Context) (sales []Sale, err error) {
	err = r.query(ctx, "sales", func(rows *sql.Rows) error {
		var s Sale
		err := rows.Scan(&s.ID, &s.Registered, &s.ClosesAtMS, &s.Kept)
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
	var partitions []int
	err := r.query(ctx, "items", func(rows *sql.Rows) error {
		cell := stock.Cell{Pool: id}
		err := rows.Scan(&cell.SKU)
		partitions = append(partitions, cell.Partition(r.store.Partitions()))
		return err
	}, selectItems, id)
	slices.Sort(partitions)
	var sets []redisstock.UserSet
	for _, p := range slices.Compact(partitions) {
		sets = append(sets, redisstock.UserSet{Partition: p, Sale: id})
	}
	return sets, err
}

// usersPerRead is how many users are read at once.
const usersPerRead = 10_000

// users yields the users of a sale, some at a time, in their order.
func (r *Registry) users(ctx context.Context, id uint32, yield func([]int64) error) error {
	for after := int64(0); ; {
		page := make([]int64, 0, usersPerRead)
		err := r.query(ctx, "registrations", func(rows *sql.Rows) error {
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

// write writes users, who are sorted, and how many the sale has with them. The row of the sale comes last, because all calls of
// a sale change it.
func (r *Registry) write(ctx context.Context, id uint32, users []int64) (done Result, err error) {
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return done, fmt.Errorf("begin: %w: %w", stock.ErrNotApplied, err)
	}
	if done, err = insert(ctx, tx, id, users); err != nil {
		return Result{}, errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return Result{}, fmt.Errorf("commit registrations: %w: %w", stock.ErrUnknown, err)
	}
	return done, nil
}

func insert(ctx context.Context, tx *sql.Tx, id uint32, users []int64) (done Result, err error) {
	for some := range slices.Chunk(users, usersPerStatement) {
		values := make([]any, 0, 2*len(some))
		for _, user := range some {
			values = append(values, id, user)
		}
		result, err := tx.ExecContext(ctx, insertUsers+strings.Repeat("(?, ?), ", len(some)-1)+"(?, ?)"+keepUsers, values...)
		if err != nil {
			return done, db.WriteError("insert registrations", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return done, fmt.Errorf("insert registrations: %w: %w", stock.ErrUnknown, err)
		}
		done.Added += n
	}
	if _, err := tx.ExecContext(ctx, countUsers, done.Added, id); err != nil {
		return done, db.WriteError("count registrations", err)
	}
	var only, kept bool
	var closes int64
	if err := tx.QueryRowContext(ctx, selectSale, id).Scan(&only, &done.Registered, &closes, &kept); err != nil {
		return done, fmt.Errorf("read sale %d: %w: %w", id, stock.ErrNotApplied, err)
	}
	return done, nil
}

// noteForgotten writes that Redis has no users of a sale any more, unless its window has changed since it was read.
func (r *Registry) noteForgotten(ctx context.Context, s Sale) error {
	if _, err := r.db.ExecContext(ctx, noteGone, s.ID, s.ClosesAtMS); err != nil {
		return db.WriteError("update sale", err)
	}
	return nil
}

func (r *Registry) query(ctx context.Context, what string, scan func(*sql.Rows) error, query string, values ...any) (err error) {
	rows, err := r.db.QueryContext(ctx, query, values...)
	if err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}
