package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// RegisterAll is Register for several sets, in one pipeline. The error names the partitions where it failed.
func (s *Store) RegisterAll(ctx context.Context, sets []UserSet, users []int64) error {
	if len(users) == 0 || len(users) > RegisterMax {
		return fmt.Errorf("%w: %d users to register, want 1 to %d", stock.ErrProtocol, len(users), RegisterMax)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	var failed stock.PartitionErrors
	sc, args := s.scripts["register"], members(users)
	commands, asked := make([]rueidis.Completed, 0, len(sets)), make([]UserSet, 0, len(sets))
	for _, of := range sets {
		if err := s.checkPartition(of.Partition); err != nil {
			return err
		}
		trusted := s.marks.of(of.Partition)
		if trusted.Nonce == 0 {
			failed.Add(of.Partition, untrusted("register"))
			continue
		}
		key := s.partitions[of.Partition].registered(of.Sale)
		commands = append(commands, s.evalsha(sc, of.Partition, string(appendMark(nil, trusted)), []string{key}, args))
		asked = append(asked, of)
	}
	if len(commands) == 0 {
		return failed.Err()
	}
	started := s.now()
	for i, answer := range s.client.DoMulti(ctx, commands...) {
		err := answer.Error()
		if err != nil {
			err = wrap("register", err)
			failed.Add(asked[i].Partition, err)
		}
		sc.called(s.now().Sub(started), err)
	}
	return failed.Err()
}
