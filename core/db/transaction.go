package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"sluice/core/stock"
)

// Queryer is a database, or a transaction in it.
type Queryer interface {
	QueryContext(ctx context.Context, query string, values ...any) (*sql.Rows, error)
}

// Rows runs a query and calls scan for each row, up to the first error.
func Rows(ctx context.Context, from Queryer, scan func(*sql.Rows) error, query string, values ...any) (err error) {
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

// Write runs a transaction that changes what. Its errors are those of package stock. If the transaction only read, could not
// begin, or was refused, it was not executed. From the first write to the commit the outcome is unknown.
func Write(ctx context.Context, in *sql.DB, what string, do func(*sql.Tx) error) error {
	tx, err := in.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w: %w", stock.ErrNotApplied, err)
	}
	defer func() { _ = tx.Rollback() }() // for a panic in do, which would leave its connection and its locks behind. After the end it does nothing
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit %s: %w: %w", what, stock.ErrUnknown, err)
	}
	return nil
}
