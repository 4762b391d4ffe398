package ledger

import (
	"context"
	"database/sql"
)

// No index has all filters: an index on available units, say, would be written at every effect. A page of such a list
// is picked from so many rows, and the cursor of one that is short or empty says where to go on. So a page costs the
// same however few rows the filter leaves.
const examinedMax = 5000

// examined is the key of the last row that a page is picked from; nil: there are no more rows than may be examined.
// The query gives the columns of an index in its order, which are all that the server reads.
func examined[K any](ctx context.Context, r *Reader, what string, scan func(*sql.Rows, *K) error, query string, values ...any) (end *K, err error) {
	err = r.read(ctx, what, func(rows *sql.Rows) error {
		end = new(K)
		return scan(rows, end)
	}, query+" LIMIT 1 OFFSET ?", append(values, examinedMax-1)...)
	return end, err
}
