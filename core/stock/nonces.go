package stock

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrReplaced means that another process has replaced nonces first.
var ErrReplaced = errors.New("another process is opening redis at this moment")

// Mark identifies the vetted data of a partition: the vetting, and the number of effects since. The data have a mark,
// MySQL keeps one, and every caller has one of the data that it trusts. Each script compares the caller's mark with
// that of the data. So data that were lost, exchanged or set back refuse all calls until somebody vets them. The zero
// value means that nobody has vetted the data.
type Mark struct {
	Nonce   uint64 `json:"nonce,string"` // of the last vetting; 0: there was none
	Effects uint64 `json:"effects"`      // since that vetting, as far as the holder of the mark knows
}

// Covers reports whether data with mark m are the data that a caller has seen, or have grown from them.
func (m Mark) Covers(seen Mark) bool {
	return m.Nonce != 0 && m.Nonce == seen.Nonce && m.Effects >= seen.Effects
}

// The level log acknowledges effects that Kafka has. A vetting that reads Kafka too early misses events on their way
// there, and opens Redis without their effects. So a vetting that finds a partition shut waits for AckLateWait before
// it reads Kafka. A caller that hears from Kafka later than AckLate after its call began asks Redis whether the effect
// is still there.
const (
	AckLate     = 100 * time.Millisecond
	AckLateWait = AckLate + 25*time.Millisecond // clocks of two machines differ a little in their pace
)

// Nonces keeps two things outside of the store: the nonce of the last vetting of each partition's data, and how many
// effects the data have had since. The data carry both too. So a process that has never seen the data still notices if
// they were lost, exchanged or set back.
type Nonces interface {
	// Identity identifies the database that keeps the nonces.
	Identity(ctx context.Context) (LedgerIdentity, error)
	// Name writes the name of the deployment and the number of its partitions into the database, if it has none yet.
	Name(ctx context.Context, deployment string, partitions int) error
	// Read returns the marks by partition.
	Read(ctx context.Context, partitions int) ([]Mark, error)
	// Saw records, by partition, how many effects somebody has seen. It ignores a lower count than the known one, and a
	// count under another nonce.
	Saw(ctx context.Context, seen []Mark) error
	// Replace replaces old nonces by new ones, all or none. It fails with ErrReplaced if somebody else has replaced an old
	// one. The new ones begin without effects. Before anybody sees them, Replace calls during; if during fails, nothing
	// is replaced. Nobody else replaces a nonce of the same partitions meanwhile.
	Replace(ctx context.Context, changes []NonceChange, during func(context.Context) error) error
}

// LedgerIdentity tells the databases of deployments from each other.
type LedgerIdentity struct {
	ID         string // empty: the database has none
	Deployment string // empty: nobody has vetted a Redis with the database yet
	Partitions int    // of the deployment; 0: as above, or nobody has vetted one since the database has the column
}

// Refuses returns an error if the database belongs to another deployment than the named one, or to one with another number of
// partitions. An empty name and 0 partitions are not known.
func (i LedgerIdentity) Refuses(deployment string, partitions int) error {
	switch {
	case i.Deployment != "" && deployment != "" && i.Deployment != deployment:
		return fmt.Errorf("the MySQL database is of deployment %q, not %q (table ledger_identity): set --deployment to its name, "+
			"or SLUICE_MYSQL_DSN (or --mysql-dsn-file) to another database", i.Deployment, deployment)
	case i.Partitions != 0 && partitions != 0 && i.Partitions != partitions:
		return fmt.Errorf("the MySQL database is of a deployment of %d partitions, not %d (table ledger_identity): set --partitions to %[1]d, "+
			"or SLUICE_MYSQL_DSN (or --mysql-dsn-file) to another database", i.Partitions, partitions)
	}
	return nil
}

// NonceChange is a new nonce for a partition. Old is 0 if there was none.
type NonceChange struct {
	Partition int
	Old, New  uint64
}
