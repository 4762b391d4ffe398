package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sluice/core/db"
)

// Act names a kind of run in archive_runs.
type Act string

// The acts.
const (
	ActArchive Act = "archive"
	ActVerify  Act = "verify"
)

// Outcome says how an act ended.
type Outcome string

// The outcomes.
const (
	OutcomeDone   Outcome = "done"
	OutcomeLeft   Outcome = "left" // somebody must decide something about some cells first
	OutcomeFailed Outcome = "failed"
)

const (
	runsFor     = 90 * 24 * time.Hour
	runsForget  = 1000 // rows that one run deletes
	saidBytes   = 250  // of a column that takes four bytes per character
	doneByBytes = 128

	insertRun  = "INSERT INTO archive_runs (act, done_by) VALUES (?, ?)"
	endRun     = "UPDATE archive_runs SET ended_at = NOW(3), outcome = ?, events = ?, reservations = ?, repairs = ?, files = ?, left_cells = ?, bad_files = ?, said = ? WHERE run_id = ?"
	deleteRuns = "DELETE FROM archive_runs WHERE begun_at < NOW(3) - INTERVAL ? SECOND LIMIT ?"
	selectLast = "SELECT outcome, events, reservations, repairs, files, left_cells, bad_files, said, TIMESTAMPDIFF(MICROSECOND, begun_at, ended_at) / 1e6, " +
		"TIMESTAMPDIFF(MICROSECOND, ended_at, NOW(6)) / 1e6 FROM archive_runs WHERE act = ? AND ended_at IS NOT NULL ORDER BY run_id DESC LIMIT 1"
	// Before the first success, the first attempt counts.
	selectUnsucceeded = "SELECT TIMESTAMPDIFF(MICROSECOND, COALESCE(MAX(IF(outcome = 'done', ended_at, NULL)), MIN(begun_at)), NOW(6)) / 1e6 FROM archive_runs WHERE act = ?"
)

// Runs reads and writes archive_runs.
type Runs struct{ db *sql.DB }

// NewRuns reads and writes runs of a database, which the caller closes.
func NewRuns(db *sql.DB) *Runs { return &Runs{db: db} }

// Result says how a run ended.
type Result struct {
	Outcome                       Outcome
	Events, Reservations, Repairs int64
	Files                         int64
	LeftCells                     int64
	BadFiles                      int64  // that are missing, or not as they were written
	Said                          string // why it failed, or left something
	Seconds                       float64
	Ago                           time.Duration // since its end
}

// Begin writes down that a run has begun, and forgets very old ones.
func (r *Runs) Begin(ctx context.Context, act Act) (id int64, err error) {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if _, err := r.db.ExecContext(ctx, deleteRuns, int64(runsFor.Seconds()), runsForget); err != nil {
		return 0, db.WriteError("forget old runs of the archive", err)
	}
	result, err := r.db.ExecContext(ctx, insertRun, act, cut(fmt.Sprintf("%s/%d", host, os.Getpid()), doneByBytes))
	if err == nil {
		id, err = result.LastInsertId()
	}
	if err != nil {
		return 0, db.WriteError("write down that a run of the archive begins", err)
	}
	return id, nil
}

// End records the result of a run, even if ctx has ended.
func (r *Runs) End(ctx context.Context, id int64, got Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, err := r.db.ExecContext(ctx, endRun, got.Outcome, got.Events, got.Reservations, got.Repairs, got.Files, got.LeftCells, got.BadFiles, cut(got.Said, saidBytes), id)
	if err != nil {
		return db.WriteError("write down what became of a run of the archive", err)
	}
	return nil
}

// Last is the newest run of an act that has ended, nil if there is none.
func (r *Runs) Last(ctx context.Context, act Act) (*Result, error) {
	var got Result
	var ago float64
	err := r.db.QueryRowContext(ctx, selectLast, act).Scan(&got.Outcome, &got.Events, &got.Reservations, &got.Repairs, &got.Files, &got.LeftCells,
		&got.BadFiles, &got.Said, &got.Seconds, &ago)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read runs of the archive: %w", err)
	}
	got.Ago = time.Duration(ago * float64(time.Second))
	return &got, nil
}

// Unsucceeded is how long ago the last run ended that left nothing; before the first, how long ago the first one began. It is
// negative if there was none.
func (r *Runs) Unsucceeded(ctx context.Context, act Act) (time.Duration, error) {
	var seconds sql.NullFloat64
	if err := r.db.QueryRowContext(ctx, selectUnsucceeded, act).Scan(&seconds); err != nil {
		return 0, fmt.Errorf("read runs of the archive: %w", err)
	}
	if !seconds.Valid {
		return -1, nil
	}
	return max(0, time.Duration(seconds.Float64*float64(time.Second))), nil
}

func cut(text string, most int) string { return strings.ToValidUTF8(text[:min(len(text), most)], "") }
