package edge

import (
	"context"

	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// heard is the store for readings that callers wait for. While a server does not answer, it refuses them at once, as the
// batcher refuses requests: otherwise each caller would wait for a whole call.
type heard struct {
	*redisstock.Store
	reachable func(partition int) error
}

func (n *Node) heard() heard {
	return heard{n.store, func(partition int) error { return n.batcher.Reachable(partition) }}
}

// serves fails while nobody can take from a partition through this edge: its server is silent, or its data wait to be vetted.
func (n *Node) serves(partition int) error {
	if err := n.batcher.Reachable(partition); err != nil {
		return err
	}
	return n.store.Trusted(partition)
}

// Cells reads cells.
func (h heard) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	for _, c := range cells {
		if err := h.reachable(c.Partition(h.Partitions())); err != nil {
			return nil, 0, err
		}
	}
	return h.Store.Cells(ctx, cells)
}

// Reservations reads reservations.
func (h heard) Reservations(ctx context.Context, ids []stock.ReservationID) ([]stock.Reservation, int64, error) {
	for _, id := range ids {
		if err := h.reachable(id.Partition()); err != nil {
			return nil, 0, err
		}
	}
	return h.Store.Reservations(ctx, ids)
}
