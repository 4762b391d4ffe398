// Package kafka owns the settings that say where events travel. It connects to nothing.
package kafka

import "sluice/core/config"

// Config says where events travel.
type Config struct {
	Brokers     []string `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT" help:"Kafka brokers to ask first, separated by commas. They name the others." cost:"none"`
	Topic       string   `name:"kafka-topic" env:"SLUICE_KAFKA_TOPIC" group:"Kafka" default:"sluice.events.v1" help:"Topic of the events." cost:"none"`
	Group       string   `name:"kafka-group" env:"SLUICE_KAFKA_GROUP" group:"Kafka" default:"sluice-persister" help:"Consumer group of the persisters." cost:"a new group reads everything again: harmless, and slow"`
	Partitions  int      `name:"kafka-partitions" env:"SLUICE_KAFKA_PARTITIONS" group:"Kafka" default:"8" help:"Partitions that migrate gives a new topic. No more persister workers than that can be busy." cost:"each takes memory and files of the brokers, and the persisters fetch it apart"`
	Replication int      `name:"kafka-replication" env:"SLUICE_KAFKA_REPLICATION" group:"Kafka" default:"1" help:"Copies that migrate gives a new topic. With 3 or more, an event counts as written once two copies have it; with fewer, once one has it." cost:"each copy is written and stored; with fewer than 3, one lost disk can lose events that MySQL does not have yet"`
}

// Validate joins all faults of the group.
func (k Config) Validate() error {
	var f config.Faults
	if len(k.Brokers) == 0 {
		f.Missing("kafka-brokers", "host:port of brokers")
	}
	for _, addr := range k.Brokers {
		config.HostPort(&f, "kafka-brokers", addr)
	}
	config.Name(&f, "kafka-topic", k.Topic)
	config.Name(&f, "kafka-group", k.Group)
	config.Between(&f, "kafka-partitions", k.Partitions, 1, 1000)
	config.Between(&f, "kafka-replication", k.Replication, 1, 7)
	return f.Err()
}
