package evidence

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sluice/core/db"
	"sluice/core/stock"
)

const (
	// noncesAtOnce is how many rows one statement writes.
	noncesAtOnce = 1000

	selectNonces   = "SELECT partition_id, nonce, effects FROM redis_vettings"
	selectIdentity = "SELECT identity, COALESCE(deployment, ''), COALESCE(partitions, 0) FROM ledger_identity"
	nameLedger     = "UPDATE ledger_identity SET deployment = ?, partitions = ? WHERE deployment IS NULL OR deployment = ? AND partitions IS NULL"
	insertNonces   = "INSERT INTO redis_vettings (partition_id, nonce) VALUES "
	onDuplicate    = " ON DUPLICATE KEY UPDATE nonce = VALUES(nonce), effects = 0, vetted_at = CURRENT_TIMESTAMP(3)"
	nonceRow       = "(?, ?)"
	forUpdateRows  = " FOR UPDATE"
	raiseEffects   = "UPDATE redis_vettings SET effects = GREATEST(effects, CASE partition_id%s END) WHERE %s"
)

// Nonces keeps the nonces of vettings, and the effects since then, in MySQL's table redis_vettings.
type Nonces struct{ db *sql.DB }

var _ stock.Nonces = (*Nonces)(nil)

// NewNonces makes nonces from a database, which the caller closes.
func NewNonces(db *sql.DB) *Nonces { return &Nonces{db: db} }

// Name implements stock.Nonces.
func (n *Nonces) Name(ctx context.Context, deployment string, partitions int) error {
	if _, err := n.db.ExecContext(ctx, nameLedger, deployment, partitions, deployment); err != nil {
		return db.WriteError("name the deployment in table ledger_identity", err)
	}
	return nil
}

// Identity implements stock.Nonces.
func (n *Nonces) Identity(ctx context.Context) (id stock.LedgerIdentity, err error) {
	if err := n.db.QueryRowContext(ctx, selectIdentity).Scan(&id.ID, &id.Deployment, &id.Partitions); err != nil {
		return stock.LedgerIdentity{}, db.ReadError("which database this is", "ledger_identity", err)
	}
	return id, nil
}

// Read implements stock.Nonces.
func (n *Nonces) Read(ctx context.Context, partitions int) ([]stock.Mark, error) {
	return read(ctx, n.db, partitions, selectNonces)
}

// Replace implements stock.Nonces. It locks the rows, and others wait for them, until during has ended.
func (n *Nonces) Replace(ctx context.Context, changes []stock.NonceChange, during func(context.Context) error) (err error) {
	tx, err := n.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("replace nonces: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreDone(tx.Rollback()))
		}
	}()
	partitions := 0
	var born, renewed []stock.NonceChange
	for _, c := range changes {
		partitions = max(partitions, c.Partition+1)
		if c.Old == 0 {
			born = append(born, c)
		} else {
			renewed = append(renewed, c)
		}
	}
	now, err := read(ctx, tx, partitions, selectNonces+forUpdateRows)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if now[c.Partition].Nonce != c.Old {
			return stock.ErrReplaced
		}
	}
	// A missing row cannot be locked. The first process that inserts it has it.
	if err := write(ctx, tx, born, ""); err != nil {
		return err
	}
	if err := write(ctx, tx, renewed, onDuplicate); err != nil {
		return err
	}
	if err := during(ctx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("replace nonces: %w", err)
	}
	return nil
}

// Saw implements stock.Nonces.
func (n *Nonces) Saw(ctx context.Context, seen []stock.Mark) error {
	var known []int
	for p := range seen {
		if seen[p].Nonce != 0 && seen[p].Effects != 0 {
			known = append(known, p)
		}
	}
	for some := range slices.Chunk(known, noncesAtOnce) {
		var effects, where []byte
		for _, p := range some {
			effects = fmt.Appendf(effects, " WHEN %d THEN %d", p, seen[p].Effects)
			where = fmt.Appendf(where, " OR partition_id = %d AND nonce = %d", p, seen[p].Nonce)
		}
		statement := fmt.Sprintf(raiseEffects, effects, bytes.TrimPrefix(where, []byte(" OR "))) //nolint:gosec // G201: numbers only
		if _, err := n.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("keep marks: %w", err)
		}
	}
	return nil
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// read reads the nonces of the first so many partitions.
func read(ctx context.Context, from db.Queryer, partitions int, statement string) ([]stock.Mark, error) {
	vettings := make([]stock.Mark, partitions)
	err := db.Rows(ctx, from, func(rows *sql.Rows) error {
		var partition int
		var v stock.Mark
		err := rows.Scan(&partition, &v.Nonce, &v.Effects)
		if err == nil && partition < partitions {
			vettings[partition] = v
		}
		return err
	}, statement)
	if err != nil {
		return nil, fmt.Errorf("read nonces: %w", err)
	}
	return vettings, nil
}

func write(ctx context.Context, tx *sql.Tx, changes []stock.NonceChange, ending string) error {
	for some := range slices.Chunk(changes, noncesAtOnce) {
		args := make([]any, 0, 2*len(some))
		for _, c := range some {
			args = append(args, c.Partition, c.New)
		}
		values := strings.TrimSuffix(strings.Repeat(nonceRow+", ", len(some)), ", ")
		_, err := tx.ExecContext(ctx, insertNonces+values+ending, args...)
		if err != nil && (db.Answer(err) == db.AnswerDuplicate || db.FailureOf(err) == db.FailureDeadlock) {
			return stock.ErrReplaced // another process writes the same rows
		}
		if err != nil {
			return fmt.Errorf("write nonces: %w", err)
		}
	}
	return nil
}
