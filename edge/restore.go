package edge

import (
	"context"
	"errors"

	"sluice/core/restore"
	"sluice/core/stock/redisstock"
)

// The values of Config.Restore: whether an edge restores a Redis that has lost everything of a partition.
const (
	RestoreManual = "manual"
	RestoreAuto   = "auto"
)

// restoreParallel is how many partitions an edge restores at once. Others may restore too, and all of them sell meanwhile.
const restoreParallel = 2

// runRestores restores what a vetting has refused because it holds nothing, or has lost a key. Other edges may do so at the same
// time: they share the partitions.
func (n *Node) runRestores(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.gate.refusals:
		}
		if err := n.restoreLost(ctx); err != nil && ctx.Err() == nil {
			n.log.ErrorContext(ctx, "redis cannot be restored yet", "error", err)
		}
	}
}

func (n *Node) restoreLost(ctx context.Context) error {
	waiting := false
	work := restore.Restore{Vetting: n.redis.vetter, Store: n.store, Open: n.redis.Vet, Parallel: restoreParallel}
	work.Progress = func(p restore.Progress) {
		if p.Waiting > 0 && !waiting {
			waiting = true
			n.log.WarnContext(ctx, "redis is restored once persisters have brought everything from Kafka to MySQL", "messages", p.Waiting)
		}
	}
	plan, err := work.Plan(ctx)
	if err != nil || len(plan.Partitions) == 0 {
		return err
	}
	n.log.WarnContext(ctx, "redis has lost partitions: restoring them from MySQL and Kafka", "partitions", len(plan.Partitions), "cells", plan.Cells)
	report, err := work.Run(ctx, plan)
	for partition, why := range report.Refused {
		n.log.ErrorContext(ctx, "a partition of redis is not restored", "partition", partition, "why", why)
	}
	for partition, lost := range report.Lost {
		for _, l := range lost {
			n.log.ErrorContext(ctx, "a cell is restored without events that nobody has", "partition", partition, "cell", l.Cell.String(),
				"events", l.Events, "units_at_most", l.Units, "revoked", l.Revoked)
		}
	}
	n.log.InfoContext(ctx, "redis is restored", "partitions", report.Done, "of", report.Partitions, "restored_by_others", len(report.Busy),
		"cells", report.Cells, "reservations", report.Records)
	if errors.Is(err, redisstock.ErrVetting) {
		return nil // the gate tells of it
	}
	return err
}
