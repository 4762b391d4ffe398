package outbox

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"sluice/core/local/servicetest"
)

// TestInWords breaks every way to Kafka as it breaks in practice. The error says what to do, and has none of the
// library's text.
func TestInWords(t *testing.T) {
	t.Parallel()
	broker := servicetest.Broker(t)
	missing := NewTopic(broker, "nowhere")
	t.Cleanup(missing.Close)
	away := NewTopic([]string{"127.0.0.1:1"}, "events")
	t.Cleanup(away.Close)
	link := servicetest.NewLink(t, broker[0])
	link.Stall()
	silent := NewTopic([]string{link.Addr}, "events")
	t.Cleanup(silent.Close)
	check := func(what string, err error, kind error, said ...string) {
		t.Helper()
		if err == nil || kind != nil && !errors.Is(err, kind) {
			t.Errorf("%s: %v, want a %v", what, err, kind)
			return
		}
		for _, text := range said {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q is missing in %q", what, text, err)
			}
		}
		for _, raw := range []string{"dial tcp", "kafka.(*Client)", "Unknown Topic", "[3]", "i/o timeout", "deadline exceeded"} {
			if strings.Contains(err.Error(), raw) {
				t.Errorf("%s: the library's own %q is in %q", what, raw, err)
			}
		}
	}
	for _, c := range []struct {
		what  string
		topic *Topic
		kind  error
		said  []string
	}{
		{"no topic", missing, kafka.UnknownTopicOrPartition, []string{"sluice migrate", "--kafka-topic"}},
		{"nobody there", away, syscall.ECONNREFUSED, []string{"start its brokers", "--kafka-brokers", "127.0.0.1:1"}},
		{"no answer", silent, nil, []string{"did not answer in time", "see whether its brokers run"}},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		check(c.what+", check", c.topic.Check(ctx, 1), c.kind, c.said...)
		if c.topic != missing {
			check(c.what+", create", c.topic.Create(ctx, 1, 1), c.kind, c.said...)
		}
		_, err := c.topic.Condition(ctx, 1)
		check(c.what+", condition", err, c.kind, c.said...)
		_, err = c.topic.Unread(ctx, "group")
		check(c.what+", unread", err, c.kind, c.said...)
		_, err = c.topic.Read(ctx, 0, 0, 1, time.Second)
		check(c.what+", read", err, nil, "brokers") // the library remembers only that it knows of no leader
		_, err = c.topic.write(ctx, 0, nil)
		check(c.what+", write", err, nil, "brokers")
		cancel()
	}
	check("another leader", InWords(kafka.NotLeaderForPartition), kafka.NotLeaderForPartition, "another leader", "start the brokers")
	check("no such host", InWords(&net.DNSError{Name: "kafka7"}), nil, "kafka7", "advertised.listeners")
	check("twice", InWords(InWords(kafka.NotEnoughReplicas)), kafka.NotEnoughReplicas, "min.insync.replicas")
	if odd := errors.New("odd"); !errors.Is(InWords(odd), odd) || InWords(nil) != nil {
		t.Error("what is not known is another error then")
	}
}
