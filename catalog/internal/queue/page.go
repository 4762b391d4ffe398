package queue

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/stock"
)

// Cursor is where a page ends of what is listed in the order in which it came. The zero is the beginning, and what is behind the last page.
type Cursor struct {
	At time.Time
	ID int64
}

// ParseCursor reads what String writes. The empty text is the beginning.
func ParseCursor(text string) (c Cursor, err error) {
	if text == "" {
		return Cursor{}, nil
	}
	at, of, _ := strings.Cut(text, ".")
	ms, err := strconv.ParseInt(at, 10, 64)
	id, ok := ids.Parse(of)
	c = Cursor{time.UnixMilli(ms).UTC(), id}
	if err != nil || !ok || ms < 0 || ms > 1e14 || c.String() != text {
		return Cursor{}, errors.New("the cursor is not one of this list")
	}
	return c, nil
}

// String is the cursor for the next page.
func (c Cursor) String() string { return fmt.Sprintf("%d.%d", c.At.UnixMilli(), c.ID) }

// Next is the cursor as the API shows it: absent behind the last page.
func (c Cursor) Next() *string {
	if c == (Cursor{}) {
		return nil
	}
	text := c.String()
	return &text
}

// List is a list of what is in all places, in the order in which it came.
type List[T any] struct {
	Name, Table string // for errors
	// Statement takes values of its own, the time of a cursor twice, its id, and how many.
	Statement string
	Scan      func(*sql.Rows, *T) error
	At        func(*T) Cursor
}

// Page reads a page behind a cursor from the writers of places. Next is zero after the last page.
func (l List[T]) Page(ctx context.Context, places []place.Place, after Cursor, limit int, values ...any) (page []T, next Cursor, err error) {
	if after == (Cursor{}) {
		after.At = time.UnixMilli(0).UTC() // MySQL has no year 1
	}
	values = append(values, after.At, after.At, after.ID, limit+1)
	for _, p := range places {
		err := db.Rows(ctx, p.In(p.Writer()), func(row *sql.Rows) error {
			page = append(page, *new(T))
			return l.Scan(row, &page[len(page)-1])
		}, l.Statement, values...)
		if err != nil {
			return nil, Cursor{}, fmt.Errorf("%w: %w", stock.ErrNotApplied, db.ReadError(l.Name, l.Table+p.Suffix, err))
		}
	}
	slices.SortFunc(page, func(a, b T) int { return l.At(&a).compare(l.At(&b)) })
	if len(page) <= limit {
		return page, Cursor{}, nil
	}
	return page[:limit], l.At(&page[limit-1]), nil
}

func (c Cursor) compare(with Cursor) int {
	return cmp.Or(c.At.Compare(with.At), cmp.Compare(c.ID, with.ID))
}
