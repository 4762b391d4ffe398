package place

import (
	"context"
	"database/sql"
	"testing"
)

// contexts keeps the context of each statement.
type contexts struct {
	Conn
	got []context.Context
}

func (c *contexts) PrepareContext(ctx context.Context, _ string) (*sql.Stmt, error) {
	c.got = append(c.got, ctx)
	return nil, nil
}

func (c *contexts) QueryContext(ctx context.Context, _ string, _ ...any) (*sql.Rows, error) {
	c.got = append(c.got, ctx)
	return nil, nil
}

func (c *contexts) QueryRowContext(ctx context.Context, _ string, _ ...any) *sql.Row {
	c.got = append(c.got, ctx)
	return nil
}

// TestStatementsEndWithTheirReading: the code that reads has a context of its own, which ends later.
func TestStatementsEndWithTheirReading(t *testing.T) {
	t.Parallel()
	c := new(contexts)
	within, cancel := context.WithCancel(t.Context())
	r := reading{c, within}
	_, _ = r.PrepareContext(t.Context(), "") //nolint:sqlclosecheck // there is none
	_, _ = r.QueryContext(t.Context(), "")   //nolint:gocritic,rowserrcheck,sqlclosecheck // there are none
	_ = r.QueryRowContext(t.Context(), "")
	for _, ctx := range c.got {
		if ctx.Err() != nil {
			t.Error("a statement ended at once")
		}
	}
	cancel()
	for _, ctx := range c.got {
		<-ctx.Done()
	}
	if len(c.got) != 3 {
		t.Errorf("%d statements came", len(c.got))
	}
}
