package local_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/local"
	"sluice/core/local/servicetest"
)

func exec(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func rows(t *testing.T, dsn, table string) int {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMariaDBKeepsItsData(t *testing.T) {
	t.Parallel()
	m := servicetest.PrivateMariaDB(t)
	if err := m.CreateDatabase(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	exec(t, m.DSN("shop"), "CREATE TABLE sku (id BIGINT PRIMARY KEY)", "INSERT INTO sku VALUES (1001)")

	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := m.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, m.DSN("shop"), "sku"); n != 1 {
		t.Errorf("%d rows after a crash, want 1", n)
	}

	if err := m.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := local.StartMariaDB(t.Context(), m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if n := rows(t, again.DSN("shop"), "sku"); n != 1 {
		t.Errorf("%d rows after a new start in the directory, want 1", n)
	}
	if err := again.Stop(); err != nil {
		t.Error(err)
	}
}

func TestMariaDBSettings(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("mysql", servicetest.PrivateMariaDB(t).DSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for name, want := range map[string]string{
		"innodb_flush_log_at_trx_commit": "1", "innodb_rollback_on_timeout": "1", "local_infile": "1",
		"character_set_server": "utf8mb4",
	} {
		var got string
		if err := db.QueryRowContext(t.Context(), "SELECT @@"+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

const topic = "sluice.test"

func createTopic(t *testing.T, addr string) {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport(t)}
	response, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}},
	})
	if err = errors.Join(err, response.Errors[topic]); err != nil {
		t.Fatal(err)
	}
}

// transport is one that leaves no goroutine behind.
func transport(t *testing.T) *kafka.Transport {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

func write(t *testing.T, addr, value string) error {
	t.Helper()
	w := &kafka.Writer{
		Addr: kafka.TCP(addr), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		Transport: transport(t),
	}
	return errors.Join(w.WriteMessages(t.Context(), kafka.Message{Value: []byte(value)}), w.Close())
}

func firstMessage(t *testing.T, addr string) string {
	t.Helper()
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{addr}, Topic: topic, Partition: 0, MaxWait: 100 * time.Millisecond})
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	message, err := r.ReadMessage(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return string(message.Value)
}

func TestBrokerKeepsItsDataAndMakesNoTopicsByItself(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := local.StartBroker(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Stop)
	if err := write(t, b.Addrs[0], "early"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("write to a topic that nobody made: %v, want %v", err, kafka.UnknownTopicOrPartition)
	}
	createTopic(t, b.Addrs[0])
	if err := write(t, b.Addrs[0], "value"); err != nil {
		t.Fatal(err)
	}
	b.Stop()
	again, err := local.StartBroker(t.Context(), dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Stop)
	if got := firstMessage(t, again.Addrs[0]); got != "value" {
		t.Errorf("got %q after a new start, want %q", got, "value")
	}
}

func TestKafkaKeepsItsDataAndMakesNoTopicsByItself(t *testing.T) {
	t.Parallel()
	k := servicetest.PrivateKafka(t)
	if err := write(t, k.Addrs[0], "early"); !errors.Is(err, kafka.UnknownTopicOrPartition) {
		t.Errorf("write to a topic that nobody made: %v, want %v", err, kafka.UnknownTopicOrPartition)
	}
	createTopic(t, k.Addrs[0])
	if err := write(t, k.Addrs[0], "value"); err != nil {
		t.Fatal(err)
	}
	if err := k.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := firstMessage(t, k.Addrs[0]); got != "value" {
		t.Errorf("got %q after a new start, want %q", got, "value")
	}
}

// Only known versions become part of a path and of a file for Maven.
func TestNamedKafkaIsUnknown(t *testing.T) {
	t.Setenv(local.KafkaVersionEnv, "../4.1.0")
	var missing *local.MissingError
	if _, err := local.StartKafka(t.Context(), t.TempDir()); !errors.As(err, &missing) && (err == nil || !strings.Contains(err.Error(), local.KafkaVersionEnv)) {
		t.Errorf("%v, want one that names %s", err, local.KafkaVersionEnv)
	}
}
