// Package task does what must happen after a commit, however often processes end before it is done. A task is a row, written
// in the transaction that wants it. Workers of all processes claim tasks for a time, try them again with growing pauses,
// and set aside what fails too often: a dead task waits for a person. A task is done at least once, so its handler repeats
// its effect under the same Idempotency-Key.
package task

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/idempotency"
	"sluice/core/place"
	"sluice/core/stock"
)

const (
	dataBytesMax = 64 << 10
	nameBytesMax = 100
	errorMax     = 500 // characters
)

//go:embed table.sql
var table string

// Table returns the statement that makes the table of an owner. A migration of the owner has it.
func Table(owner string) string { return strings.ReplaceAll(table, "OWNER", owner) }

// Task is a task, as its handler gets it.
type Task struct {
	ID      int64
	Kind    string
	Name    string // the Idempotency-Key of its effect: the same for each attempt
	Data    []byte
	Attempt int         // 1 is the first
	Place   place.Place // that has it

	claim int64
	done  string // the statement that ends it
	later string // the statement that puts it off
}

// Into reads the data that the task was added with.
func (t Task) Into(data any) error {
	if err := json.Unmarshal(t.Data, data); err != nil {
		return fmt.Errorf("read data of task %s: %w", t.Kind, err)
	}
	return nil
}

// Dead is a task that has failed too often.
type Dead struct {
	ID       int64     `json:"-"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name"`
	Attempts int       `json:"attempts"`
	Error    string    `json:"error"` // of the last attempt
	MadeAt   time.Time `json:"made_at"`
}

// Tasks are the tasks of an owner in a place.
type Tasks struct {
	add, waits, due, pick, claim, done, later, again, back, kill, dead, repeat, drop, stand string
}

// Of returns the tasks of an owner. The suffix is that of the place.
func Of(owner, suffix string) Tasks {
	name := owner + "_tasks" + suffix
	const mine = " WHERE id = ? AND claim = ?"
	return Tasks{
		add:   "INSERT INTO " + name + " (kind, name, data, due_at, made_at) VALUES (?, ?, ?, NOW(3) + INTERVAL ? MICROSECOND, NOW(3))",
		waits: "SELECT COUNT(*) FROM (SELECT 1 FROM " + name + " WHERE state = 'waiting' AND kind = ? LIMIT 1) AS few",
		due:   "EXISTS (SELECT 1 FROM " + name + " WHERE state = 'waiting' AND kind = ? AND due_at <= NOW(3))",
		pick: "SELECT id, name, data, attempts FROM " + name + " WHERE state = 'waiting' AND kind = ? AND due_at <= NOW(3) " +
			"ORDER BY due_at LIMIT ? FOR UPDATE SKIP LOCKED",
		claim:  "UPDATE " + name + " SET claim = ?, attempts = attempts + 1, due_at = NOW(3) + INTERVAL ? MICROSECOND WHERE id = ?",
		done:   "DELETE FROM " + name + mine,
		later:  "UPDATE " + name + " SET claim = 0, attempts = 0, due_at = NOW(3) + INTERVAL ? MICROSECOND" + mine,
		again:  "UPDATE " + name + " SET claim = 0, due_at = NOW(3) + INTERVAL ? MICROSECOND, last_error = ?" + mine,
		back:   "UPDATE " + name + " SET claim = 0, due_at = NOW(3), attempts = attempts - 1" + mine,
		kill:   "UPDATE " + name + " SET claim = 0, state = 'dead', last_error = ?" + mine,
		dead:   "SELECT id, kind, name, attempts, last_error, made_at FROM " + name + " WHERE state = 'dead' AND id > ? ORDER BY id LIMIT ?",
		repeat: "UPDATE " + name + " SET state = 'waiting', attempts = 0, due_at = NOW(3) WHERE state = 'dead' AND id = ?",
		drop:   "DELETE FROM " + name + " WHERE state = 'dead' AND id = ?",
		stand: "SELECT (SELECT COUNT(*) FROM (SELECT 1 FROM " + name + " WHERE state = 'waiting' LIMIT ?) AS few), " +
			"(SELECT COUNT(*) FROM (SELECT 1 FROM " + name + " WHERE state = 'dead' LIMIT ?) AS few), " +
			"COALESCE((SELECT MAX(TIMESTAMPDIFF(MICROSECOND, since, NOW(3))) FROM " +
			"(SELECT MIN(due_at) AS since FROM " + name + " WHERE state = 'waiting' GROUP BY kind) AS kinds), 0)",
	}
}

var kindForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// Add adds a task to a transaction, due after a time. The name is that of its effect, such as the id of what is paid, and
// the Idempotency-Key of each attempt. While there is a task of this kind with the name, adding it again does nothing.
// Without a name one is drawn.
func (t Tasks) Add(ctx context.Context, tx *sql.Tx, kind, name string, data any, after time.Duration) error {
	if name == "" {
		var random [16]byte
		_, _ = rand.Read(random[:]) // it never fails
		name = hex.EncodeToString(random[:])
	}
	if !kindForm.MatchString(kind) || !idempotency.Valid(name) || len(name) > nameBytesMax || after < 0 {
		return fmt.Errorf("add task: kind %.80q, name %.120q, after %v: %w", kind, name, after, stock.ErrNotApplied)
	}
	text, err := json.Marshal(data)
	if err == nil && len(text) > dataBytesMax {
		err = fmt.Errorf("%d bytes of data, want at most %d", len(text), dataBytesMax)
	}
	if err != nil {
		return fmt.Errorf("add task %s: %w: %w", kind, stock.ErrNotApplied, err)
	}
	_, err = tx.ExecContext(ctx, t.add, kind, name, text, after.Microseconds())
	if err != nil && db.Answer(err) != db.AnswerDuplicate {
		return db.WriteError("add task "+kind, err)
	}
	return nil
}

// Waits reports whether a task of a kind waits, or somebody works at it.
func (t Tasks) Waits(ctx context.Context, tx *sql.Tx, kind string) (bool, error) {
	var n int
	if err := tx.QueryRowContext(ctx, t.waits, kind).Scan(&n); err != nil {
		return false, fmt.Errorf("look for a task %s: %w", kind, err)
	}
	return n > 0, nil
}

// ErrLost says that the task is somebody else's by now: the attempt took longer than its lease. The handler rolls back.
var ErrLost = errors.New("the lease of the task has ended")

// Finish notes in the transaction of the effect that the task is done. The transaction is one in the writer of its place. A
// handler that calls it has its effect once. One that does not, returns nil when it is done.
func (t Task) Finish(ctx context.Context, tx *sql.Tx) error {
	return changed(tx.ExecContext(ctx, t.done, t.ID, t.claim))
}

// Later notes in a transaction of the writer of its place that the task is not done, and due again after a time, with all its
// attempts. It is for what waits for others and has a bound of its own: nothing has failed.
func (t Task) Later(ctx context.Context, tx *sql.Tx, after time.Duration) error {
	return changed(tx.ExecContext(ctx, t.later, after.Microseconds(), t.ID, t.claim))
}

// changed returns ErrLost if a statement about a claimed task changed nothing.
func changed(done sql.Result, err error) error {
	if err != nil {
		return db.WriteError("note the end of a task", err)
	}
	n, err := done.RowsAffected()
	if err == nil && n == 0 {
		return ErrLost
	}
	return err
}

// Dead lists dead tasks by id, after an id.
func (t Tasks) Dead(ctx context.Context, from db.Queryer, after int64, limit int) (all []Dead, err error) {
	err = db.Rows(ctx, from, func(row *sql.Rows) error {
		var d Dead
		err := row.Scan(&d.ID, &d.Kind, &d.Name, &d.Attempts, &d.Error, &d.MadeAt)
		all = append(all, d)
		return err
	}, t.dead, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list dead tasks: %w", err)
	}
	return all, nil
}

// Repeat makes a dead task wait again, with all its attempts, in a transaction. It reports whether there was one.
func (t Tasks) Repeat(ctx context.Context, tx *sql.Tx, id int64) (bool, error) {
	return one(tx.ExecContext(ctx, t.repeat, id))
}

// Drop deletes a dead task that nobody needs any more, in a transaction. It reports whether there was one.
func (t Tasks) Drop(ctx context.Context, tx *sql.Tx, id int64) (bool, error) {
	return one(tx.ExecContext(ctx, t.drop, id))
}

func one(done sql.Result, err error) (bool, error) {
	err = changed(done, err)
	if errors.Is(err, ErrLost) {
		return false, nil
	}
	return err == nil, err
}
