package work

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/twmb/franz-go/pkg/kgo"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

const topic = "sluice.things.v1"

// places are two in one database, with the books of an owner.
func places(t *testing.T) []place.Place {
	t.Helper()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	copies := db.NewCopies("shop", pool, nil, 0, slog.Default())
	t.Cleanup(func() { _ = copies.Close() })
	all := []place.Place{{Copies: copies, Name: "shop", Suffix: ""}, {Copies: copies, Name: "shop_1", Suffix: "_1"}}
	for _, p := range all {
		for statement := range strings.SplitSeq(outbox.Tables("thing")+task.Table("thing")+schedule.Table("thing")+replay.Table("thing"), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := p.In(pool).ExecContext(t.Context(), statement); err != nil {
				t.Fatal(statement, err)
			}
		}
	}
	return all
}

// TestWork does all that an owner may ask for, in each of its places.
func TestWork(t *testing.T) {
	t.Parallel()
	all, brokers := places(t), servicetest.Broker(t)
	kafka := outbox.NewKafka(brokers)
	defer kafka.Close()
	if err := kafka.Create(t.Context(), []string{topic}, 3, 1); err != nil {
		t.Fatal(err)
	}
	tasks, once, everywhere := make(chan string, 100), make(chan string, 100), make(chan string, 100)
	told := func(to chan<- string) task.Handler {
		return func(_ context.Context, t task.Task) error {
			to <- t.Place.Name
			return nil
		}
	}
	w, err := New(Config{
		Owners: []Owner{{
			Name: "thing", Kind: shard.Users, Topics: []string{topic}, Tasks: map[string]task.Handler{"greet": told(tasks)},
			Times: []Time{
				{Item: schedule.Item{Name: "report", Every: 24 * time.Hour}, Do: told(once)},
				{Item: schedule.Item{Name: "sweep", Every: 24 * time.Hour}, Do: told(everywhere), Everywhere: true},
			},
		}},
		Places: func(shard.Kind) []place.Place { return all }, Kafka: kafka, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if err := db.Write(t.Context(), p.Writer(), "a thing", func(tx *sql.Tx) error {
			if _, err := outbox.Of("thing", p.Suffix).Append(t.Context(), tx, topic, p.Name, "made", 1); err != nil {
				return err
			}
			_, err := p.In(tx).ExecContext(t.Context(), "INSERT INTO thing_replays__ (user_id, route, idempotency_key, fingerprint, ends_at) VALUES "+
				"(1, 'r', 'over', REPEAT('0', 32), NOW(3)), (1, 'r', 'kept', REPEAT('0', 32), NOW(3) + INTERVAL 1 DAY)")
			if err != nil {
				return err
			}
			return task.Of("thing", p.Suffix).Add(t.Context(), tx, "greet", "g", nil, 0)
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()

	both := func(what string, from <-chan string) {
		t.Helper()
		if a, b := <-from, <-from; a == b {
			t.Errorf("%s was done twice in %s", what, a)
		}
	}
	both("a task", tasks)
	both("what is everywhere", everywhere)
	if at := <-once; at != "shop" {
		t.Errorf("what is done once was done in %s", at)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for seen := map[string]bool{}; len(seen) < len(all); {
		client.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) { seen[string(r.Key)] = true })
	}
	for _, p := range all {
		kept := func() (names string) {
			if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(idempotency_key ORDER BY 1) FROM thing_replays__").Scan(&names); err != nil {
				t.Fatal(err)
			}
			return names
		}
		for kept() != "kept" {
			time.Sleep(10 * time.Millisecond)
		}
	}
	cancel()
	<-ended
	if len(once) != 0 || len(everywhere) != 0 || len(tasks) != 0 {
		t.Errorf("more was done: %d, %d, %d", len(once), len(everywhere), len(tasks))
	}
}

func TestWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, task.Task) error { return nil }
	day := schedule.Item{Name: "greet", Every: 24 * time.Hour}
	for want, o := range map[string]Owner{
		"two kinds of tasks are called greet":         {Tasks: map[string]task.Handler{"greet": nothing}, Times: []Time{{Item: day, Do: nothing}}},
		"two kinds of tasks are called clean_replays": {Tasks: map[string]task.Handler{"clean_replays": nothing}},
		"want whole seconds":                          {Times: []Time{{Item: schedule.Item{Name: "greet"}, Do: nothing}}},
	} {
		o.Name = "thing"
		_, err := New(Config{Owners: []Owner{o}, Places: func(shard.Kind) []place.Place { return nil }, Metrics: metrics.NewSet(), Log: slog.Default()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
