package command

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/segmentio/kafka-go"
)

// kafka looks at the topic.
func (d *Doctor) kafka(ctx context.Context, e *examination) {
	transport := &kafka.Transport{ClientID: "sluice-doctor"}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(d.Kafka.Brokers...), Transport: transport}
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{d.Kafka.Topic}})
	if err != nil {
		e.fail("Kafka", err.Error(), "start Kafka, or correct --kafka-brokers")
		return
	}
	e.ok("Kafka", "%d brokers", len(answer.Brokers))
	about := "Kafka topic " + d.Kafka.Topic
	if len(answer.Topics) != 1 {
		e.fail(about, "the broker does not say anything about it", "see the broker's log")
		return
	}
	topic := answer.Topics[0]
	if errors.Is(topic.Error, kafka.UnknownTopicOrPartition) {
		e.fail(about, "there is no such topic", "run sluice migrate")
		return
	}
	if topic.Error != nil {
		e.fail(about, topic.Error.Error(), "see the broker's log")
		return
	}
	kafkaTopic(e, about, d.Kafka.Partitions, topic)
	kafkaInSync(ctx, e, about, client, topic)
}

func kafkaTopic(e *examination, about string, want int, topic kafka.Topic) {
	if n := len(topic.Partitions); n != want {
		e.fail(about, fmt.Sprintf("it has %d partitions, not %d", n, want), "set --kafka-partitions to what it has, everywhere")
	} else {
		e.ok(about, "%d partitions", n)
	}
	var leaderless, lagging int
	for i := range topic.Partitions {
		p := &topic.Partitions[i]
		if p.Error != nil || p.Leader.Host == "" {
			leaderless++
		} else if len(p.Isr) < len(p.Replicas) {
			lagging++
		}
	}
	if leaderless > 0 {
		e.fail(about, fmt.Sprintf("%d partitions have no leader", leaderless), "start the brokers that have them")
	}
	if lagging > 0 {
		e.warn(about, fmt.Sprintf("%d partitions have copies that lag", lagging), "see whether all brokers run")
	}
}

// kafkaInSync looks at how many copies must have an event before it counts as written.
func kafkaInSync(ctx context.Context, e *examination, about string, client *kafka.Client, topic kafka.Topic) {
	copies := 0
	if len(topic.Partitions) > 0 {
		copies = len(topic.Partitions[0].Replicas)
	}
	answer, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: topic.Name, ConfigNames: []string{"min.insync.replicas"},
	}}})
	inSync := 0
	if err == nil {
		for _, resource := range answer.Resources {
			for _, entry := range resource.ConfigEntries {
				inSync, err = strconv.Atoi(entry.ConfigValue)
			}
		}
	}
	switch {
	case err != nil || inSync == 0:
		e.warn(about, "cannot tell min.insync.replicas", "let the user describe the topic")
	case copies < 2:
		e.warn(about, "one copy only: a lost disk loses what MySQL does not have yet", "on more than one broker, run it with 3 copies (--kafka-replication)")
	case inSync < 2:
		e.fail(about, fmt.Sprintf("min.insync.replicas is %d of %d copies: acks=all can mean one disk", inSync, copies), "set it to 2")
	case inSync >= copies:
		e.warn(about, fmt.Sprintf("min.insync.replicas is %d of %d copies: one broker less stops publishing", inSync, copies), "set it to one less than the copies")
	default:
		e.ok(about, "%d of %d copies must have an event before it counts", inSync, copies)
	}
}
