// Package kafka owns the settings that say where events travel. It connects to nothing.
package kafka

import "sluice/core/config"

// Config says where events travel.
type Config struct {
	Brokers     []string `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT" help:"Kafka brokers to start from, separated by commas." cost:"none"`
	Topic       string   `name:"kafka-topic" env:"SLUICE_KAFKA_TOPIC" group:"Kafka" default:"sluice.events.v1" help:"Topic of the events." cost:"none"`
	Group       string   `name:"kafka-group" env:"SLUICE_KAFKA_GROUP" group:"Kafka" default:"sluice-persister" help:"Consumer group of the persisters." cost:"another group reads everything again; that is harmless, but slow"`
	Partitions  int      `name:"kafka-partitions" env:"SLUICE_KAFKA_PARTITIONS" group:"Kafka" default:"8" help:"Partitions of the topic when migrate creates it; also the number of persister workers that can be busy." cost:"each takes memory and files of the brokers, and a fetch of the persisters"`
	Replication int      `name:"kafka-replication" env:"SLUICE_KAFKA_REPLICATION" group:"Kafka" default:"1" help:"Copies of the topic when migrate creates it. With 3 or more, two must have an event before it counts as written; with 2, one." cost:"each is written and stored again; below 3 one lost disk can lose events that Redis has to keep"`
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
