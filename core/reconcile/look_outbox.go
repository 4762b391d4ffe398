package reconcile

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// The bounds of how a look reads outboxes. If an outbox exceeds them, its cells are unverified.
const (
	entriesTogether = 10_000  // of several outboxes that one look reads; a longer one has a look of its own
	outboxesAtOnce  = 16      // partitions that one call reads
	entriesFirst    = 64      // of one call, before it is known how long they are
	entriesFirstOf  = 16      // of them, of one partition
	entryBytesMax   = 1 << 20 // of one call, about
	entriesMax      = 100_000 // that one look reads
	flightMax       = 200_000 // events of them, of the cells of one look
)

// outbox is one partition's outbox, which is read page by page.
type outbox struct {
	*partition

	last []stock.Entry // the page that was read last
	done bool
}

// outboxes reads the events of the cells from the outboxes of their partitions. It reads all outboxes side by side, so
// that a long one does not delay the others.
func (r *closeLook) outboxes(ctx context.Context) error {
	of := map[*partition]*outbox{}
	for _, c := range r.cells {
		if p := r.of(c); of[p] == nil {
			of[p] = &outbox{partition: p}
		}
	}
	left := slices.SortedFunc(maps.Values(of), func(a, b *outbox) int { return a.number - b.number })
	entries, kept := 0, 0
	for len(left) > 0 && entries < entriesMax && kept < flightMax {
		for some := range slices.Chunk(left, outboxesAtOnce) {
			n, k := r.pages(ctx, some)
			entries, kept = entries+n, kept+k
		}
		left = slices.DeleteFunc(left, func(o *outbox) bool { return o.done || o.failed })
	}
	for _, c := range r.cells {
		if o := of[r.of(c)]; !o.done && !o.failed {
			r.views[c].Unread = fmt.Sprintf("the outboxes have more than %d entries, or more than %d events of cells like it: see whether persisters keep up, and look again then",
				entriesMax, flightMax)
		}
	}
	r.leaveOut(nil, nil)
	return nil
}

// pages reads a page of each outbox by one call.
func (r *closeLook) pages(ctx context.Context, of []*outbox) (entries, kept int) {
	asked := make([]redisstock.OutboxPage, len(of))
	for i, o := range of {
		asked[i] = redisstock.OutboxPage{Partition: o.number, After: o.after(), Limit: o.limit(len(of))}
	}
	found, errs := r.Redis.ViewManyOutboxes(ctx, asked)
	for i, o := range of {
		if errs[i] != nil {
			o.fail(fromRedis(errs[i]))
			continue
		}
		entries += len(found[i])
		o.done, o.last = len(found[i]) < asked[i].Limit, found[i]
		for k := range found[i] {
			e := &found[i][k]
			b, err := event.Decode(e.Data)
			if err != nil {
				o.fail(fromRedis(fmt.Errorf("outbox entry %s: %w", e.ID, err)))
				break
			}
			kept += r.underWay(&b)
		}
	}
	return entries, kept
}

// limit is how many entries the next page has, if so many outboxes are read at once.
func (o *outbox) limit(outboxes int) int {
	if len(o.last) == 0 {
		return min(entriesFirst/outboxes, entriesFirstOf)
	}
	return stock.NextEntries(o.last, entryBytesMax/outboxes)
}

// after is the last entry that was read.
func (o *outbox) after() string {
	if len(o.last) == 0 {
		return ""
	}
	return o.last[len(o.last)-1].ID
}

// underWay takes the events of the cells from a batch, and returns how many there are.
func (r *closeLook) underWay(b *event.Batch) (kept int) {
	for i := range b.Events {
		if v := r.views[b.Events[i].Cell]; v != nil {
			v.Events = append(v.Events, Event{b.Events[i], b.TimeMS, InOutbox})
			kept++
		}
	}
	return kept
}
