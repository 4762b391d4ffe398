package persister

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"sluice/core/db"
	"sluice/core/ledger"
	"sluice/core/lifecycle"
	"sluice/core/outbox"
)

const (
	replaysEvery = time.Second
	replaysSoon  = 100 * time.Millisecond // after a round that had something to do
	replaysAtMax = 20                     // letters of one round
	outcomeMax   = 1000

	// The transaction that resolves the row also locks and reads it, so that only one of two persisters applies it.
	lockReplay = "SELECT reason, data, kafka_partition, kafka_offset, COALESCE(entry_id, ''), COALESCE(replay_reason, '') " +
		"FROM dead_letters WHERE letter_id = ? AND replay_asked_at IS NOT NULL AND resolved_at IS NULL FOR UPDATE"
	resolveReplay  = "UPDATE dead_letters SET resolved_at = NOW(3), resolved_by = replay_asked_by, resolution = ?, replay_asked_at = NULL, replay_refusal = NULL WHERE letter_id = ?"
	postponeReplay = "UPDATE dead_letters SET replay_asked_at = NOW(3), replay_refusal = ? WHERE letter_id = ? AND replay_asked_at IS NOT NULL"
	refuseReplay   = "UPDATE dead_letters SET replay_asked_at = NULL, replay_refusal = ? WHERE letter_id = ? AND replay_asked_at IS NOT NULL"
)

// replayer applies dead letters again if somebody has asked for it, as if their bytes came from Kafka now. The same
// transaction resolves the letter. So at any time either the letter or the tables tell what happened. If a letter cannot
// be applied, it stays as it was, and the replayer writes the reason into it. If the reason may pass by itself, the letter
// stays asked for, and waits behind all others.
type replayer struct {
	writer  writer
	applied func(*batch) // called after each letter that is in MySQL
	meters  *meters
	log     *slog.Logger
}

// run applies letters until ctx ends.
func (p *replayer) run(ctx context.Context) {
	lifecycle.Repeat(ctx, p.log, "apply dead letters again", replaysEvery, func(ctx context.Context) error { return whileAsked(ctx, p.round) })
}

// whileAsked does rounds one soon after the other, as long as people ask for more. Whoever asks for one thing after the other
// waits for each.
func whileAsked(ctx context.Context, round func(context.Context) (done int, err error)) error {
	for idle := replaysEvery; ; idle += replaysSoon {
		done, err := round(ctx)
		if done > 0 {
			idle = 0
		}
		if err != nil || idle >= replaysEvery || !lifecycle.Pause(ctx, replaysSoon) {
			return err
		}
	}
}

// round applies some letters.
func (p *replayer) round(ctx context.Context) (done int, err error) {
	asked, err := ledger.New(p.writer.db, nil).ReplaysAsked(ctx, replaysAtMax)
	if err != nil {
		return 0, err
	}
	var failed []error
	for _, id := range asked {
		failed = append(failed, p.replay(ctx, id))
	}
	return len(asked), errors.Join(failed...)
}

// replay applies one letter, unless another persister has.
func (p *replayer) replay(ctx context.Context, id ledger.LetterID) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	b, outcome := newBatch(), ""
	fresh, err := p.writer.transaction(ctx, func() (fresh []letter, err error) {
		outcome, fresh, err = p.apply(ctx, id, b)
		return fresh, err
	})
	if err != nil {
		return p.fail(ctx, id, err)
	}
	for i := range fresh {
		fresh[i].report(p.meters, p.log)
	}
	if outcome != "" {
		p.log.Info("applied a dead letter again", "letter", id, "outcome", outcome)
		p.applied(b)
	}
	return nil
}

// fail writes into a letter why it was not applied. It also returns the reason, unless the letter is refused for good.
func (p *replayer) fail(ctx context.Context, id ledger.LetterID, why error) error {
	write := p.postpone
	if db.FailureOf(why).Lasts() {
		write = p.refuse
	}
	_, err := p.writer.transaction(ctx, func() ([]letter, error) { return nil, write(ctx, id, why.Error()) })
	if err == nil && db.FailureOf(why).Lasts() {
		return nil
	}
	return fmt.Errorf("apply dead letter %v again: %w", id, errors.Join(why, err))
}

// apply does the work of one transaction. The outcome is empty if nothing was applied.
func (p *replayer) apply(ctx context.Context, id ledger.LetterID, b *batch) (outcome string, fresh []letter, err error) {
	var reason, entry, why string
	var data []byte
	var partition, offset sql.NullInt64
	err = p.writer.tx.QueryRowContext(ctx, lockReplay, id[:]).Scan(&reason, &data, &partition, &offset, &entry, &why)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, nil // done by another, or resolved meanwhile
	}
	if err != nil {
		return "", nil, fmt.Errorf("read: %w", err)
	}
	if !ledger.Replays(reason) {
		return "", nil, p.refuse(ctx, id, ledger.ErrNeverReplay.Error())
	}
	b.addMessage(int(partition.Int64), &outbox.Message{Offset: offset.Int64, Entry: entry, Value: data})
	for i := range b.letters {
		if b.letters[i].id() == id {
			return "", nil, p.refuse(ctx, id, b.letters[i].detail)
		}
	}
	if !partition.Valid {
		for i := range b.events {
			b.events[i].from = nil
		}
		for i := range b.letters {
			b.letters[i].from = nil
		}
	}
	done, err := p.writer.put(ctx, b.rows(), b.letters)
	if err != nil {
		return "", nil, err
	}
	outcome = fmt.Sprintf("applied again: %d of %d events were new", done.events, len(b.events))
	if n := len(done.letters); n > 0 {
		outcome += fmt.Sprintf(", %d became dead letters of their own", n)
	}
	if _, err := p.writer.tx.ExecContext(ctx, resolveReplay, brief(outcome+"; asked for because: "+why), id[:]); err != nil {
		return "", nil, fmt.Errorf("resolve: %w", err)
	}
	return outcome, done.letters, nil
}

// refuse writes into a letter why it is not applied.
func (p *replayer) refuse(ctx context.Context, id ledger.LetterID, why string) error {
	if _, err := p.writer.tx.ExecContext(ctx, refuseReplay, brief(why), id[:]); err != nil {
		return fmt.Errorf("refuse: %w", err)
	}
	p.log.Warn("a dead letter cannot be applied again", "letter", id, "reason", why)
	return nil
}

// postpone writes into a letter why it is not applied yet, and puts it behind the others.
func (p *replayer) postpone(ctx context.Context, id ledger.LetterID, why string) error {
	if _, err := p.writer.tx.ExecContext(ctx, postponeReplay, brief(why), id[:]); err != nil {
		return fmt.Errorf("postpone: %w", err)
	}
	return nil
}

// brief cuts a text to the length of its column.
func brief(text string) string { return strings.ToValidUTF8(text[:min(len(text), outcomeMax)], "?") }
