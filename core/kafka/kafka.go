// Package kafka owns the settings that say through which topic events travel, and the one way to connect to its brokers.
package kafka

import "sluice/core/config"

// Cluster says where Kafka is, and which form new topics get. It is for those whose topics have fixed names.
type Cluster struct {
	Brokers     []string `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT"`
	Partitions  int      `name:"kafka-partitions" env:"SLUICE_KAFKA_PARTITIONS" group:"Kafka" default:"8"`
	Replication int      `name:"kafka-replication" env:"SLUICE_KAFKA_REPLICATION" group:"Kafka" default:"1"`
}

// Validate joins all faults of the group.
func (c Cluster) Validate() error {
	var f config.Faults
	if len(c.Brokers) == 0 {
		f.Missing("kafka-brokers", "host:port of brokers")
	}
	for _, addr := range c.Brokers {
		config.HostPort(&f, "kafka-brokers", addr)
	}
	config.Between(&f, "kafka-partitions", c.Partitions, 1, 1000)
	config.Between(&f, "kafka-replication", c.Replication, 1, 7)
	return f.Err()
}

// Events says through which topic events of stock travel, for those who read them beside the persisters.
type Events struct {
	Topic string `name:"kafka-topic" env:"SLUICE_KAFKA_TOPIC" group:"Kafka" default:"sluice.events.v1"`
}

// Validate joins all faults of the group.
func (e Events) Validate() error {
	var f config.Faults
	config.Name(&f, "kafka-topic", e.Topic)
	return f.Err()
}

// Config says through which topic events of stock travel.
type Config struct {
	Brokers     []string `name:"kafka-brokers" env:"SLUICE_KAFKA_BROKERS" group:"Kafka" placeholder:"HOST:PORT"`
	Topic       string   `name:"kafka-topic" env:"SLUICE_KAFKA_TOPIC" group:"Kafka" default:"sluice.events.v1"`
	Group       string   `name:"kafka-group" env:"SLUICE_KAFKA_GROUP" group:"Kafka" default:"sluice-persister"`
	Partitions  int      `name:"kafka-partitions" env:"SLUICE_KAFKA_PARTITIONS" group:"Kafka" default:"8"`
	Replication int      `name:"kafka-replication" env:"SLUICE_KAFKA_REPLICATION" group:"Kafka" default:"1"`
}

// Cluster are the settings that are not about the topic.
func (k Config) Cluster() Cluster { return Cluster{k.Brokers, k.Partitions, k.Replication} }

// Validate joins all faults of the group.
func (k Config) Validate() error {
	var f config.Faults
	f.Include(k.Cluster().Validate())
	f.Include(Events{k.Topic}.Validate())
	config.Name(&f, "kafka-group", k.Group)
	return f.Err()
}
