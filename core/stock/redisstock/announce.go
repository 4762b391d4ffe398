package redisstock

import (
	"context"
	"fmt"
	"slices"

	"sluice/core/event"
	"sluice/core/stock"
)

// announceEntries is how many entries of an outbox one call reads.
const announceEntries = 100

// announce brings the rebases of vettings to Kafka before their partitions open, so that nobody sells in an epoch that Kafka does not
// know of. Otherwise, if Redis lost its tail once more, the next vetting would begin the same epoch, and events of the first one
// that are still on their way would collide with those of the second.
func (v *vetting) announce(ctx context.Context) error {
	if v.cfg.Publish == nil {
		return nil
	}
	for p := range v.partitions {
		found := &v.partitions[p]
		if found.rebuilt == found.announced || !v.opens(&v.findings, p) {
			continue
		}
		if err := v.announceOf(ctx, p); err != nil {
			return fmt.Errorf("bring the rebases of partition %d to kafka: %w", p, err)
		}
		conn := v.ownerOf[p].conn
		// If another vetting has rebuilt more of the partition meanwhile, the count is higher.
		if err := conn.Do(ctx, conn.B().Hset().Key(keysOf(p).meta).FieldValue().FieldValue(metaAnnounced, found.rebuilt).Build()).Error(); err != nil {
			return fmt.Errorf("note that the rebases of partition %d are in kafka: %w", p, err)
		}
	}
	return nil
}

func (v *vetting) announceOf(ctx context.Context, p int) error {
	conn := v.ownerOf[p].conn
	for start := "-"; ; {
		entries, err := entriesOf(p, conn.Do(ctx, conn.B().Xrange().Key(keysOf(p).outbox).Start(start).End("+").Count(announceEntries).Build()))
		if err != nil {
			return err
		}
		last := len(entries) < announceEntries
		if !last {
			start = "(" + entries[len(entries)-1].ID
		}
		entries = slices.DeleteFunc(entries, func(e stock.Entry) bool { return !hasRebase(e.Data) })
		if len(entries) > 0 {
			if err := v.cfg.Publish(ctx, entries); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

// hasRebase reports whether an entry has a rebase, or nobody can tell.
func hasRebase(data []byte) bool {
	b, err := event.Decode(data)
	return err != nil || slices.ContainsFunc(b.Events, func(e event.Event) bool { return e.Kind == event.KindRebase })
}
