package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/show"
	"sluice/core/stock"
)

// Repair is a step of a repair as the table of repairs has it.
type Repair struct {
	Step     [sha256.Size]byte
	Plan     [sha256.Size]byte
	Approved int64 // the admin who approved the plan; 0: it needed no approval
	Decision

	Type, Repair      string
	Cell              stock.Cell
	Units             int64
	Direction         string
	Expects, Does     string
	Act               []byte
	ByPersister       bool
	Round             int64
	ClaimedAt         show.Moment // by MySQL's clock, like EndedAt
	EndedAt           show.Moment // 0: it is under way
	Done              bool        // the step was done, and not refused
	Said              string
	stock.Position    // of the event, if the step made one
	claimed           time.Time
	mine, wasUnderWay bool
}

// Mine means that the caller of ClaimRepair has the step to do.
func (r *Repair) Mine() bool { return r.mine }

// Resumed means that somebody else began the step and did not finish it. The caller has it to do now.
func (r *Repair) Resumed() bool { return r.mine && r.wasUnderWay }

// saidMax bounds the text about a repair.
const saidMax = 1000

// saidText shortens a text to the length of its column.
func saidText(text string) string { return strings.ToValidUTF8(text[:min(len(text), saidMax)], "?") }

// ClaimRepair claims the right to do a step, and returns who has it: Mine, or the owner that the row names. The caller
// gets the step in three cases: nobody had it; it ended before this plan was made and was found again; or somebody
// began it longer than lease ago and did not finish it. In the last case parts of the step may be done, so the caller
// must be able to do them again.
func (r *Reader) ClaimRepair(ctx context.Context, s *Repair, plannedAt show.Moment, lease time.Duration) (Repair, error) {
	if err := s.check(); err != nil {
		return Repair{}, err
	}
	last, err := r.Repair(ctx, s.Step)
	if err != nil {
		return Repair{}, err
	}
	claim := *s
	switch {
	case last == nil:
		claim.Round = 1
	case last.EndedAt != 0 && last.EndedAt >= plannedAt:
		return *last, nil
	case last.EndedAt != 0:
		claim.Round = last.Round + 1
	default:
		return r.takeOver(ctx, s, last, lease)
	}
	var approved any
	if claim.Approved != 0 {
		approved = claim.Approved
	}
	_, err = r.db.ExecContext(ctx, `INSERT INTO repairs (step_id, round, plan, operator, reason, approved_by, type, repair, sku_id, pool, bucket,
		units, direction, expects, does, act, by_persister) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		claim.Step[:], claim.Round, claim.Plan[:], claim.By, claim.Reason, approved, claim.Type, claim.Repair, claim.Cell.SKU, claim.Cell.Pool,
		claim.Cell.Bucket, claim.Units, claim.Direction, saidText(claim.Expects), saidText(claim.Does), claim.Act, claim.ByPersister)
	if db.Answer(err) == db.AnswerDuplicate {
		if last, err = r.Repair(ctx, s.Step); err == nil && last != nil {
			return *last, nil // another machine was faster
		}
	}
	if err != nil {
		return Repair{}, db.WriteError("claim repair", err)
	}
	claim.mine = true
	return claim, nil
}

// takeOver takes over a step that somebody began and did not finish.
func (r *Reader) takeOver(ctx context.Context, s, last *Repair, lease time.Duration) (Repair, error) {
	if last.ByPersister {
		return *last, nil // persisters finish it by themselves
	}
	result, err := r.db.ExecContext(ctx, `UPDATE repairs SET claimed_at = NOW(3), operator = ?, reason = ?
		WHERE step_id = ? AND round = ? AND ended_at IS NULL AND claimed_at = ? AND claimed_at <= NOW(3) - INTERVAL ? MICROSECOND`,
		s.By, s.Reason, last.Step[:], last.Round, last.claimed, lease.Microseconds())
	if err != nil {
		return Repair{}, db.WriteError("take repair over", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return *last, err
	}
	last.By, last.Reason, last.mine, last.wasUnderWay = s.By, s.Reason, true, true
	return *last, nil
}

// EndRepair writes the outcome of a step.
func (r *Reader) EndRepair(ctx context.Context, s *Repair, done bool, said string, event stock.Position) error {
	var epoch, seq any
	if event.Seq > 0 {
		epoch, seq = event.Epoch, event.Seq
	}
	_, err := r.db.ExecContext(ctx, `UPDATE repairs SET ended_at = NOW(3), outcome = ?, said = ?, event_epoch = ?, event_seq = ?
		WHERE step_id = ? AND round = ? AND ended_at IS NULL`, outcomeWord(done), saidText(said), epoch, seq, s.Step[:], s.Round)
	if err != nil {
		return db.WriteError("end repair", err)
	}
	return nil
}

// CloseRepairs closes steps that somebody began longer than lease before a plan was made and did not finish. It
// closes only those that a plan of everything does not contain any more, because what they were to repair is right
// now.
func (r *Reader) CloseRepairs(ctx context.Context, plannedAt show.Moment, lease time.Duration, planned map[[sha256.Size]byte]bool) error {
	var open []Repair
	err := r.read(ctx, "repairs", func(rows *sql.Rows) error {
		var id []byte
		var s Repair
		err := rows.Scan(&id, &s.Round)
		if err == nil && len(id) == len(s.Step) {
			s.Step = [sha256.Size]byte(id)
			open = append(open, s)
		}
		return err
	}, "SELECT step_id, round FROM repairs WHERE ended_at IS NULL AND NOT by_persister AND claimed_at < ? LIMIT 10000",
		time.UnixMilli(int64(plannedAt)).Add(-lease).UTC())
	for i := range open {
		if err == nil && !planned[open[i].Step] {
			err = r.EndRepair(ctx, &open[i], true, "whoever began it did not tell what came of it; a later plan found nothing left to do", stock.Position{})
		}
	}
	return err
}

func outcomeWord(done bool) string {
	if done {
		return "done"
	}
	return "refused"
}

// Repair returns the last row of a step, or nil if there is none.
func (r *Reader) Repair(ctx context.Context, step [sha256.Size]byte) (found *Repair, err error) {
	err = r.read(ctx, "repairs", func(rows *sql.Rows) error {
		found = &Repair{Step: step}
		var ended sql.NullTime
		var outcome sql.NullString
		var epoch sql.NullInt32
		var seq sql.NullInt64
		err := rows.Scan(&found.Round, &found.By, &found.Reason, &found.ByPersister, &found.claimed, &ended, &outcome, &found.Said, &epoch, &seq)
		found.ClaimedAt, found.EndedAt = show.Moment(found.claimed.UnixMilli()), momentOf(ended)
		found.Done, found.Position = outcome.String == outcomeWord(true), stock.Position{Epoch: uint32(epoch.Int32), Seq: uint64(seq.Int64)}
		return err
	}, `SELECT round, operator, reason, by_persister, claimed_at, ended_at, outcome, COALESCE(said, ''), event_epoch, event_seq
		FROM repairs WHERE step_id = ? ORDER BY round DESC LIMIT 1`, step[:])
	return found, err
}

// AskedRepair is a step that a persister has to do.
type AskedRepair struct {
	Step  [sha256.Size]byte
	Round int64
}

// RepairsAsked returns at most so many steps that persisters have to do, the oldest first.
func (r *Reader) RepairsAsked(ctx context.Context, most int) (asked []AskedRepair, err error) {
	err = r.query(ctx, func(rows *sql.Rows) error {
		var a AskedRepair
		var id []byte
		if err := rows.Scan(&id, &a.Round); err != nil {
			return err
		}
		if len(id) != len(a.Step) {
			return errors.New("a step's id has 32 bytes")
		}
		a.Step = [sha256.Size]byte(id)
		asked = append(asked, a)
		return nil
	}, "SELECT step_id, round FROM repairs WHERE ended_at IS NULL AND by_persister ORDER BY claimed_at LIMIT ?", most)
	if err != nil {
		return nil, fmt.Errorf("read repairs: %w", err)
	}
	return asked, nil
}

// Now returns MySQL's time. The times of repairs are MySQL's.
func (r *Reader) Now(ctx context.Context) (show.Moment, error) {
	ms, err := r.nowMS(ctx)
	return show.Moment(ms), err
}
