package catalog

import (
	"context"
	"fmt"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/stockfeed"
	"sluice/core/auth"
	"sluice/core/lifecycle"
)

// startAudit starts what the log of privileged acts needs beside the acts themselves.
func (n *Node) startAudit(context.Context) error {
	background := lifecycle.NewGroup(n.log)
	n.parts.Later("end what the audit log needs", background.Stop)
	stock := stockfeed.New(stockfeed.Config{
		Brokers: n.cfg.Kafka.Brokers, Topic: n.cfg.Stock.Topic, Group: n.cfg.AuditGroup, Reader: "audit", Handle: n.writeStock,
		Metrics: n.set, Log: n.log,
	})
	background.Run("acts on stock", stock.Run)
	if n.cfg.AuditCheckpointFile == "" {
		n.log.Info("the ends of the audit log are written down nowhere else: an end that is cut off does not show", "setting", "--audit-checkpoint-file")
		return nil
	}
	keys, err := auth.ReadKeys(n.cfg.TokenKeyFile)
	if err == nil {
		_, err = keys.Sign("a try", nil)
	}
	if err != nil {
		return fmt.Errorf("sign checkpoints of the audit log (--audit-checkpoint-file): %w", err)
	}
	checkpoints := audit.NewCheckpoints(audit.NewReader(n.databases), keys, n.cfg.AuditCheckpointFile, n.cfg.AuditCheckpointEvery, n.log)
	background.Run("checkpoints of the audit log", checkpoints.Run)
	return nil
}

// writeStock writes the acts down that messages of the topic of stock tell of.
func (n *Node) writeStock(ctx context.Context, partition int, messages []stockfeed.Message) error {
	batches := make([][]byte, len(messages))
	for i := range messages {
		if messages[i].FromOutbox() { // else it is none, whatever its bytes look like
			batches[i] = messages[i].Value
		}
	}
	return audit.Log{}.Stock(ctx, n.databases, batches, func(i int) string { return fmt.Sprintf("%d:%d", partition, messages[i].Offset) })
}
