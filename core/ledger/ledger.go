// Package ledger is the one reader of what MySQL has of stock: the ledger and its projections, the applied marks, the
// sales and the dead letters. It lists them page by page for people, tells the positions that Redis is compared with, and
// writes down what people decide about dead letters. What decides over stock is in Redis: a list of stock or of
// reservations tells up to when MySQL has what happened there.
//
// Two others read some of these tables by themselves. The persister reads the rows that it compares with those that it
// writes, in the transaction that writes them. Package sale reads its own sales.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/show"
	"sluice/core/stock"
)

// Bounds of a page.
const (
	PageDefault = 50
	PageMax     = 500
)

// What is wrong with a question.
var (
	ErrCursor = errors.New("the cursor is not one of this list, with these filters: begin without one")
	ErrFilter = errors.New("the filters are not in order")
)

// Persisted returns the Redis time up to which MySQL has everything, and Redis' time now; 0 where
// that cannot be told.
type Persisted func(ctx context.Context) (untilMS, nowMS int64)

// Reader reads what MySQL has. It is safe for concurrent use.
type Reader struct {
	db        *sql.DB
	persisted Persisted
}

// New makes a reader of a database, which the caller closes.
func New(db *sql.DB, persisted Persisted) *Reader { return &Reader{db: db, persisted: persisted} }

// Page says which part of a list is wanted.
type Page struct {
	Limit  int    // items; 0: PageDefault
	Cursor string // where the page before ended; empty: the beginning
}

// limit is the number of items of the page.
func (p Page) limit() (int, error) {
	switch {
	case p.Limit == 0:
		return PageDefault, nil
	case p.Limit < 0 || p.Limit > PageMax:
		return 0, fmt.Errorf("%w: limit %d: want 1 to %d", ErrFilter, p.Limit, PageMax)
	}
	return p.Limit, nil
}

// List is one page of a list.
type List[T any] struct {
	Data []T `json:"data"`
	// Next is the cursor of the next page; empty: there is none. A page that has one may be short or empty.
	Next string `json:"next_cursor,omitempty"`
	// AsOf is the Redis time up to which everything that happened is in the list; 0: nobody can tell.
	AsOf show.Moment `json:"as_of,omitzero"`
	// Behind is true if Redis has events since AsOf that may be missing here.
	Behind bool `json:"-"`
}

// listOf makes a page out of up to one item more than it has room for. The items come from the rows up to the key
// end, or from all that are left where end is nil.
func listOf[T, K any](items []T, limit int, in uint64, key func(*T) K, end *K) List[T] {
	l := List[T]{Data: items}
	if items == nil {
		l.Data = []T{} // an empty list, also in JSON
	}
	switch {
	case len(items) > limit:
		l.Data = items[:limit]
		l.Next = cursorOf(in, key(&l.Data[limit-1]))
	case end != nil:
		l.Next = cursorOf(in, *end)
	}
	return l
}

// momentOf is a time of the database as a moment.
func momentOf(t sql.NullTime) show.Moment {
	if !t.Valid {
		return 0
	}
	return show.Moment(t.Time.UnixMilli())
}

// read runs a query and calls scan for each row. Whatever goes wrong, nothing was changed.
func (r *Reader) read(ctx context.Context, what string, scan func(*sql.Rows) error, query string, values ...any) error {
	if err := r.query(ctx, scan, query, values...); err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}

// query runs a query and calls scan for each row, up to the first error.
func (r *Reader) query(ctx context.Context, scan func(*sql.Rows) error, query string, values ...any) error {
	return queryFrom(ctx, r.db, scan, query, values...)
}

// queryer is a database, or a transaction in it.
type queryer interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// queryFrom is query, from a database or in a transaction.
func queryFrom(ctx context.Context, from queryer, scan func(*sql.Rows) error, query string, values ...any) (err error) {
	rows, err := from.QueryContext(ctx, query, values...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}
