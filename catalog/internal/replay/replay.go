// Package replay makes a write happen once, however often its request comes. It keeps the first answer for 24 hours, in
// the transaction of the effect, under the user, the route and the Idempotency-Key. A refusal has no effect, so it is
// not kept: the same request may succeed later.
package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/db"
	"sluice/core/idempotency"
	"sluice/core/problem"
	"sluice/core/stock"
)

// Retention is how long an answer is kept.
const Retention = 24 * time.Hour

const (
	bodyBytesMax    = 1 << 20
	headersBytesMax = 2048
	routeBytesMax   = 64
)

// InProgress is the refusal of a request while another one with its key is under way.
var InProgress = problem.NewKind(problem.Kind{
	Code: "in_progress", Status: http.StatusConflict, Retryable: true, RetryAfter: 1,
	Title: "A request with this Idempotency-Key is under way.",
})

//go:embed table.sql
var table string

// Table returns the statement that makes the table of an owner. A migration of the owner has it.
func Table(owner string) string { return strings.ReplaceAll(table, "OWNER", owner) }

// Replays are the first answers of an owner in a place.
type Replays struct{ claim, lock, read, end, forget, expire, answer string }

// Of returns the replays of an owner. The suffix is that of the place.
func Of(owner, suffix string) Replays {
	name := owner + "_replays" + suffix
	const of = " WHERE user_id = ? AND route = ? AND idempotency_key = ?"
	look := "SELECT fingerprint, status, headers, body, ends_at <= NOW(3) FROM " + name + of
	return Replays{
		claim: "INSERT INTO " + name + " (user_id, route, idempotency_key, fingerprint, ends_at) VALUES (?, ?, ?, ?, NOW(3) + INTERVAL ? SECOND)",
		lock:  look + " FOR UPDATE NOWAIT", read: look,
		answer: "UPDATE " + name + " SET status = ?, headers = ?, body = ?" + of,
		end:    "DELETE FROM " + name + of,
		forget: "DELETE FROM " + name + " WHERE user_id = ? LIMIT ?",
		expire: "DELETE FROM " + name + " WHERE ends_at <= NOW(3) ORDER BY ends_at LIMIT ?",
	}
}

// Request says which request it is.
type Request struct {
	User        int64
	Route       string // a word of the program
	Key         string // a valid Idempotency-Key
	Fingerprint [sha256.Size]byte
}

// kept stands for the key in the table: clients may put into a key what is personal.
func (of Request) kept() []byte {
	sum := sha256.Sum256([]byte(of.Key))
	return sum[:]
}

// Fingerprint is the fingerprint of a request: of all that the client chose, such as path and body. Each part counts by
// itself.
func Fingerprint(parts ...[]byte) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes everything
		_, _ = h.Write(part)
	}
	h.Sum(sum[:0])
	return sum
}

// Answer is what the client got.
type Answer struct {
	Status int
	Header http.Header // those that are part of the answer, such as Location and ETag
	Body   []byte
}

// Do does a write in a transaction, unless its answer is there already: then it returns that answer, and true. The caller
// commits the transaction, or rolls it back after an error. The errors of its own are problems: a mismatch, or InProgress.
func (r Replays) Do(ctx context.Context, tx *sql.Tx, of Request, do func() (Answer, error)) (answer Answer, replayed bool, err error) {
	if of.User < 1 || of.Route == "" || len(of.Route) > routeBytesMax || !idempotency.Valid(of.Key) {
		return Answer{}, false, fmt.Errorf("replay: a request of user %d to %q without a valid scope or key", of.User, of.Route)
	}
	for range 2 { // the second time, because another request was first after all
		answer, found, err := r.look(ctx, tx, of)
		if found || err != nil {
			return answer, found, err
		}
		_, err = tx.ExecContext(ctx, r.claim, of.User, of.Route, of.kept(), of.Fingerprint[:], int64(Retention/time.Second))
		switch db.Answer(err) {
		case 0:
			if err != nil {
				return Answer{}, false, fmt.Errorf("claim a key: %w: %w", stock.ErrNotApplied, err)
			}
			answer, err = r.first(ctx, tx, of, do)
			return answer, false, err
		case db.AnswerDuplicate: // it has committed since
		case db.AnswerLockTimeout:
			return Answer{}, false, inProgress()
		default:
			return Answer{}, false, db.WriteError("claim a key", err)
		}
	}
	return Answer{}, false, inProgress()
}

