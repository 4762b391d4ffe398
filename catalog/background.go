package catalog

import (
	"context"
	"fmt"

	"sluice/catalog/account"
	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/work"
	"sluice/catalog/notify"
	"sluice/core/kafka"
	"sluice/core/lifecycle"
	"sluice/core/place"
	"sluice/core/shard"
)

// owners are the packages of the shop, with what each does besides answering.
func owners(databases *place.Databases, messages *notify.Messages) []work.Owner {
	return []work.Owner{account.New(account.Config{Databases: databases}).Work(), messages.Work()}
}

// newMessages makes the messages of the shop. It has no channel, so it refuses all.
func (n *Node) newMessages() (*notify.Messages, error) {
	texts, err := notify.LoadTexts("sluice", "")
	if err != nil {
		return nil, err
	}
	counts := n.databases.All(shard.Users)[0]
	return notify.New(notify.Options{Counts: counts, Texts: texts, Metrics: n.set, Log: n.log}), nil
}

// Topics are those of the shop's events.
func Topics() (all []string) {
	for _, o := range owners(nil, nil) { // nobody does their work
		all = append(all, o.Topics...)
	}
	return all
}

// CreateTopics makes the topics of the shop's events, unless they exist.
func CreateTopics(ctx context.Context, in kafka.Cluster) error {
	k := outbox.NewKafka(in.Brokers)
	defer k.Close()
	return k.Create(ctx, Topics(), in.Partitions, in.Replication)
}

// startWork starts what the packages of the shop do besides answering. Kafka need not answer: events wait for it.
func (n *Node) startWork(context.Context) error {
	k := outbox.NewKafka(n.cfg.Kafka.Brokers)
	n.parts.Close("close kafka", k.Close)
	messages, err := n.newMessages()
	if err != nil {
		return fmt.Errorf("start catalog: %w", err)
	}
	w, err := work.New(work.Config{Owners: owners(n.databases, messages), Places: n.databases.All, Kafka: k, Metrics: n.set, Log: n.log})
	if err != nil {
		return fmt.Errorf("start catalog: %w", err)
	}
	background := lifecycle.NewGroup(n.log)
	n.parts.Later("end the work of packages", background.Stop)
	background.Run("work of packages", w.Run)
	return nil
}
