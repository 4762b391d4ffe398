// Package ledger is the one reader of MySQL's tables of stock: the ledger and the tables computed from it, the applied
// marks, the sales and the dead letters. It lists them for people, page by page. It reads the positions that Redis is
// compared with. It also writes people's decisions about dead letters, and
// which cells edges have found lost. Redis, not MySQL, decides about stock. So a list
// of stock or of reservations says up to which time it has all events of Redis.
//
// Two other packages read some of these tables themselves. The persister reads rows in the transaction in which it
// writes. Package sale reads its own sales.
package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/db"
	"sluice/core/show"
	"sluice/core/stock"
)

// Bounds of a page.
const (
	PageDefault = 50
	PageMax     = 500
)

// The faults of a question.
var (
	ErrCursor = errors.New("the cursor is not one of this list, with these filters: begin without one")
	ErrFilter = errors.New("the filters are not in order")
)

// Persisted returns the Redis time up to which MySQL has everything, and Redis' time now. Both are 0 if nobody knows.
type Persisted func(ctx context.Context) (untilMS, nowMS int64)

// Reader reads MySQL's tables of stock. It is safe for concurrent use.
type Reader struct {
	db        *sql.DB
	persisted Persisted
}

// New makes a reader of a database, which the caller closes.
func New(db *sql.DB, persisted Persisted) *Reader { return &Reader{db: db, persisted: persisted} }

// Page says which part of a list the caller wants.
type Page struct {
	Limit  int    // number of items; 0: PageDefault
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
	// Next is the cursor of the next page. It is empty on the last page. A page with a next one may be short or
	// empty.
	Next string `json:"next_cursor,omitempty"`
	// AsOf is the Redis time up to which the list has everything that happened. It is 0 if nobody knows.
	AsOf show.Moment `json:"as_of,omitzero"`
	// Behind is true if Redis has had events since AsOf. The list may lack them.
	Behind bool `json:"-"`
}

// listOf makes a page from the items that were read, which may be one more than fit. The items come from the rows up
// to the key end, or from all remaining rows if end is nil.
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

// momentOf returns a time of the database as a moment.
func momentOf(t sql.NullTime) show.Moment {
	if !t.Valid {
		return 0
	}
	return show.Moment(t.Time.UnixMilli())
}

// read runs a query and calls scan for each row. Its errors say that nothing was changed.
func (r *Reader) read(ctx context.Context, what string, scan func(*sql.Rows) error, query string, values ...any) error {
	if err := r.query(ctx, scan, query, values...); err != nil {
		return fmt.Errorf("read %s: %w: %w", what, stock.ErrNotApplied, err)
	}
	return nil
}

// query runs a query and calls scan for each row, up to the first error.
func (r *Reader) query(ctx context.Context, scan func(*sql.Rows) error, query string, values ...any) error {
	return db.Rows(ctx, r.db, scan, query, values...)
}
