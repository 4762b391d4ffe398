package redisstock

import (
	"context"
	"strconv"
)

// Forget removes the records of a partition's reservations whose retention has ended, at most about
// limit of them.
func (s *Store) Forget(ctx context.Context, partition, limit int) (int, error) {
	if err := s.checkPartition(partition); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	k := &s.shards[partition].keys
	reply, err := s.eval(ctx, "forget", partition, s.marks.of(partition), []string{k.res, k.gone}, []string{strconv.Itoa(limit)}, 1)
	if err != nil {
		return 0, err
	}
	forgotten, err := reply[0].ToInt64()
	if err != nil {
		return 0, wrapProtocol("forget", err)
	}
	return int(forgotten), nil
}
