package ledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"sluice/core/db"
)

// Approval lets one admin carry out a plan of repairs that another one has approved, once.
type Approval struct {
	ID       string // of the token
	Plan     [sha256.Size]byte
	Operator int64 // the admin who carries the plan out
	Approver int64 // another one
}

// ErrApprovalUsed means that an approval was used before. The error that wraps it says by whom, when and for which plan.
var ErrApprovalUsed = errors.New("the approval has been used")

// UseApproval uses an approval up, for the run that is about to begin. A second run gets ErrApprovalUsed, even if the
// first run ended early.
func (r *Reader) UseApproval(ctx context.Context, a *Approval) error {
	_, err := r.db.ExecContext(ctx, "INSERT INTO repair_approvals (approval_id, plan, operator_id, approver_id) VALUES (?, ?, ?, ?)",
		a.ID, a.Plan[:], a.Operator, a.Approver)
	switch {
	case err == nil:
		return nil
	case db.Answer(err) != db.AnswerDuplicate:
		return db.WriteError("use approval", err)
	}
	used := ErrApprovalUsed
	if err := r.read(ctx, "approvals", func(rows *sql.Rows) error {
		var plan []byte
		var operator int64
		var at time.Time
		err := rows.Scan(&plan, &operator, &at)
		used = fmt.Errorf("%w by admin %d at %s, for the plan %s", ErrApprovalUsed, operator, at.UTC().Format(time.RFC3339), hex.EncodeToString(plan))
		return err
	}, "SELECT plan, operator_id, used_at FROM repair_approvals WHERE approval_id = ?", a.ID); err != nil {
		return err
	}
	return used
}
