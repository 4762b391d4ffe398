package archive

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	repairsAtOnce = 1000 // of a file

	countRepairs  = "SELECT COUNT(*) FROM repairs WHERE ended_at < ?"
	selectRepairs = "SELECT * FROM repairs WHERE ended_at < ? ORDER BY ended_at, step_id, round LIMIT ?"
	deleteRepairs = "DELETE FROM repairs WHERE ended_at < '%s' AND ("
)

// digests are columns that are no text.
var digests = []string{"step_id", "plan"}

// repair is a row of the table of repairs that ended long ago. Those that are under way have no end, and stay.
type repair struct {
	step  []byte
	round int64
	line  jsontext.Value // the whole row: columns that later versions add leave with it
}

// repairs moves old repairs into files.
func (a *archiver) repairs(ctx context.Context) error {
	if a.DryRun {
		if err := a.DB.QueryRowContext(ctx, countRepairs, a.Before.UTC()).Scan(&a.done.Repairs); err != nil {
			return fmt.Errorf("count repairs: %w", err)
		}
		return nil
	}
	for {
		start := time.Now()
		some, err := a.readRepairs(ctx)
		if err != nil || len(some) == 0 {
			return err
		}
		if err := a.batch(ctx, load{repairs: some}); errors.Is(err, ErrMoved) {
			a.skip(fmt.Errorf("repairs: %w", err))
			return nil
		} else if err != nil {
			return err
		}
		if err := a.rest(ctx, start); err != nil {
			return err
		}
	}
}

func (a *archiver) readRepairs(ctx context.Context) (some []repair, err error) {
	rows, err := a.DB.QueryContext(ctx, selectRepairs, a.Before.UTC(), repairsAtOnce)
	if err != nil {
		return nil, fmt.Errorf("read repairs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, fmt.Errorf("read repairs: %w", err)
	}
	for rows.Next() {
		one, err := repairOf(rows, columns)
		if err != nil {
			return nil, fmt.Errorf("read repairs: %w", err)
		}
		some = append(some, one)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read repairs: %w", err)
	}
	return some, nil
}

func repairOf(rows *sql.Rows, columns []string) (one repair, err error) {
	values, places := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	if err := rows.Scan(places...); err != nil {
		return one, err
	}
	row := map[string]*string{}
	for i, name := range columns {
		if values[i] == nil {
			row[name] = nil
			continue
		}
		text := string(values[i])
		if slices.Contains(digests, name) || !utf8.ValidString(text) {
			text = hex.EncodeToString(values[i])
		}
		row[name] = &text
		switch name {
		case "step_id":
			one.step = slices.Clone(values[i])
		case "round":
			if _, err := fmt.Sscan(text, &one.round); err != nil {
				return one, fmt.Errorf("round %q: %w", text, err)
			}
		}
	}
	one.line, err = json.Marshal(row, json.Deterministic(true))
	return one, err
}

func deleteOldRepairs(ctx context.Context, tx *sql.Tx, some []repair, before time.Time) error {
	d := deletion{ctx: ctx, tx: tx, what: "repairs"}
	begin := fmt.Sprintf(deleteRepairs, before.UTC().Format("2006-01-02 15:04:05.000"))
	for i := range some {
		if err := d.add(1, fmt.Appendf(nil, "(step_id = x'%x' AND round = %d)", some[i].step, some[i].round), begin, " OR ", ")"); err != nil {
			return err
		}
	}
	return d.run(")")
}

// sameRepairs compares the repairs of a file with those that were written to it.
func sameRepairs(some []repair, lines []jsontext.Value) error {
	if !slices.EqualFunc(some, lines, func(r repair, line jsontext.Value) bool { return bytes.Equal(r.line, line) }) {
		return fmt.Errorf("%w: it has other repairs than were written", ErrFile)
	}
	return nil
}
