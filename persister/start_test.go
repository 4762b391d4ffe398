package persister

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/core/config"
	"sluice/core/stock/redisstock"
	"sluice/deploy/local/servicetest"
)

func TestStartRefusesVolatileMySQL(t *testing.T) {
	t.Parallel()
	mariadb := servicetest.PrivateMariaDB(t)
	if err := mariadb.CreateDatabase(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, servicetest.Broker(t), mariadb.DSN("sluice"))
	if _, err := w.db.ExecContext(t.Context(), "SET GLOBAL innodb_flush_log_at_trx_commit = 2"); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), w.cfg, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "innodb_flush_log_at_trx_commit") {
		t.Fatalf("a MySQL that forgets: %v", err)
	}
	w.cfg.AllowVolatileMySQL = true
	w.stop(w.start())
}

func TestStartNeedsTheSchema(t *testing.T) {
	t.Parallel()
	w := newWorld(t, servicetest.Broker(t), servicetest.MariaDB(t))
	w.cfg.MySQL.DSN = config.Secret(servicetest.MariaDB(t)) // another one, empty
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := Start(ctx, w.cfg, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "sluice migrate") {
		t.Errorf("an empty database: %v", err)
	}
}

func TestStartRefusesAnothersRedis(t *testing.T) {
	t.Parallel()
	s := newShop(t, servicetest.Broker(t))
	s.cfg.Stock.Deployment = "other"
	_, err := Start(t.Context(), s.cfg, slog.New(slog.DiscardHandler))
	if !errors.Is(err, redisstock.ErrForeign) || !strings.Contains(err.Error(), "set --deployment") {
		t.Errorf("another deployment: %v", err)
	}
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := Config{Workers: -1, BatchEvents: 0, BatchWait: -1}.Validate()
	for _, name := range []string{"redis-addr", "mysql-dsn", "kafka-brokers", "workers", "batch-events", "fetch-bytes", "batch-wait"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("no word about %s: %v", name, err)
		}
	}
}
