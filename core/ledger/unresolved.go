package ledger

import (
	"context"
	"database/sql"
	"fmt"
)

// Unresolved counts the dead letters that nobody has resolved, by reason. A newer program may have written reasons that
// are not among Reasons.
func (r *Reader) Unresolved(ctx context.Context) (map[string]int64, error) {
	counts := map[string]int64{}
	err := r.query(ctx, func(rows *sql.Rows) error {
		var reason string
		var n int64
		err := rows.Scan(&reason, &n)
		counts[reason] = n
		return err
	}, "SELECT reason, COUNT(*) FROM dead_letters WHERE resolved_at IS NULL GROUP BY reason")
	if err != nil {
		return nil, fmt.Errorf("count dead letters: %w", err)
	}
	return counts, nil
}

// ReplaysAsked returns at most so many dead letters that persisters are asked to apply again. The oldest request
// comes first.
func (r *Reader) ReplaysAsked(ctx context.Context, most int) (ids []LetterID, err error) {
	err = r.query(ctx, func(rows *sql.Rows) error {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, LetterID(id))
		return nil
	}, "SELECT letter_id FROM dead_letters WHERE replay_asked_at IS NOT NULL ORDER BY replay_asked_at LIMIT ?", most)
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return ids, nil
}
