package redisstock

import (
	"context"
	"encoding/binary"
	"errors"
	"strconv"

	"sluice/core/stock"
)

const (
	poolBytes = 4 // before the reservations of a member of due

	// expireMax is about how many reservations one call of expire.lua looks at: enough to share the cost of the call, and
	// few enough not to delay other calls for long.
	expireMax = 256

	// sweepMax is the most reservations of one sweep, whose members are kept in memory.
	sweepMax = 4096
)

var errMember = errors.New("member of an unknown form")

// Expire gives back the units of due reservations of a partition, at most about limit of them. Reservations of shut
// cells stay due. Expire looks at them again a second later, so that they do not stand in the way of others. If it
// fails, the sweep has the result up to the error.
func (s *Store) Expire(ctx context.Context, partition, limit int) (sweep stock.Sweep, err error) {
	err = s.within(ctx, partition, func(ctx context.Context, _ *keys) error {
		due, err := s.due(ctx, partition, min(limit, sweepMax))
		if err != nil {
			return err
		}
		sweep = stock.Sweep{More: due.more, NextMS: due.nextMS, TimeMS: due.timeMS}
		for members := due.members; len(members) > 0; {
			n, reservations := 0, 0
			for n < len(members) && (n == 0 || reservations < expireMax) {
				reservations += (len(members[n]) - poolBytes) / stock.ReservationBytes
				n++
			}
			if err := s.expire(ctx, partition, members[:n], &sweep); err != nil {
				return err
			}
			members = members[n:]
		}
		return nil
	})
	return sweep, err
}

// expire calls expire.lua with members of due.
func (s *Store) expire(ctx context.Context, partition int, members []string, sweep *stock.Sweep) error {
	p := &s.partitions[partition]
	keys := []string{p.cells, p.res, p.gone, p.outbox, p.due}
	var pools []byte
	known := map[uint32]bool{}
	for _, member := range members {
		pool := binary.BigEndian.Uint32(bytesOf(member))
		if !known[pool] {
			known[pool] = true
			pools = binary.BigEndian.AppendUint32(pools, pool)
			keys = append(keys, p.buyers(pool))
		}
	}
	args := append([]string{
		p.head, s.retentionMS, string(pools), strconv.FormatInt(stock.ExpiryPostponed.Milliseconds(), 10),
	}, members...)
	trusted := s.marks.of(partition)
	reply, err := s.eval(ctx, "expire", partition, trusted, keys, args, 5)
	if err != nil {
		return err
	}
	expired, err := reply[1].ToInt64()
	if err != nil {
		return wrapProtocol("expire", err)
	}
	id, err := reply[2].ToString()
	if err != nil {
		return wrapProtocol("expire", err)
	}
	entry, err := reply[3].ToString()
	if err != nil {
		return wrapProtocol("expire", err)
	}
	effects, err := reply[4].ToInt64()
	if err != nil {
		return wrapProtocol("expire", err)
	}
	s.marks.saw(partition, stock.Mark{Nonce: trusted.Nonce, Effects: uint64(effects)})
	sweep.Expired += int(expired)
	if id != "" {
		sweep.Entries = append(sweep.Entries, stock.Entry{Partition: partition, ID: id, Data: bytesOf(entry)})
	}
	return nil
}

// dueMembers is the answer of due.lua about a partition.
type dueMembers struct {
	timeMS, nextMS int64
	more           bool
	members        []string
}

// due reads the members of a partition that are due, with about limit reservations.
func (s *Store) due(ctx context.Context, partition, limit int) (dueMembers, error) {
	reply, err := s.eval(ctx, "due", partition, s.marks.of(partition), []string{s.partitions[partition].due}, []string{strconv.Itoa(limit)}, 3)
	if err != nil {
		return dueMembers{}, err
	}
	var numbers [3]int64
	for i := range numbers {
		if numbers[i], err = reply[i].ToInt64(); err != nil {
			return dueMembers{}, wrapProtocol("due", err)
		}
	}
	found := dueMembers{timeMS: numbers[0], nextMS: numbers[1], more: numbers[2] == 1}
	for i := 3; i < len(reply); i++ {
		member, err := reply[i].ToString()
		if err != nil {
			return dueMembers{}, wrapProtocol("due", err)
		}
		if len(member) <= poolBytes || (len(member)-poolBytes)%stock.ReservationBytes != 0 {
			return dueMembers{}, wrapProtocol("due", errMember)
		}
		found.members = append(found.members, member)
	}
	return found, nil
}

// Forget removes the records of a partition's reservations whose retention has ended, at most about
// limit of them.
func (s *Store) Forget(ctx context.Context, partition, limit int) (int, error) {
	var forgotten int64
	err := s.within(ctx, partition, func(ctx context.Context, k *keys) error {
		reply, err := s.eval(ctx, "forget", partition, s.marks.of(partition), []string{k.res, k.gone, k.baskets}, []string{strconv.Itoa(limit)}, 1)
		if err != nil {
			return err
		}
		if forgotten, err = reply[0].ToInt64(); err != nil {
			return wrapProtocol("forget", err)
		}
		return nil
	})
	return int(forgotten), err
}
