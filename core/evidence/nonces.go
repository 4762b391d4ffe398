package evidence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-sql-driver/mysql"

	"sluice/core/stock"
)

const (
	// noncesAtOnce is how many rows one statement writes.
	noncesAtOnce = 1000

	errDuplicate, errDeadlock = 1062, 1213 // both tell that another process writes the same rows

	selectNonces  = "SELECT partition_id, nonce FROM redis_vettings"
	insertNonces  = "INSERT INTO redis_vettings (partition_id, nonce) VALUES "
	onDuplicate   = " ON DUPLICATE KEY UPDATE nonce = VALUES(nonce), vetted_at = CURRENT_TIMESTAMP(3)"
	nonceRow      = "(?, ?)"
	forUpdateRows = " FOR UPDATE"
)

// Nonces are the nonces of vettings, in MySQL's table redis_vettings.
type Nonces struct{ db *sql.DB }

var _ stock.Nonces = (*Nonces)(nil)

// NewNonces makes nonces from a database, which the caller closes.
func NewNonces(db *sql.DB) *Nonces { return &Nonces{db: db} }

// Read implements stock.Nonces.
func (n *Nonces) Read(ctx context.Context, partitions int) ([]uint64, error) {
	return read(ctx, n.db, partitions, selectNonces)
}

// Replace implements stock.Nonces: the rows stay locked, and others wait for them, until during has ended.
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
		if now[c.Partition] != c.Old {
			return stock.ErrReplaced
		}
	}
	// A row that was not there could not be locked: who inserts it first has it.
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

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// read reads the nonces of the first so many partitions.
func read(ctx context.Context, db interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, partitions int, statement string,
) (nonces []uint64, err error) {
	rows, err := db.QueryContext(ctx, statement)
	if err != nil {
		return nil, fmt.Errorf("read nonces: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	nonces = make([]uint64, partitions)
	for rows.Next() {
		var partition int
		var nonce uint64
		if err := rows.Scan(&partition, &nonce); err != nil {
			return nil, fmt.Errorf("read nonces: %w", err)
		}
		if partition < partitions {
			nonces[partition] = nonce
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read nonces: %w", err)
	}
	return nonces, nil
}

func write(ctx context.Context, tx *sql.Tx, changes []stock.NonceChange, ending string) error {
	for some := range slices.Chunk(changes, noncesAtOnce) {
		args := make([]any, 0, 2*len(some))
		for _, c := range some {
			args = append(args, c.Partition, c.New)
		}
		values := strings.TrimSuffix(strings.Repeat(nonceRow+", ", len(some)), ", ")
		_, err := tx.ExecContext(ctx, insertNonces+values+ending, args...)
		var answer *mysql.MySQLError
		if errors.As(err, &answer) && (answer.Number == errDuplicate || answer.Number == errDeadlock) {
			return stock.ErrReplaced
		}
		if err != nil {
			return fmt.Errorf("write nonces: %w", err)
		}
	}
	return nil
}
