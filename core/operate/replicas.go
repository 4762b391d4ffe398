package operate

import (
	"context"
	"fmt"

	"sluice/core/stock"
)

// Replicas says what is wrong with replicas. It is a part of redisstock.Store.
type Replicas interface {
	ReplicaWarning(ctx context.Context) (string, error)
}

// WarningOf returns what is wrong with the replicas for an acknowledge level; empty if nothing is. If nobody can tell, the
// error says why, and so does the warning.
func WarningOf(ctx context.Context, level stock.Ack, r Replicas) (warning string, err error) {
	if level != stock.AckReplica {
		return "", nil
	}
	if warning, err = r.ReplicaWarning(ctx); err != nil {
		return "it is not known whether Redis has replicas", fmt.Errorf("look for replicas: %w", err)
	}
	return warning, nil
}
