// Package deployment connects a process to the stores of its deployment, and refuses those of another one. Services and
// commands connect by this package, so that none of them forgets to compare. It opens no Redis that is shut: core/vetting
// does.
package deployment

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/evidence"
	"sluice/core/redis"
	"sluice/core/stock/redisstock"
)

// Redis is the Redis of a deployment, connected.
type Redis struct {
	Client rueidis.Client
	Stock  *redisstock.Store
}

// OpenRedis connects to a Redis. It fails if the Redis has the stock of another deployment, or has it in another number
// of partitions: the error wraps redisstock.ErrForeign. OpenRedis sets the fields of rest that the other settings have.
// The caller closes the Redis.
func OpenRedis(ctx context.Context, where redis.Config, agreed config.Agreed, rest redisstock.Config) (*Redis, error) {
	client, err := where.Client()
	if err != nil {
		return nil, err
	}
	store, err := Stock(client, where, agreed, rest)
	if err == nil {
		err = store.CheckDeployment(ctx, agreed.Deployment)
	}
	if err != nil {
		client.Close()
		return nil, err
	}
	return &Redis{Client: client, Stock: store}, nil
}

// Stock is the stock of a Redis that is connected already, and compared with nothing: for those who examine it.
func Stock(client rueidis.Client, where redis.Config, agreed config.Agreed, rest redisstock.Config) (*redisstock.Store, error) {
	rest.Partitions, rest.Retention, rest.CallTimeout = agreed.Partitions, agreed.Retention, where.CallTimeout
	store, err := redisstock.New(client, rest)
	if err != nil {
		return nil, fmt.Errorf("configure stock: %w", err)
	}
	return store, nil
}

// Close ends the connections.
func (r *Redis) Close() { r.Client.Close() }

// With adds the MySQL of the deployment, and has the answer of that server first. After an error only the Redis is left to
// close, as before.
func (r *Redis) With(ctx context.Context, where db.Config) (*Stores, error) {
	books, err := where.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &Stores{Redis: r, DB: books}, nil
}

// Stores are the Redis and the MySQL of a deployment, connected.
type Stores struct {
	*Redis

	DB *sql.DB
}

// Trust makes the store trust the partitions that others have vetted. It succeeds if the store can trust some of them.
// Calls to the others fail later, for example if their server does not answer.
func (s *Stores) Trust(ctx context.Context) error {
	if err := s.Stock.Adopt(ctx, evidence.NewNonces(s.DB)); err != nil && !s.Stock.Trusts() {
		return err
	}
	return nil
}

// Match compares the Redis with the MySQL that has its ledger. The error wraps redisstock.ErrForeign if the Redis belongs
// to another MySQL.
func (s *Stores) Match(ctx context.Context) error {
	return s.Stock.CheckLedger(ctx, evidence.NewNonces(s.DB))
}

// Close ends all connections.
func (s *Stores) Close() error {
	s.Redis.Close()
	if err := s.DB.Close(); err != nil {
		return fmt.Errorf("close mysql: %w", err)
	}
	return nil
}

// Open connects to a Redis and a MySQL, as OpenRedis and With do, and trusts what others have vetted. The caller closes what
// is opened.
func Open(ctx context.Context, r redis.Config, d db.Config, agreed config.Agreed) (*Stores, error) {
	opened, err := OpenRedis(ctx, r, agreed, redisstock.Config{})
	if err != nil {
		return nil, err
	}
	stores, err := opened.With(ctx, d)
	if err != nil {
		opened.Close()
		return nil, err
	}
	if err := stores.Trust(ctx); err != nil {
		return nil, errors.Join(err, stores.Close())
	}
	return stores, nil
}
