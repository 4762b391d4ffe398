package reconcile_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"sluice/core/event"
	"sluice/core/ledger"
	"sluice/core/local/servicetest"
	"sluice/core/reconcile"
	"sluice/core/stock/redisstock"
	"sluice/persister/persistertest"
)

// partitions are those of the servers' deployment.
const partitions = 64

// servers are a MySQL with all tables and a Redis, into which a test writes as scripts and persisters would.
type servers struct {
	mysql  *sql.DB
	client rueidis.Client
	redis  *redisstock.Store
}

func newServers(t testing.TB) *servers {
	t.Helper()
	mysql := persistertest.Database(t)
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{servicetest.Redis(t).Addr}, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	redis, err := redisstock.New(client, redisstock.Config{Partitions: partitions, CallTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &servers{mysql, client, redis}
}

// sweeper compares the stores, with what Kafka has.
func (w *servers) sweeper(tail func(yield func(*event.Batch) error) error) reconcile.Sweeper {
	return reconcile.Sweeper{
		Redis: w.redis, Books: ledger.New(w.mysql, nil), Now: time.Now,
		Tail: func(_ context.Context, yield func(*event.Batch) error) error { return tail(yield) },
	}
}
