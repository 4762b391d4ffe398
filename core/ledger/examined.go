package ledger

import (
	"context"
	"database/sql"
)

// Some filters have no index. An index on available units, for example, would be written with every effect. So a page
// of a filtered list is picked from a bounded number of rows. A page may then be short or empty, and its cursor says
// where to go on. So every page costs the same, however few rows pass the filter.
const examinedMax = 5000

// examined returns the key of the last row that a page is picked from. It is nil if fewer rows are left than a page
// may examine. The query names the columns of an index in its order, and the server reads nothing else.
func examined[K any](ctx context.Context, r *Reader, what string, scan func(*sql.Rows, *K) error, query string, values ...any) (end *K, err error) {
	err = r.read(ctx, what, func(rows *sql.Rows) error {
		end = new(K)
		return scan(rows, end)
	}, query+" LIMIT 1 OFFSET ?", append(values, examinedMax-1)...)
	return end, err
}
