package deployment_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/deployment"
	"sluice/core/evidence"
	"sluice/core/local/servicetest"
	"sluice/core/redis"
	"sluice/core/stock/redisstock"
	"sluice/core/stock/redisstock/redistest"
	"sluice/persister/persistertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// A caller that opens a deployment gets its own stores or none: a refused Redis leaves no connection open.
func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	books := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 4, Timeout: 5 * time.Second}
	persistertest.Migrated(t, string(books.DSN))
	where := redis.Config{Addrs: []string{servicetest.Redis(t).Addr}, CallTimeout: 10 * time.Second}
	agreed := config.Agreed{Partitions: 4, Deployment: "test", Retention: time.Hour}

	unvetted, err := deployment.OpenRedis(ctx, where, agreed, redisstock.Config{})
	if err != nil {
		t.Fatal(err)
	}
	redistest.Open(t, unvetted.Client, agreed.Partitions)
	unvetted.Close()

	for name, other := range map[string]config.Agreed{
		"another deployment":           {Partitions: 4, Deployment: "other", Retention: time.Hour},
		"another number of partitions": {Partitions: 8, Deployment: "test", Retention: time.Hour},
	} {
		if _, err := deployment.OpenRedis(ctx, where, other, redisstock.Config{}); !errors.Is(err, redisstock.ErrForeign) {
			t.Errorf("Redis of %s: %v", name, err)
		}
		if _, err := deployment.Open(ctx, where, books, other); !errors.Is(err, redisstock.ErrForeign) {
			t.Errorf("stores of %s: %v", name, err)
		}
	}

	opened, err := deployment.OpenRedis(ctx, where, agreed, redisstock.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stores, err := opened.With(ctx, books)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stores.Match(ctx), stores.Stock.Ping(ctx), stores.DB.PingContext(ctx)); err != nil {
		t.Errorf("its own stores: %v", err)
	}
	// A database that has the name of another deployment is refused, whatever Redis says of databases.
	nonces := evidence.NewNonces(stores.DB)
	for range 2 { // the first name stays
		if err := nonces.Name(ctx, "theirs", agreed.Partitions); err != nil {
			t.Fatal(err)
		}
	}
	if err := stores.Match(ctx); !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), `the MySQL database is of deployment "theirs", not "test"`) {
		t.Errorf("the database of another deployment: %v", err)
	}
	if other, err := deployment.Open(ctx, where, books, agreed); !errors.Is(err, redisstock.ErrForeign) {
		t.Errorf("opened the database of another deployment: %v, %v", other, err)
	}
	if err := stores.Close(); err != nil {
		t.Error(err)
	}
}
