package journal

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/reconcile"
	"sluice/core/show"
	"sluice/core/stock"
)

// notedAtOnce is how many findings one statement writes.
const notedAtOnce = 200

// proofMax is how many rows prove a kept finding at the most.
const proofMax = 20

// Finding is a difference of one type and direction in a cell, over all runs that found it.
type Finding struct {
	reconcile.Finding

	Findings  int64       `json:"findings"`
	FirstSeen show.Moment `json:"first_seen"` // by MySQL's clock, as all times but since
	LastSeen  show.Moment `json:"last_seen"`
	GoneAt    show.Moment `json:"gone_at,omitzero"`
}

// kind is shared by the findings of one row of the table.
type kind struct {
	cell      stock.Cell
	of        reconcile.Type
	direction reconcile.Direction
}

func kindOf(f *reconcile.Finding) kind { return kind{f.Cell(), f.Type, f.Direction} }

// gather joins the findings of each row into one.
func gather(found []reconcile.Finding) (all []Finding) {
	at := map[kind]int{}
	for i := range found {
		f := &found[i]
		k, known := at[kindOf(f)]
		if !known {
			at[kindOf(f)] = len(all)
			all = append(all, Finding{Finding: *f, Findings: 1})
			continue
		}
		g := &all[k]
		g.Findings++
		g.Units += f.Units
		g.Since = min(g.Since, f.Since)
		if room := proofMax - len(g.Proof); room > 0 {
			g.Proof = append(slices.Clip(g.Proof), f.Proof[:min(room, len(f.Proof))]...)
		}
	}
	return all
}

// Note writes findings down, and returns those that were not known. It ends no finding.
func (j *Journal) Note(ctx context.Context, sweep Sweep, found []reconcile.Finding) (fresh []reconcile.Finding, err error) {
	if len(found) == 0 {
		return nil, nil
	}
	known := map[kind]bool{}
	err = j.read(ctx, "findings", func(rows *sql.Rows) error {
		var k kind
		err := rows.Scan(&k.cell.SKU, &k.cell.Pool, &k.cell.Bucket, &k.of, &k.direction)
		known[k] = true
		return err
	}, "SELECT sku_id, pool, bucket, type, direction FROM reconcile_findings WHERE is_open = 1")
	if err != nil {
		return nil, err
	}
	all := gather(found)
	for some := range slices.Chunk(all, notedAtOnce) {
		if err := j.note(ctx, sweep, some); err != nil {
			return nil, err
		}
	}
	for i := range all {
		if f := &all[i].Finding; !known[kindOf(f)] {
			fresh = append(fresh, *f)
		}
	}
	return fresh, nil
}

func (j *Journal) note(ctx context.Context, sweep Sweep, some []Finding) error {
	values := make([]any, 0, 11*len(some))
	for i := range some {
		f := &some[i]
		proof, err := json.Marshal(f.Proof)
		if err != nil {
			return err
		}
		values = append(values, int64(f.SKU), f.Pool, f.Bucket, f.Type, f.Direction, sweep, f.Findings, f.Units, f.Repair, int64(f.Since), string(proof))
	}
	// The since of a finding never moves to a later time. If the pass through older rows has seen a finding, only that
	// pass can close it: the other sweep does not read these rows.
	//nolint:gosec // G202: places for values
	_, err := j.db.ExecContext(ctx, `INSERT INTO reconcile_findings (sku_id, pool, bucket, type, direction, sweep, findings, units, repair, since_ms, proof)
		VALUES `+strings.Repeat("(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?), ", len(some)-1)+`(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON DUPLICATE KEY UPDATE findings = VALUES(findings), units = VALUES(units), repair = VALUES(repair), since_ms = LEAST(since_ms, VALUES(since_ms)),
		proof = VALUES(proof), last_seen = NOW(3), sweep = IF(VALUES(sweep) = 'rows', 'rows', sweep)`, values...)
	if err != nil {
		return fmt.Errorf("keep findings: %w", err)
	}
	return nil
}

// Open yields the findings that are not gone, by cell.
func (j *Journal) Open(ctx context.Context, yield func(*Finding)) error {
	return j.findings(ctx, yield, "is_open = 1 ORDER BY sku_id, pool, bucket, type, direction")
}

// OpenCells returns at most limit cells that have a finding which is not gone.
func (j *Journal) OpenCells(ctx context.Context, limit int) (map[stock.Cell]bool, error) {
	cells := map[stock.Cell]bool{}
	return cells, j.read(ctx, "findings", func(rows *sql.Rows) error {
		var c stock.Cell
		err := rows.Scan(&c.SKU, &c.Pool, &c.Bucket)
		cells[c] = true
		return err
	}, "SELECT DISTINCT sku_id, pool, bucket FROM reconcile_findings WHERE is_open = 1 LIMIT ?", limit)
}

// Of yields the findings of a run, and older ones that were open at the time.
func (j *Journal) Of(ctx context.Context, r *Run, yield func(*Finding)) error {
	return j.findings(ctx, yield, "sweep = ? AND first_seen <= ? AND last_seen >= ? ORDER BY sku_id, pool, bucket, type, direction LIMIT 10000",
		r.Sweep, time.UnixMilli(int64(r.EndedAt)), time.UnixMilli(int64(r.BegunAt)))
}

// Count is how many findings there are of one type and direction.
type Count struct {
	Type      reconcile.Type
	Direction reconcile.Direction
	reconcile.Quantity
}

// Counts counts the findings that are not gone.
func (j *Journal) Counts(ctx context.Context) (counts []Count, err error) {
	err = j.read(ctx, "findings", func(rows *sql.Rows) error {
		var c Count
		err := rows.Scan(&c.Type, &c.Direction, &c.Findings, &c.Units)
		counts = append(counts, c)
		return err
	}, "SELECT type, direction, SUM(findings), SUM(units) FROM reconcile_findings WHERE is_open = 1 GROUP BY type, direction")
	return counts, err
}

func (j *Journal) findings(ctx context.Context, yield func(*Finding), where string, values ...any) error {
	return j.read(ctx, "findings", func(rows *sql.Rows) error {
		var f Finding
		var since int64
		var proof []byte
		var first, last time.Time
		var gone sql.NullTime
		err := rows.Scan((*int64)(&f.SKU), &f.Pool, &f.Bucket, &f.Type, &f.Direction, &f.Findings, &f.Units, &f.Repair, &since, &first, &last, &gone, &proof)
		if err != nil {
			return err
		}
		f.Since, f.FirstSeen, f.LastSeen = show.Moment(since), show.Moment(first.UnixMilli()), show.Moment(last.UnixMilli())
		if gone.Valid {
			f.GoneAt = show.Moment(gone.Time.UnixMilli())
		}
		if err := json.Unmarshal(proof, &f.Proof); err != nil {
			return fmt.Errorf("proof of %s of %v: %w", f.Type, f.Cell(), err)
		}
		yield(&f)
		return nil
	}, `SELECT sku_id, pool, bucket, type, direction, findings, units, repair, since_ms, first_seen, last_seen, gone_at, proof
		FROM reconcile_findings WHERE `+where, values...)
}
