package batch

import "sluice/core/stock"

// Room returns ErrFull if no request that takes units gets in, whatever it takes. It costs next to nothing, so callers ask it
// before they look at a request.
func (b *Batcher) Room() error {
	if b.cfg.Ack == stock.AckReplica { // where few requests, if any, use the plain lanes
		return nil
	}
	either := b.replicas.Load()
	for _, n := range *b.routed.Load() {
		if !n.plain.takers.full() || either && !n.replicating.takers.full() {
			return nil
		}
	}
	b.meter.full.Inc()
	return ErrFull
}

// RoomFor is Room for what takes units of a cell.
func (b *Batcher) RoomFor(cell stock.Cell) error {
	n := b.routes[cell.Partition(len(b.routes))].Load()
	l := &n.plain
	if b.replicating(&stock.Request{Cell: cell}) {
		l = &n.replicating
	}
	if !l.takers.full() {
		return nil
	}
	b.meter.full.Inc()
	return ErrFull
}
