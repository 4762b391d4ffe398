package redisstock

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

// RegisterMax is how many users one call registers.
const RegisterMax = 1000

// userBytes are those of a member of a set of users.
const userBytes = 8

// UserSet names the users who are registered for a sale in a partition. Each partition with a cell of the sale has all of
// them, because a script looks into its own partition only.
type UserSet struct {
	Partition int
	Sale      uint32
}

// Register adds users, at most RegisterMax, to those who may take from a sale's cells of a partition, and returns how many
// are new. It writes only to data that were vetted, so that nobody adds users to a server that has lost others.
func (s *Store) Register(ctx context.Context, partition int, sale uint32, users []int64) (added int, err error) {
	if len(users) == 0 || len(users) > RegisterMax {
		return 0, fmt.Errorf("%w: %d users to register, want 1 to %d", stock.ErrProtocol, len(users), RegisterMax)
	}
	err = s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		reply, err := s.eval(ctx, "register", partition, s.marks.of(partition), []string{k.registered(sale)}, members(users), 1)
		if err != nil {
			return err
		}
		n, err := reply[0].ToInt64()
		if err != nil {
			return wrapProtocol("register", err)
		}
		added = int(n)
		return nil
	})
	return added, err
}

// RestoreUsers adds users as Register does, also on a server that is shut: a vetting brings them back before it opens one. One
// call is one step of Redis, so nobody sees a part of it.
func (s *Store) RestoreUsers(ctx context.Context, of UserSet, users []int64) error {
	return s.within(ctx, of.Partition, func(ctx context.Context, k *keys) error {
		err := s.client.Do(ctx, s.client.B().Sadd().Key(k.registered(of.Sale)).Member(members(users)...).Build()).Error()
		if err != nil {
			return wrap("bring users back", err)
		}
		return nil
	})
}

// MissingUsers returns those of some users who are not in a set, in their order.
func (s *Store) MissingUsers(ctx context.Context, of UserSet, users []int64) (missing []int64, err error) {
	if err := s.checkPartition(of.Partition); err != nil {
		return nil, err
	}
	key := s.partitions[of.Partition].registered(of.Sale)
	for some := range slices.Chunk(users, fieldsAtOnce) {
		there, err := again(ctx, func() ([]int64, error) {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
			defer cancel()
			there, err := s.client.Do(ctx, s.client.B().Smismember().Key(key).Member(members(some)...).Build()).AsIntSlice()
			if err != nil {
				return nil, wrap("look for users", err)
			}
			if len(there) != len(some) {
				return nil, wrapProtocol("look for users", elementsError(len(there)))
			}
			return there, nil
		})
		if err != nil {
			return nil, err
		}
		for i, user := range some {
			if there[i] == 0 {
				missing = append(missing, user)
			}
		}
	}
	return missing, nil
}

// CountUsers returns the number of users of each set. It is -1 for those that the error is about.
func (s *Store) CountUsers(ctx context.Context, sets []UserSet) ([]int64, error) {
	counts, commands := make([]int64, len(sets)), make([]rueidis.Completed, len(sets))
	for i, of := range sets {
		if err := s.checkPartition(of.Partition); err != nil {
			return nil, err
		}
		commands[i] = s.client.B().Scard().Key(s.partitions[of.Partition].registered(of.Sale)).Build()
	}
	if len(sets) == 0 {
		return counts, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	var failed stock.PartitionErrors
	for i, answer := range s.client.DoMulti(ctx, commands...) {
		n, err := answer.AsInt64()
		if err != nil {
			n = -1
			failed.Add(sets[i].Partition, wrap("count users", err))
		}
		counts[i] = n
	}
	return counts, failed.Err()
}

// ScanUsers yields every user that a set has during the whole scan, some perhaps more than once.
func (s *Store) ScanUsers(ctx context.Context, of UserSet, yield func(user int64) error) error {
	if err := s.checkPartition(of.Partition); err != nil {
		return err
	}
	key := s.partitions[of.Partition].registered(of.Sale)
	for cursor := uint64(0); ; {
		step, err := again(ctx, func() (rueidis.ScanEntry, error) {
			ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
			defer cancel()
			step, err := s.client.Do(ctx, s.client.B().Sscan().Key(key).Cursor(cursor).Count(scanCount).Build()).AsScanEntry()
			if err != nil {
				return step, wrap("scan "+key, err)
			}
			return step, nil
		})
		if err != nil {
			return err
		}
		for _, member := range step.Elements {
			if len(member) != userBytes {
				return fieldError(key, member)
			}
			if err := yield(int64(binary.BigEndian.Uint64(bytesOf(member)))); err != nil {
				return err
			}
		}
		if cursor = step.Cursor; cursor == 0 {
			return nil
		}
	}
}

// ForgetUsers removes a set, and reports whether there was one.
func (s *Store) ForgetUsers(ctx context.Context, of UserSet) (there bool, err error) {
	err = s.within(ctx, of.Partition, func(ctx context.Context, k *keys) error {
		n, err := s.client.Do(ctx, s.client.B().Unlink().Key(k.registered(of.Sale)).Build()).AsInt64()
		if err != nil {
			return wrap("remove users", err)
		}
		there = n > 0
		return nil
	})
	return there, err
}

// members are users as a set has them. One array has the bytes of all of them.
func members(users []int64) []string {
	b, list := make([]byte, 0, userBytes*len(users)), make([]string, len(users))
	for _, user := range users {
		b = binary.BigEndian.AppendUint64(b, uint64(user))
	}
	all := text(b)
	for i := range list {
		list[i] = all[userBytes*i : userBytes*(i+1)]
	}
	return list
}