func inProgress() error { return &problem.Problem{Kind: InProgress} }

// look finds the first answer. A key whose time is over is a new one.
func (r Replays) look(ctx context.Context, tx *sql.Tx, of Request) (Answer, bool, error) {
	answer, over, err := r.scan(tx.QueryRowContext(ctx, r.lock, of.User, of.Route, of.kept()), of)
	if db.FailureOf(err) == db.FailureLockTimeout {
		// Who holds the lock has not committed yet, or only reads the answer as we do.
		answer, over, err = r.scan(tx.QueryRowContext(ctx, r.read, of.User, of.Route, of.kept()), of)
		if errors.Is(err, sql.ErrNoRows) || over {
			return Answer{}, false, inProgress()
		}
	}
	switch refusal := (*problem.Problem)(nil); {
	case errors.Is(err, sql.ErrNoRows):
		return Answer{}, false, nil
	case errors.As(err, &refusal):
		return Answer{}, false, err
	case err != nil:
		return Answer{}, false, fmt.Errorf("look up a key: %w: %w", stock.ErrNotApplied, err)
	case over:
		if _, err := tx.ExecContext(ctx, r.end, of.User, of.Route, of.kept()); err != nil {
			return Answer{}, false, db.WriteError("end a key", err)
		}
		return Answer{}, false, nil
	}
	return answer, true, nil
}

func (r Replays) scan(row *sql.Row, of Request) (answer Answer, over bool, err error) {
	var fingerprint, headers []byte
	var status sql.NullInt64
	if err := row.Scan(&fingerprint, &status, &headers, &answer.Body, &over); err != nil || over {
		return Answer{}, over, err
	}
	if !bytes.Equal(fingerprint, of.Fingerprint[:]) {
		return Answer{}, false, &problem.Problem{Kind: problem.Mismatch}
	}
	answer.Status = int(status.Int64)
	if err := json.Unmarshal(headers, &answer.Header); err != nil || !status.Valid {
		return Answer{}, false, fmt.Errorf("an answer that is kept cannot be read: %w", err)
	}
	return answer, false, nil
}

// first does the write and keeps its answer.
func (r Replays) first(ctx context.Context, tx *sql.Tx, of Request, do func() (Answer, error)) (Answer, error) {
	answer, err := do()
	if err != nil {
		return Answer{}, err
	}
	headers, err := json.Marshal(answer.Header)
	if err == nil && (len(headers) > headersBytesMax || len(answer.Body) > bodyBytesMax) {
		err = fmt.Errorf("%d bytes of headers and %d of body, want at most %d and %d", len(headers), len(answer.Body), headersBytesMax, bodyBytesMax)
	}
	if err != nil {
		return Answer{}, fmt.Errorf("keep an answer: %w: %w", stock.ErrNotApplied, err)
	}
	body := answer.Body
	if body == nil {
		body = []byte{}
	}
	if _, err := tx.ExecContext(ctx, r.answer, answer.Status, headers, body, of.User, of.Route, of.kept()); err != nil {
		return Answer{}, db.WriteError("keep an answer", err)
	}
	return answer, nil
}

// Clean deletes the answers whose time is over, by bounded statements. It returns how many there were.
func (r Replays) Clean(ctx context.Context, database *sql.DB) (int64, error) {
	return db.InParts(ctx, database, "delete old answers", r.expire)
}

// Forget deletes all answers of a user, who is erased.
func (r Replays) Forget(ctx context.Context, database *sql.DB, user int64) (int64, error) {
	return db.InParts(ctx, database, "delete answers", r.forget, user)
}
