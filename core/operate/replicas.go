package operate

import (
	"context"
	"fmt"

	"sluice/core/stock"
)

// Replicas says what is wrong with the replicas. redisstock.Store implements it.
type Replicas interface {
	ReplicaWarning(ctx context.Context) (string, error)
}

// WarningOf returns a warning about the replicas for an acknowledge level. It is empty if nothing is wrong. If nobody
// can tell, both the warning and the error say why.
func WarningOf(ctx context.Context, level stock.Ack, r Replicas) (warning string, err error) {
	if level != stock.AckReplica {
		return "", nil
	}
	if warning, err = r.ReplicaWarning(ctx); err != nil {
		return "it is not known whether Redis has replicas", fmt.Errorf("look for replicas: %w", err)
	}
	return warning, nil
}
