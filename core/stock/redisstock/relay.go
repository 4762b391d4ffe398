package redisstock

import (
	"context"
	"strconv"
	"time"

	"sluice/core/stock"
)

// RelayAfter is OutboxAfter, but only for data that the store trusts. A relay publishes what it reads, and must not publish
// the outbox of another deployment, or of another history of this one.
func (s *Store) RelayAfter(ctx context.Context, partition int, after string, limit int) (entries []stock.Entry, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, _ *keys) error {
		answers, err := s.onTrusted(ctx, "read outbox", partition, s.readOutbox(partition, after, limit))
		if err == nil {
			entries, err = entriesOf(partition, answers[0])
		}
		return err
	})
	return entries, err
}

// RelayLease takes or renews the right to relay a partition's outbox for a while. It returns false while another owner has
// the right. A lease saves work and is no lock: relaying twice is harmless.
func (s *Store) RelayLease(ctx context.Context, partition int, owner string, ttl time.Duration) (bool, error) {
	taken, err := s.keep(ctx, "take relay lease", s.upkeep.lease, partition, []string{keysOf(partition).relay},
		owner, strconv.FormatInt(ttl.Milliseconds(), 10))
	return taken == 1, err
}

// RelayMark returns the id of the last outbox entry of a partition that a relay has published, or an empty id, and how
// often this mark was reset.
func (s *Store) RelayMark(ctx context.Context, partition int) (id string, resets int64, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		answers, err := s.onTrusted(ctx, "read relay mark", partition,
			s.client.B().Hmget().Key(k.meta).Field(metaRelayed, metaRelayResets).Build())
		if err != nil {
			return err
		}
		fields, err := answers[0].ToArray()
		if err != nil {
			return wrap("read relay mark", err)
		}
		if !fields[0].IsNil() {
			id, err = fields[0].ToString()
		}
		if err == nil && !fields[1].IsNil() {
			resets, err = fields[1].AsInt64()
		}
		if err != nil {
			return wrapProtocol("relay mark", err)
		}
		return nil
	})
	return id, resets, err
}

// SetRelayMark notes the last entry of a partition that a relay has published.
func (s *Store) SetRelayMark(ctx context.Context, partition int, id string) error {
	_, err := s.keep(ctx, "set relay mark", s.upkeep.relayed, partition, []string{keysOf(partition).meta}, id)
	return err
}

// ResetRelayMark empties a partition's relay mark, so that relays publish everything again. It returns how often the mark
// was reset.
func (s *Store) ResetRelayMark(ctx context.Context, partition int) (resets int64, err error) {
	return s.keep(ctx, "reset relay mark", s.upkeep.unrelayed, partition, []string{keysOf(partition).meta})
}
