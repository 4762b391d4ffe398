// Package outbox carries the events of the partitions' outboxes to Kafka: from the memory of the edge
// that made them (Publisher), and from Redis where no edge did (Relay). It knows the topic, but nothing
// of what events mean.
package outbox
