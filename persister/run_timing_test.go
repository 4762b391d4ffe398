package persister

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/event"
	"sluice/core/local/servicetest"
	"sluice/core/outbox"
	"sluice/core/stock"
)

// BenchmarkRun measures events per second from Kafka into MariaDB, where each commit is durable: the
// topic is filled first, then a consumer joins its group and is timed until all of it is in MySQL.
func BenchmarkRun(b *testing.B) {
	for name, start := range map[string]func(testing.TB) []string{"embedded": servicetest.Broker, "kafka": servicetest.Kafka} {
		for _, vector := range []int{1, 16, 128} {
			for _, cells := range []int{64, 50_000} {
				b.Run(fmt.Sprintf("broker=%s/vector=%d/cells=%d", name, vector, cells), func(b *testing.B) {
					benchmarkRun(b, start(b), vector, cells, "")
				})
			}
		}
	}
}

// BenchmarkRunIndexes measures what each index of reservations costs, in rounds of all variants in turn.
func BenchmarkRunIndexes(b *testing.B) {
	const (
		drop = "ALTER TABLE reservations DROP KEY reservations_user, DROP KEY reservations_cell"
		user = ", ADD KEY reservations_user (user_id, reservation_id)"
		cell = ", ADD KEY reservations_cell (sku_id, pool, state, reservation_id)"
	)
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	for range rounds {
		for _, cells := range []int{64, 50_000} {
			for _, with := range []struct{ name, alter string }{
				{"none", drop}, {"user", drop + user}, {"cell", drop + cell}, {"both", drop + user + cell},
			} {
				b.Run(fmt.Sprintf("cells=%d/indexes=%s", cells, with.name), func(b *testing.B) {
					benchmarkRun(b, servicetest.Broker(b), 16, cells, with.alter)
				})
			}
		}
	}
}

// runEvents is how many events a benchmark brings. With -short, which is for trying it, there are few.
func runEvents() int {
	if testing.Short() {
		return 20_000
	}
	return 400_000
}

// benchmarkRun measures with the schema as it is, but for one change of it.
func benchmarkRun(b *testing.B, brokers []string, vector, cells int, alter string) {
	b.Helper()
	log := slog.New(slog.DiscardHandler)
	db := database(b)
	if alter != "" {
		if _, err := db.ExecContext(b.Context(), alter); err != nil {
			b.Fatal(err)
		}
	}
	topic := fmt.Sprintf("run%d", time.Now().UnixNano())
	var cfg Config
	cfg.Kafka.Brokers, cfg.Kafka.Topic, cfg.Kafka.Group = brokers, topic, topic
	cfg.Kafka.Partitions, cfg.Kafka.Replication = 8, 1
	cfg.Workers, cfg.BatchEvents, cfg.FetchBytes, cfg.BatchWait = 2, 4000, 256<<10, 20*time.Millisecond
	kafka := outbox.NewTopic(brokers, topic)
	defer kafka.Close()
	if err := kafka.Create(b.Context(), 8, 1); err != nil {
		b.Fatal(err)
	}
	var own, server time.Duration
	for range b.N {
		b.StopTimer()
		truncate(b, db)
		last := fill(b, cfg, vector, cells)
		m := newMeters(metrics.NewSet())
		c := &consumer{
			cfg: cfg, topic: kafka, meters: m, log: log, applied: func(*batch) {},
			newWorker: func() *applier { return newApplier(db, m, log) },
		}
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		ownBefore, serverBefore := cpuOf(b, "self"), cpuOf(b, serverPID(b, db))
		go func() { ended <- c.run(ctx) }()
		for m.progress.Load() == nil {
			time.Sleep(time.Millisecond) // a new Kafka takes seconds to make its coordinator
		}
		b.StartTimer()
		for m.events.Get() < uint64(last) {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		b.ReportMetric(float64(last)/float64(m.batches.Get()), "events/transaction")
		own += cpuOf(b, "self") - ownBefore
		server += cpuOf(b, serverPID(b, db)) - serverBefore
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
	events := float64(runEvents()) * float64(b.N)
	b.ReportMetric(float64(own.Nanoseconds())/events, "own-cpu-ns/event") // with the broker if it is embedded
	b.ReportMetric(float64(server.Nanoseconds())/events, "mariadb-cpu-ns/event")
	b.ReportMetric(float64(runEvents())*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// fill publishes events and tells how many.
func fill(b *testing.B, cfg Config, vector, cells int) int {
	b.Helper()
	pub, err := outbox.NewPublisher(outbox.PublisherConfig{
		Brokers: cfg.Kafka.Brokers, Topic: cfg.Kafka.Topic, Partitions: cfg.Kafka.Partitions, BufferBytes: 1 << 30,
	}, metrics.NewSet())
	if err != nil {
		b.Fatal(err)
	}
	h := newHistory(1, cells)
	events := 0
	for n := 0; events < runEvents(); n++ {
		batch := h.batch(vector)
		events += len(batch.Events)
		e := stock.Entry{Partition: batch.Partition, ID: fmt.Sprintf("%d-%d", h.nowMS, n), Data: event.Append(nil, batch)}
		if !pub.Publish(e) {
			b.Fatal("buffer full")
		}
	}
	if err := pub.Close(b.Context()); err != nil {
		b.Fatal(err)
	}
	return events
}

// cpuOf is the CPU time that a process has used: user and system, in ticks of 10 ms.
func cpuOf(b *testing.B, pid string) time.Duration {
	b.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		b.Skip(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

func serverPID(b *testing.B, db *sql.DB) string {
	b.Helper()
	var path string
	if err := db.QueryRowContext(b.Context(), "SELECT @@pid_file").Scan(&path); err != nil {
		b.Fatal(err)
	}
	pid, err := os.ReadFile(path)
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(string(pid))
}
