package edge

import (
	"context"
	"time"

	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/edge/cells"
)

// published is the store for what is decided without the batcher, such as transfers: the events are
// published from memory, and the cells remembered, as the batcher does it.
type published struct {
	*redisstock.Store
	publisher *outbox.Publisher
	cells     *cells.Cache
}

// Do implements stock.Store.
func (p published) Do(ctx context.Context, vectors ...*stock.Vector) {
	asOf := time.Now()
	p.Store.Do(ctx, vectors...)
	for _, v := range vectors {
		if v.Err != nil {
			continue
		}
		p.cells.Observe(v.Partition, v.Cells, asOf)
		p.publish(v.Entry)
	}
}

// publish hands an entry to Kafka. One that finds no room is found in the outbox by the relay.
func (p published) publish(e stock.Entry) {
	if e.ID != "" {
		p.publisher.Publish(e)
	}
}
