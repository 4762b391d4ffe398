package edge

import (
	"context"
	"time"

	"sluice/core/outbox"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
	"sluice/edge/cells"
)

// published is the store for callers that do not use the batcher, such as transfers. Like the batcher it publishes the
// events from memory, and remembers the cells.
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

// publish hands an entry to the publisher. If the publisher has no room, a relay finds the entry in the outbox.
func (p published) publish(e stock.Entry) {
	if e.ID != "" {
		p.publisher.Publish(e)
	}
}
