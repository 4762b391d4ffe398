package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// RegisterAll adds users, at most RegisterMax, to sets, by one call to each server. It returns how many were new to each set, -1
// for those that the error is about. The error names their partitions. It writes only to data that were vetted, so to no Redis of
// another deployment.
func (s *Store) RegisterAll(ctx context.Context, sets []UserSet, users []int64) (added []int, err error) {
	if len(users) == 0 || len(users) > RegisterMax {
		return nil, fmt.Errorf("%w: %d users to register, want 1 to %d", stock.ErrProtocol, len(users), RegisterMax)
	}
	var failed stock.PartitionErrors
	sc, args := s.scripts["register"], members(users)
	commands, asked, partitions := make([]rueidis.Completed, 0, len(sets)), make([]int, 0, len(sets)), make([]int, 0, len(sets))
	added = make([]int, len(sets))
	for i, of := range sets {
		if err := s.checkPartition(of.Partition); err != nil {
			return nil, err
		}
		trusted := s.marks.of(of.Partition)
		if trusted.Nonce == 0 {
			added[i] = -1
			failed.Add(of.Partition, untrusted("register"))
			continue
		}
		key := s.partitions[of.Partition].registered(of.Sale)
		commands = append(commands, s.evalsha(sc, of.Partition, string(appendMark(nil, trusted)), []string{key}, args))
		asked, partitions = append(asked, i), append(partitions, of.Partition)
	}
	started := s.now()
	for i, answer := range s.askEach(ctx, partitions, func(i int) rueidis.Completed { return commands[i] }) {
		n, err := answer.AsIntSlice()
		switch {
		case err != nil:
			err = wrap("register", err)
		case len(n) != 1:
			err = wrapProtocol("register", elementsError(len(n)))
		default:
			added[asked[i]] = int(n[0])
		}
		if err != nil {
			added[asked[i]] = -1
			failed.Add(sets[asked[i]].Partition, err)
		}
		sc.called(s.now().Sub(started), err)
	}
	return added, failed.Err()
}
