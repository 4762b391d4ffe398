// Package journal keeps the results of comparisons in MySQL: each run, and each difference from when it was first
// seen until it is gone.
package journal

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/reconcile"
	"sluice/core/show"
)

// Sweep says what a run compares.
type Sweep string

// The sweeps.
const (
	Stock Sweep = "stock" // all cells, reservations, projections, and ledger rows above the applied marks
	Rows  Sweep = "rows"  // older ledger rows
)

// How long results are kept.
const (
	runsFor     = 7 * 24 * time.Hour
	findingsFor = 90 * 24 * time.Hour // for so long after they are gone
	forgetMax   = 5000                // rows that one call deletes at most
	unreadBytes = 2000
)

// Journal reads and writes the tables.
type Journal struct{ db *sql.DB }

// New makes a journal in a database, which the caller closes.
func New(db *sql.DB) *Journal { return &Journal{db: db} }

// Moment is a time by MySQL's clock.
type Moment struct{ time.Time }

// Now is the time by MySQL's clock. A run begins with it.
func (j *Journal) Now(ctx context.Context) (now Moment, err error) {
	if err = j.db.QueryRowContext(ctx, "SELECT NOW(3)").Scan(&now.Time); err != nil {
		return now, fmt.Errorf("ask mysql for the time: %w", err)
	}
	return now, nil
}

// Run is a comparison.
type Run struct {
	ID           uint64                                `json:"run_id,string"`
	Sweep        Sweep                                 `json:"sweep"`
	Verdict      reconcile.Verdict                     `json:"verdict"`
	Complete     bool                                  `json:"complete"` // every store could be read
	By           string                                `json:"by"`
	BegunAt      show.Moment                           `json:"begun_at"`
	EndedAt      show.Moment                           `json:"ended_at"`
	Seconds      float64                               `json:"seconds"`
	Cells        int64                                 `json:"cells"`
	InSync       int64                                 `json:"in_sync"`
	InFlight     int64                                 `json:"in_flight"`
	Drift        int64                                 `json:"drift"`
	Unverified   int64                                 `json:"unverified"`
	Reservations int64                                 `json:"open_reservations"`
	LedgerRows   int64                                 `json:"ledger_rows"`
	Findings     int64                                 `json:"findings"`
	ByType       map[reconcile.Type]reconcile.Quantity `json:"by_type"`
	Unread       string                                `json:"unread,omitzero"`
}

// Keep writes down the findings of a sweep that began at a time, and deletes some old rows. If the sweep could read
// everything, findings that it did not see again are gone. Keep returns the new findings.
func (j *Journal) Keep(ctx context.Context, sweep Sweep, by string, begun Moment, report *reconcile.Report) (fresh []reconcile.Finding, err error) {
	if fresh, err = j.Note(ctx, sweep, report.Findings); err != nil {
		return nil, err
	}
	s := &report.Summary
	complete := len(s.Unread) == 0
	if complete && s.LeftOut == 0 {
		if err := gone(ctx, j.db, sweep, begun); err != nil {
			return nil, err
		}
	}
	run := Run{
		Sweep: sweep, Verdict: s.Verdict, Complete: complete, By: by, Cells: s.Cells, InSync: s.InSync, InFlight: s.InFlight, Drift: s.Drift,
		Unverified: s.Unverified, Reservations: s.Reservations, LedgerRows: s.LedgerRows, Findings: s.Findings, ByType: report.Quantities(),
		Unread: unreadText(s.Unread),
	}
	if err := insertRun(ctx, j.db, begun, &run); err != nil {
		return fresh, err
	}
	return fresh, j.forget(ctx)
}

// execer is the database, or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, values ...any) (sql.Result, error)
}

