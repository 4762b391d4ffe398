package redisstock

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"

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

// SetState is what a partition knows of a set of users.
type SetState struct {
	Users int64
	Whole bool  // somebody has found that it has all of them, and it has lost none since
	Noted int64 // how many it had then
}

// LookAtUsers returns the state of each set. A set is whole by the marks that the caller trusts, by partition. Users is -1 for
// those that the error is about.
func (s *Store) LookAtUsers(ctx context.Context, sets []UserSet, trusted []stock.Mark) ([]SetState, error) {
	states, partitions := make([]SetState, len(sets)), make([]int, 0, 2*len(sets))
	for _, of := range sets {
		if err := s.checkPartition(of.Partition); err != nil {
			return nil, err
		}
		partitions = append(partitions, of.Partition, of.Partition)
	}
	var failed stock.PartitionErrors
	answers := s.askEach(ctx, partitions, func(i int) rueidis.Completed {
		of, k := sets[i/2], &s.partitions[partitions[i]]
		if i%2 == 0 {
			return s.client.B().Scard().Key(k.registered(of.Sale)).Build()
		}
		return s.client.B().Hget().Key(k.whole).Field(saleField(of.Sale)).Build()
	})
	for i, of := range sets {
		users, err := answers[2*i].AsInt64()
		var found stock.Mark // its effects are the users that the set had when it was found whole
		if err == nil {
			found, err = markOf(answers[2*i+1])
		}
		if err != nil {
			states[i].Users = -1
			failed.Add(of.Partition, wrap("look at users", err))
			continue
		}
		if states[i].Users = users; found.Nonce != 0 && found.Nonce == trusted[of.Partition].Nonce {
			states[i].Noted = int64(found.Effects)
			states[i].Whole = users >= states[i].Noted
		}
	}
	return states, failed.Err()
}

// Vouch notes that a set has all users, unless it has fewer than these. From then on the scripts refuse others with certainty,
// until a vetting gives the partition another nonce. trusted is the mark that the caller trusted before it asked MySQL how many
// users there are: if a vetting comes in between, others may have been registered before it, and lost with it. Vouch returns how
// many users the set has.
func (s *Store) Vouch(ctx context.Context, of UserSet, trusted stock.Mark, users int64) (there int64, err error) {
	k := keysOf(of.Partition)
	return s.keepBy(ctx, trusted, "vouch for users", s.upkeep.vouch, of.Partition, []string{k.registered(of.Sale), k.whole},
		saleField(of.Sale), strconv.FormatInt(users, 10))
}

// saleField is the field of a sale in the hash of whole sets.
func saleField(sale uint32) string { return string(binary.BigEndian.AppendUint32(nil, sale)) }

// CountUsers returns the number of users of each set. It is -1 for those that the error is about.
func (s *Store) CountUsers(ctx context.Context, sets []UserSet) ([]int64, error) {
	counts, partitions := make([]int64, len(sets)), make([]int, len(sets))
	for i, of := range sets {
		if err := s.checkPartition(of.Partition); err != nil {
			return nil, err
		}
		partitions[i] = of.Partition
	}
	var failed stock.PartitionErrors
	for i, answer := range s.askEach(ctx, partitions, func(i int) rueidis.Completed {
		return s.client.B().Scard().Key(s.partitions[partitions[i]].registered(sets[i].Sale)).Build()
	}) {
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

// ForgetUsers removes a set, and what is known of it. It reports whether there was one.
func (s *Store) ForgetUsers(ctx context.Context, of UserSet) (there bool, err error) {
	err = s.within(ctx, of.Partition, func(ctx context.Context, k *keys) error {
		answers := s.client.DoMulti(ctx, s.client.B().Hdel().Key(k.whole).Field(saleField(of.Sale)).Build(),
			s.client.B().Unlink().Key(k.registered(of.Sale)).Build())
		if err := firstError(answers); err != nil {
			return wrap("remove users", err)
		}
		n, err := answers[1].AsInt64()
		there = n > 0
		return err
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
