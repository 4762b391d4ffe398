package redisstock

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// Fields of a partition's meta.
const (
	metaFormat      = "format"       // version of keys and packed values
	metaPartitions  = "partitions"   // of the deployment
	metaDeployment  = "deployment"   // its id
	metaLedger      = "ledger"       // of partition 0 only: the id of the MySQL that has the deployment's ledger
	metaRelayed     = "relayed"      // the relay mark: the last outbox entry that a relay has published
	metaRelayResets = "relay_resets" // how often the relay mark was reset
	metaRestoring   = "restoring"    // who restores it: it is not whole yet
	metaRestored    = "restored"     // who has restored it last
	metaRebuilt     = "rebuilt"      // how many rebases vettings have written
	metaAnnounced   = "announced"    // how many of these Kafka has

	metaFormatNow = "1"
)

// metaTimeout bounds the comparison at a start. It is long, because a server may be slow just then.
const metaTimeout = 5 * time.Second

// ErrForeign means that Redis belongs to another deployment, or to one with other settings.
var ErrForeign = errors.New("redis belongs to another deployment")

// meta says to which deployment a partition belongs. The zero value means to none.
type meta struct{ format, partitions, deployment string }

func readMeta(b rueidis.Builder, k keys) rueidis.Completed {
	return b.Hmget().Key(k.meta).Field(metaFormat, metaPartitions, metaDeployment).Build()
}

func metaFrom(answer rueidis.RedisResult) (meta, error) {
	found, err := answer.AsStrSlice()
	if err != nil {
		return meta{}, err
	}
	return meta{found[0], found[1], found[2]}, nil
}

// differs returns an error if the partition belongs to another deployment than this one.
func (m meta) differs(partitions int, deployment string) error {
	switch want := strconv.Itoa(partitions); {
	case m.format != metaFormatNow:
		return fmt.Errorf("format %q, this program knows %q", m.format, metaFormatNow)
	case m.partitions != want:
		return fmt.Errorf("of a deployment of %s partitions, not %s: set --partitions to what it has", m.partitions, want)
	case m.deployment != deployment:
		return fmt.Errorf("of deployment %q, not %q: set --deployment or another Redis", m.deployment, deployment)
	}
	return nil
}

// readLedger returns the command that reads which MySQL has the ledger.
func readLedger(b rueidis.Builder) rueidis.Completed {
	return b.Hget().Key(keysOf(0).meta).Field(metaLedger).Build()
}

// ledgerFrom reads the answer to readLedger. It returns an empty id if no MySQL has claimed the ledger yet.
func ledgerFrom(answer rueidis.RedisResult) (string, error) {
	ledger, err := answer.ToString()
	if rueidis.IsRedisNil(err) {
		return "", nil
	}
	return ledger, err
}

// otherLedger returns an error if another database than this one has the ledger.
func otherLedger(ledger, database string) error {
	if ledger == "" || database == "" || ledger == database {
		return nil
	}
	return fmt.Errorf("its ledger is in the MySQL database with the id %s, and this one is %s (table ledger_identity): "+
		"set SLUICE_MYSQL_DSN (or --mysql-dsn-file) to that database, or --redis-addr to another Redis", ledger, database)
}

// CheckLedger checks that the ledger of the stock in Redis is in the MySQL of nonces. The error wraps ErrForeign if it
// is in another MySQL: each would believe that the data which the other has vetted are lost or exchanged. A Redis that
// nobody has vetted yet names no MySQL, and passes. So does a MySQL that has the name of no deployment yet.
func (s *Store) CheckLedger(ctx context.Context, nonces stock.Nonces) error {
	database, err := nonces.Identity(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	b := s.client.B()
	answers := s.client.DoMulti(ctx, readLedger(b), readMeta(b, keysOf(0)))
	ledger, err := ledgerFrom(answers[0])
	if err != nil {
		return wrap("read whose ledger it is", err)
	}
	whose, err := metaFrom(answers[1])
	if err != nil {
		return wrap("read whose ledger it is", err)
	}
	if err := errors.Join(otherLedger(ledger, database.ID), database.Refuses(whose.deployment, len(s.partitions))); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}

// CheckDeployment compares the deployment and the number of partitions in Redis with an id and the store's number. The
// error wraps ErrForeign if they differ: a process that went on would look for cells in other partitions than the rest
// of the deployment. Partitions that nobody has opened yet pass. If some nodes of a cluster are away, CheckDeployment
// checks the others. The error wraps ErrDenied if the user of Redis may not run what the scripts run.
func (s *Store) CheckDeployment(ctx context.Context, deployment string) error {
	ctx, cancel := context.WithTimeout(ctx, metaTimeout)
	defer cancel()
	var foreign, unread stock.PartitionErrors
	answered := false
	for p, answer := range s.askWithin(ctx, s.all(), func(p int) rueidis.Completed { return readMeta(s.client.B(), s.partitions[p].keys) }) {
		found, err := metaFrom(answer)
		if err != nil {
			unread.Add(p, wrap("read meta", err))
			continue
		}
		answered = true
		if found == (meta{}) {
			continue
		}
		if err := found.differs(len(s.partitions), deployment); err != nil {
			foreign.Add(p, err)
		}
	}
	if err := foreign.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if answered {
		return s.checkRights(ctx)
	}
	return unread.Err()
}
