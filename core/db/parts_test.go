package db_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"testing"

	"sluice/core/db"
)

// parts answers each statement with the next number of rows.
type parts struct {
	rows []int64
	last []any
}

func (p *parts) ExecContext(_ context.Context, _ string, values ...any) (sql.Result, error) {
	p.last = values
	if len(p.rows) == 0 {
		return nil, errors.New("gone")
	}
	n := p.rows[0]
	p.rows = p.rows[1:]
	return affected(n), nil
}

type affected int64

func (affected) LastInsertId() (int64, error)   { return 0, nil }
func (n affected) RowsAffected() (int64, error) { return int64(n), nil }

// A statement in parts goes on until a part is not full, and has the bound as its last value.
func TestInParts(t *testing.T) {
	t.Parallel()
	p := &parts{rows: []int64{db.PartMax, db.PartMax, 7, 1}}
	values := append(make([]any, 0, 4), "a")
	if n, err := db.InParts(t.Context(), p, "delete", "DELETE", values...); n != 2*db.PartMax+7 || err != nil || len(p.rows) != 1 {
		t.Errorf("%d rows, %v, %d parts are left", n, err, len(p.rows))
	}
	if !slices.Equal(p.last, []any{"a", db.PartMax}) || values[:2][1] != nil {
		t.Errorf("values %v, of the caller %v", p.last, values[:2])
	}
	p.rows = []int64{db.PartMax}
	if n, err := db.InParts(t.Context(), p, "delete", "DELETE"); n != db.PartMax || err == nil {
		t.Errorf("%d rows, %v", n, err)
	}
}
