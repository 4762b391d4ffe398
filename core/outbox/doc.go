// Package outbox carries the events of the partitions' outboxes to Kafka. Publisher sends them from the memory of the
// edge that made them. Relay finds the others in Redis. The package knows the topic, but not what events mean.
package outbox
