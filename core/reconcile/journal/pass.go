package journal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/reconcile"
	"sluice/core/stock"
)

// ErrOvertaken tells that another one has gone on with the pass.
var ErrOvertaken = errors.New("another persister goes on with the pass through older rows")

// Pass is one reading of the older rows of the ledger, in pieces. The holder of the lease continues it.
type Pass struct {
	Begun Moment
	Ago   time.Duration // since then, when the pass was read
	After stock.Cell    // the last cell that was compared; zero: none was
	SoFar Run           // what it came to by then
}

// Pass reads the pass that is under way, nil if there is none.
func (j *Journal) Pass(ctx context.Context) (*Pass, error) {
	var p Pass
	var soFar []byte
	var microseconds int64
	err := j.db.QueryRowContext(ctx, "SELECT begun_at, TIMESTAMPDIFF(MICROSECOND, begun_at, NOW(3)), sku_id, pool, bucket, so_far FROM reconcile_pass WHERE one = 1").
		Scan(&p.Begun.Time, &microseconds, &p.After.SKU, &p.After.Pool, &p.After.Bucket, &soFar)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil //nolint:nilnil // none is under way
	}
	if err == nil {
		err = json.Unmarshal(soFar, &p.SoFar)
	}
	if err != nil {
		return nil, fmt.Errorf("read how far the pass through older rows has come: %w", err)
	}
	p.Ago = time.Duration(microseconds) * time.Microsecond
	return &p, nil
}

// BeginPass begins a pass, unless one is under way, and returns the one that is.
func (j *Journal) BeginPass(ctx context.Context) (*Pass, error) {
	_, err := j.db.ExecContext(ctx, "INSERT IGNORE INTO reconcile_pass (one, sku_id, pool, bucket, so_far) VALUES (1, 0, 0, 0, '{}')")
	if err != nil {
		return nil, fmt.Errorf("begin a pass through older rows: %w", err)
	}
	return j.Pass(ctx)
}

// GoOn writes down what was found in the cells up to one, and that the pass has come there. It returns the findings that are
// new.
func (j *Journal) GoOn(ctx context.Context, p *Pass, to stock.Cell, report *reconcile.Report) (fresh []reconcile.Finding, err error) {
	if fresh, err = j.Note(ctx, Rows, report.Findings); err != nil {
		return nil, err
	}
	p.SoFar.add(report)
	soFar, err := json.Marshal(&p.SoFar)
	if err != nil {
		return nil, err
	}
	result, err := j.db.ExecContext(ctx, `UPDATE reconcile_pass SET sku_id = ?, pool = ?, bucket = ?, so_far = ?
		WHERE one = 1 AND begun_at = ? AND sku_id = ? AND pool = ? AND bucket = ?`,
		to.SKU, to.Pool, to.Bucket, string(soFar), p.Begun.Time, p.After.SKU, p.After.Pool, p.After.Bucket)
	if err := changed(result, err); err != nil {
		return fresh, err
	}
	p.After = to
	return fresh, nil
}

// add adds what a piece came to.
func (r *Run) add(report *reconcile.Report) {
	s := &report.Summary
	r.Cells, r.InSync, r.Drift, r.Unverified = r.Cells+s.Cells, r.InSync+s.InSync, r.Drift+s.Drift, r.Unverified+s.Unverified
	r.LedgerRows, r.Findings = r.LedgerRows+s.LedgerRows, r.Findings+s.Findings
	if r.ByType == nil {
		r.ByType = map[reconcile.Type]reconcile.Quantity{}
	}
	for t, q := range report.Quantities() {
		was := r.ByType[t]
		r.ByType[t] = reconcile.Quantity{Findings: was.Findings + q.Findings, Units: was.Units + q.Units}
	}
}

// EndPass ends a pass that has read all rows. It records the pass as a run, and closes the findings that the pass did
// not find again.
func (j *Journal) EndPass(ctx context.Context, p *Pass, by string) (err error) {
	tx, err := j.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("end a pass through older rows: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	result, err := tx.ExecContext(ctx, "DELETE FROM reconcile_pass WHERE one = 1 AND begun_at = ? AND sku_id = ? AND pool = ? AND bucket = ?",
		p.Begun.Time, p.After.SKU, p.After.Pool, p.After.Bucket)
	if err := changed(result, err); err != nil {
		return err
	}
	run := p.SoFar
	run.Sweep, run.By, run.Complete, run.Verdict = Rows, by, true, reconcile.Clean
	switch unsure := run.ByType[reconcile.Unverifiable].Findings; {
	case run.Findings > unsure:
		run.Verdict = reconcile.HasDrift
	case unsure > 0:
		run.Verdict = reconcile.NotChecked
	}
	if err := gone(ctx, tx, Rows, p.Begun); err != nil {
		return err
	}
	if err := insertRun(ctx, tx, p.Begun, &run); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("end a pass through older rows: %w", err)
	}
	return j.forget(ctx)
}

// changed fails unless a statement about the pass has changed its row.
func changed(result sql.Result, err error) error {
	var n int64
	if err == nil {
		n, err = result.RowsAffected()
	}
	switch {
	case err != nil:
		return fmt.Errorf("write how far the pass through older rows has come: %w", err)
	case n == 0:
		return ErrOvertaken
	}
	return nil
}
