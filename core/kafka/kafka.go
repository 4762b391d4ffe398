// Package kafka owns the settings that say through which topic events travel, and the one way to connect to its brokers.
package kafka

import "sluice/core/config"

// Config says through which topic events travel.
type Config struct {
	Brokers     []string `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT"`
	Topic       string   `name:"kafka-topic" env:"SLUICE_KAFKA_TOPIC" group:"Kafka" default:"sluice.events.v1"`
	Group       string   `name:"kafka-group" env:"SLUICE_KAFKA_GROUP" group:"Kafka" default:"sluice-persister"`
	Partitions  int      `name:"kafka-partitions" env:"SLUICE_KAFKA_PARTITIONS" group:"Kafka" default:"8"`
	Replication int      `name:"kafka-replication" env:"SLUICE_KAFKA_REPLICATION" group:"Kafka" default:"1"`
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