// insertRun keeps a run that began at a time and has just ended.
func insertRun(ctx context.Context, db execer, begun Moment, r *Run) error {
	byType, err := json.Marshal(r.ByType)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `INSERT INTO reconcile_runs (sweep, verdict, complete, done_by, begun_at, cells, in_sync, in_flight, drift,
		unverified, reservations, ledger_rows, findings, by_type, unread) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.Sweep, r.Verdict, r.Complete, r.By, begun.Time, r.Cells, r.InSync, r.InFlight, r.Drift, r.Unverified, r.Reservations, r.LedgerRows,
		r.Findings, string(byType), r.Unread)
	if err != nil {
		return fmt.Errorf("keep a run: %w", err)
	}
	return nil
}

func unreadText(unread []reconcile.Unread) (text string) {
	for _, u := range unread {
		if text != "" {
			text += "; "
		}
		text += string(u.Store) + ": " + u.Error
	}
	for i := range text {
		if i > unreadBytes/4 {
			return text[:i]
		}
	}
	return text
}

// gone ends findings that no sweep has seen since a time. It keeps those of a cell that could not be compared
// meanwhile.
func gone(ctx context.Context, db execer, sweep Sweep, since Moment) error {
	_, err := db.ExecContext(ctx, `UPDATE reconcile_findings SET is_open = NULL, gone_at = NOW(3)
		WHERE is_open = 1 AND sweep = ? AND last_seen < ? AND (sku_id, pool, bucket) NOT IN (SELECT * FROM (SELECT sku_id, pool, bucket
			FROM reconcile_findings WHERE is_open = 1 AND type = ? AND last_seen >= ?) AS unsure)`,
		sweep, since.Time, reconcile.Unverifiable, since.Time)
	if err != nil {
		return fmt.Errorf("end findings that are gone: %w", err)
	}
	return nil
}

// forget deletes some rows that are too old.
func (j *Journal) forget(ctx context.Context) error {
	for _, old := range []struct {
		statement string
		age       time.Duration
	}{
		{"DELETE FROM reconcile_runs WHERE ended_at < NOW(3) - INTERVAL ? SECOND LIMIT ?", runsFor},
		{"DELETE FROM reconcile_findings WHERE gone_at < NOW(3) - INTERVAL ? SECOND LIMIT ?", findingsFor},
	} {
		if _, err := j.db.ExecContext(ctx, old.statement, int64(old.age.Seconds()), forgetMax); err != nil {
			return fmt.Errorf("delete old runs: %w", err)
		}
	}
	return nil
}

const selectRuns = `SELECT run_id, sweep, verdict, complete, done_by, begun_at, ended_at, cells, in_sync, in_flight, drift, unverified,
	reservations, ledger_rows, findings, by_type, unread FROM reconcile_runs `

// Runs yields the runs that ended at a time or later, the newest first, at most limit.
func (j *Journal) Runs(ctx context.Context, since time.Time, limit int, yield func(*Run)) error {
	return j.runs(ctx, yield, selectRuns+"WHERE ended_at >= ? ORDER BY run_id DESC LIMIT ?", since, limit)
}

// Run reads one run; nil if there is none.
func (j *Journal) Run(ctx context.Context, id uint64) (found *Run, err error) {
	err = j.runs(ctx, func(r *Run) { found = r }, selectRuns+"WHERE run_id = ?", id)
	return found, err
}

// Last reads the last run of a sweep that could read everything, and how long ago it began. The run is nil if there
// is none.
func (j *Journal) Last(ctx context.Context, sweep Sweep) (last *Run, ago time.Duration, err error) {
	err = j.runs(ctx, func(r *Run) { last = r }, selectRuns+"WHERE sweep = ? AND complete ORDER BY ended_at DESC LIMIT 1", sweep)
	if last == nil || err != nil {
		return nil, 0, err
	}
	now, err := j.Now(ctx)
	return last, now.Sub(time.UnixMilli(int64(last.BegunAt))), err
}

// Newest reads the last run of a sweep; nil if there is none.
func (j *Journal) Newest(ctx context.Context, sweep Sweep) (newest *Run, err error) {
	err = j.runs(ctx, func(r *Run) { newest = r }, selectRuns+"WHERE sweep = ? ORDER BY run_id DESC LIMIT 1", sweep)
	return newest, err
}

func (j *Journal) runs(ctx context.Context, yield func(*Run), query string, values ...any) error {
	return j.read(ctx, "runs", func(rows *sql.Rows) error {
		var r Run
		var begun, ended time.Time
		var byType []byte
		err := rows.Scan(&r.ID, &r.Sweep, &r.Verdict, &r.Complete, &r.By, &begun, &ended, &r.Cells, &r.InSync, &r.InFlight, &r.Drift, &r.Unverified,
			&r.Reservations, &r.LedgerRows, &r.Findings, &byType, &r.Unread)
		if err != nil {
			return err
		}
		r.BegunAt, r.EndedAt, r.Seconds = show.Moment(begun.UnixMilli()), show.Moment(ended.UnixMilli()), ended.Sub(begun).Seconds()
		if err := json.Unmarshal(byType, &r.ByType); err != nil {
			return fmt.Errorf("run %d: %w", r.ID, err)
		}
		yield(&r)
		return nil
	}, query, values...)
}

// read runs a query and calls scan for each row.
func (j *Journal) read(ctx context.Context, what string, scan func(*sql.Rows) error, query string, values ...any) error {
	if err := db.Rows(ctx, j.db, scan, query, values...); err != nil {
		return fmt.Errorf("read %s: %w", what, err)
	}
	return nil
}
