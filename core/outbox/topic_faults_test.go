package outbox

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"sluice/core/local/servicetest"
)

// TestConditionSeesSettings changes settings of a topic that is in use.
func TestConditionSeesSettings(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 2)
		words := func() (words []string) {
			t.Helper()
			c, err := topic.Condition(t.Context(), 2)
			if err != nil || c.Partitions != 2 || c.Copies != 1 || c.InSyncMin != 1 {
				t.Fatalf("%+v, %v", c, err)
			}
			for _, f := range c.Faults {
				words = append(words, f.Word)
				if !slices.Contains(TopicFaults, f.Word) {
					t.Errorf("%q is declared nowhere", f.Word)
				}
			}
			return words
		}
		if got := words(); got != nil {
			t.Errorf("a new topic has %q", got)
		}
		var changes []kafka.IncrementalAlterConfigsRequestConfig
		for name, value := range map[string]string{"retention.ms": "60000", "cleanup.policy": "compact", "max.message.bytes": "2000"} {
			changes = append(changes, kafka.IncrementalAlterConfigsRequestConfig{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet})
		}
		admin := &kafka.Client{Addr: topic.client.Addr, Transport: &kafka.Transport{}} // a guarded one has no such request
		defer admin.Transport.(*kafka.Transport).CloseIdleConnections()
		answer, err := admin.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic.name, Configs: changes}},
		})
		if err != nil || answer.Resources[0].Error != nil {
			t.Fatalf("%+v, %v", answer, err)
		}
		// A broker learns of it a moment later.
		want := []string{"retention", "cleanup", "message_bytes"}
		got := words()
		for tries := 0; tries < 1000 && !slices.Equal(got, want); tries++ {
			got = words()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestConditionSeesPartitions gives a topic in use more partitions than the settings name, or has the settings name more.
func TestConditionSeesPartitions(t *testing.T) {
	t.Parallel()
	servicetest.OnBrokers(t, func(t *testing.T, brokers []string) {
		t.Helper()
		topic := newTopic(t, brokers, 2)
		said := func(want int) (said string) {
			t.Helper()
			c, err := topic.Condition(t.Context(), want)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range c.Faults {
				if f.Word != "partitions" {
					t.Errorf("fault %v", f)
				}
				said += f.String()
			}
			return said
		}
		if got := said(2); got != "" {
			t.Errorf("2 of 2: %s", got)
		}
		if got := said(3); !strings.Contains(got, "2 partitions, not 3: events of the missing ones stay in Redis") || !strings.Contains(got, "set --kafka-partitions to 2") {
			t.Errorf("2 of 3: %s", got)
		}
		servicetest.GrowTopic(t, brokers, topic.name, 4)
		got := said(2)
		for tries := 0; tries < 1000 && got == ""; tries++ { // what was asked just now is remembered for a while
			topic.transport.CloseIdleConnections()
			got = said(2)
		}
		if !strings.Contains(got, "4 partitions, not 2") || !strings.Contains(got, "set --kafka-partitions to 4") {
			t.Errorf("4 of 2: %s", got)
		}
	})
}

// TestFaultsOfPartitions counts copies as brokers come and go.
func TestFaultsOfPartitions(t *testing.T) {
	t.Parallel()
	brokers := []kafka.Broker{{Host: "a", ID: 1}, {Host: "b", ID: 2}, {Host: "c", ID: 3}}
	for _, c := range []struct {
		name                  string
		copies, inSync, least int
		leaderless            bool
		want                  []string
	}{
		{"three of three", 3, 3, 2, false, nil},
		{"two of three", 3, 2, 2, false, nil},
		{"one of three", 3, 1, 2, false, []string{"copies"}},
		{"one is enough of three", 3, 3, 1, false, []string{"min_insync"}},
		{"all of three", 3, 3, 3, false, []string{"min_insync"}},
		{"all of two", 2, 2, 2, false, []string{"min_insync"}},
		{"one of two", 2, 1, 1, false, nil},
		{"one", 1, 1, 1, false, nil},
		{"nobody leads", 1, 1, 1, true, []string{"leader"}},
	} {
		p := kafka.Partition{Leader: brokers[0], Replicas: brokers[:c.copies], Isr: brokers[:c.inSync]}
		if c.leaderless {
			p.Leader = kafka.Broker{}
		}
		at := Condition{InSyncMin: c.least}
		at.partitions([]kafka.Partition{p})
		var got []string
		for _, f := range at.Faults {
			got = append(got, f.Word)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

// TestConditionSeesTimestamps: each version of Kafka names the bounds in its own way.
func TestConditionSeesTimestamps(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings map[string]string
		faults   int
	}{
		{map[string]string{"message.timestamp.before.max.ms": "9223372036854775807", "message.timestamp.after.max.ms": "3600000"}, 0},
		{map[string]string{"message.timestamp.before.max.ms": "1", "message.timestamp.after.max.ms": "59999"}, 2},
		{map[string]string{"message.timestamp.difference.max.ms": "1000"}, 1},
		{map[string]string{"message.timestamp.difference.max.ms": "60000"}, 0},
	} {
		var got Condition
		if got.settings(c.settings); len(got.Faults) != c.faults {
			t.Errorf("%v: %v", c.settings, got.Faults)
		}
		for _, f := range got.Faults {
			if f.Word != "timestamps" || !slices.Contains(TopicFaults, f.Word) {
				t.Errorf("%v: %v", c.settings, f)
			}
		}
	}
}
