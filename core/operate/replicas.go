package operate

import (
	"context"
	"fmt"

	"sluice/core/stock"
)

// Replicas tells what is wrong with replicas, or nothing; it is part of redisstock.Store.
type Replicas interface {
	ReplicaWarning(ctx context.Context) (string, error)
}

// WarningOf is what whoever sets an acknowledge level should know of the replicas that there are. It is empty where
// nothing speaks against the level. An error tells why nobody knows; the warning says so too.
func WarningOf(ctx context.Context, level stock.Ack, r Replicas) (warning string, err error) {
	if level != stock.AckReplica {
		return "", nil
	}
	if warning, err = r.ReplicaWarning(ctx); err != nil {
		return "it is not known whether Redis has replicas", fmt.Errorf("look for replicas: %w", err)
	}
	return warning, nil
}
