package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"sluice/core/db"
	"sluice/core/show"
	"sluice/core/stock"
	"sluice/core/text"
)

// Bounds of the texts that people write about dead letters.
const (
	WhoMax    = 100 // bytes
	ReasonMax = stock.ReasonMax
)

type letterKey struct {
	MS int64
	ID LetterID
}

// Letters lists dead letters, the newest first. Only MySQL has them, so the list is complete as of MySQL's time.
func (r *Reader) Letters(ctx context.Context, f LetterFilter, p Page) (List[Letter], error) {
	limit, err := p.limit()
	if err != nil {
		return List[Letter]{}, err
	}
	where, err := f.where()
	if err != nil {
		return List[Letter]{}, err
	}
	in := scope("letters", where)
	before, err := keyOf[letterKey](in, p.Cursor)
	if err != nil {
		return List[Letter]{}, err
	}
	nowMS, err := r.nowMS(ctx)
	if err != nil {
		return List[Letter]{}, err
	}
	if p.Cursor == "" {
		before.MS = nowMS + time.Hour.Milliseconds() // somebody may have set MySQL's clock back
	}
	at := time.UnixMilli(before.MS).UTC()
	const from = ` FROM dead_letters FORCE INDEX (dead_letters_created) WHERE (created_at < ? OR created_at = ? AND letter_id < ?)`
	const order = ` ORDER BY created_at DESC, letter_id DESC`
	values := []any{at, at, before.ID[:]}
	var end *letterKey
	if where != "" {
		end, err = examined(ctx, r, "dead letters", scanLetterKey, "SELECT created_at, letter_id"+from+order, values...)
		if err != nil {
			return List[Letter]{}, err
		}
	}
	if end != nil {
		first := time.UnixMilli(end.MS).UTC()
		where, values = where+" AND (created_at > ? OR created_at = ? AND letter_id >= ?)", append(values, first, first, end.ID[:])
	}
	found := make([]Letter, 0, limit+1)
	err = r.read(ctx, "dead letters", func(rows *sql.Rows) error {
		l, err := scanLetter(rows)
		found = append(found, l)
		return err
	}, selectLetters+"JOIN (SELECT letter_id"+from+where+order+" LIMIT ?) AS page USING (letter_id)"+order, append(values, limit+1)...)
	if err != nil {
		return List[Letter]{}, err
	}
	list := listOf(found, limit, in, func(l *Letter) letterKey { return letterKey{int64(l.CreatedAt), l.ID} }, end)
	list.AsOf = show.Moment(nowMS)
	return list, nil
}

func scanLetterKey(rows *sql.Rows, k *letterKey) error {
	var created sql.NullTime
	var id []byte
	err := rows.Scan(&created, &id)
	k.MS = int64(momentOf(created))
	copy(k.ID[:], id)
	return err
}

// Letter is a dead letter with its content, or ErrNoLetter.
func (r *Reader) Letter(ctx context.Context, id LetterID) (LetterContent, error) {
	letter, err := r.letter(ctx, id)
	if err != nil {
		return LetterContent{}, err
	}
	c := LetterContent{Letter: letter}
	err = r.read(ctx, "dead letter", func(rows *sql.Rows) error {
		var data []byte
		err := rows.Scan(&data)
		c.decode(data)
		return err
	}, "SELECT data FROM dead_letters WHERE letter_id = ?", id[:])
	return c, err
}

func (r *Reader) letter(ctx context.Context, id LetterID) (l Letter, err error) {
	found := false
	err = r.read(ctx, "dead letter", func(rows *sql.Rows) (err error) {
		found = true
		l, err = scanLetter(rows)
		return err
	}, selectLetters+"WHERE letter_id = ?", id[:])
	if err == nil && !found {
		err = fmt.Errorf("%v: %w", id, ErrNoLetter)
	}
	return l, err
}

// Decision is a decision about a dead letter.
type Decision struct {
	By     string // who; 1 to WhoMax bytes
	Reason string // why; 1 to ReasonMax bytes
}

func (d Decision) check() error {
	for _, line := range []struct {
		name, value string
		most        int
	}{{"who decides", d.By, WhoMax}, {"reason", d.Reason, ReasonMax}} {
		if err := text.Check(line.value, line.most); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrFilter, line.name, err)
		}
	}
	return nil
}

// Resolve marks a dead letter as dealt with. From then on, vettings do not demand its event of Redis, and it holds
// back no mark of its cell. If the letter is already resolved, Resolve changes nothing and returns already.
func (r *Reader) Resolve(ctx context.Context, id LetterID, d Decision) (l Letter, already bool, err error) {
	return r.decide(ctx, id, d, `UPDATE dead_letters SET resolved_at = NOW(3), resolved_by = ?, resolution = ?, replay_asked_at = NULL
		WHERE letter_id = ? AND resolved_at IS NULL`)
}

// AskReplay asks persisters to apply a dead letter again, by the code that applies messages from Kafka. The persister that
// does so resolves the letter in the same transaction, or writes into it why it changed nothing. If the letter is already
// resolved or asked for, AskReplay changes nothing and returns already. It returns ErrNeverReplay if the letter is never
// applied again.
func (r *Reader) AskReplay(ctx context.Context, id LetterID, d Decision) (l Letter, already bool, err error) {
	l, err = r.letter(ctx, id)
	if err == nil && l.ResolvedAt == 0 && !l.Replays {
		err = fmt.Errorf("dead letter %v is a %s: %w", id, l.Reason, ErrNeverReplay)
	}
	if err != nil {
		return l, false, err
	}
	return r.decide(ctx, id, d, `UPDATE dead_letters SET replay_asked_at = NOW(3), replay_asked_by = ?, replay_reason = ?, replay_refusal = NULL
		WHERE letter_id = ? AND resolved_at IS NULL AND replay_asked_at IS NULL`)
}

// decide makes a change, unless somebody has made it before.
func (r *Reader) decide(ctx context.Context, id LetterID, d Decision, statement string) (l Letter, already bool, err error) {
	if err := d.check(); err != nil {
		return Letter{}, false, err
	}
	conn, err := r.db.Conn(ctx)
	if err != nil {
		return Letter{}, false, fmt.Errorf("change dead letter: %w: %w", stock.ErrNotApplied, err)
	}
	result, err := conn.ExecContext(ctx, statement, d.By, d.Reason, id[:])
	_ = conn.Close() // back to the pool
	if err != nil {
		return Letter{}, false, db.WriteError("change dead letter", err)
	}
	changed, err := result.RowsAffected()
	if err != nil {
		return Letter{}, false, fmt.Errorf("change dead letter: %w: %w", stock.ErrUnknown, err)
	}
	l, err = r.letter(ctx, id)
	if err != nil && changed > 0 {
		err = fmt.Errorf("%w: it is decided, and cannot be read again: %v", stock.ErrUnknown, err) //nolint:errorlint // it was executed
	}
	return l, changed == 0, err
}
