package db

import (
	"context"
	"database/sql"
)

// PartMax bounds the rows of one statement that deletes: others wait for its locks, and replicas for its end.
const PartMax = 500

// Execer is what statements are executed in.
type Execer interface {
	ExecContext(ctx context.Context, statement string, values ...any) (sql.Result, error)
}

// InParts executes a statement about at most PartMax rows, its last value, until there are none left. It returns how many there were.
func InParts(ctx context.Context, in Execer, what, statement string, values ...any) (total int64, err error) {
	values = append(values[:len(values):len(values)], PartMax)
	for {
		done, err := in.ExecContext(ctx, statement, values...)
		if err != nil {
			return total, WriteError(what, err)
		}
		n, err := done.RowsAffected()
		if total += n; err != nil || n < PartMax {
			return total, err
		}
	}
}
