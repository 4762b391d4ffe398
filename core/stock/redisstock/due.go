package redisstock

import (
	"context"
	"strconv"

	"sluice/core/stock"
)

// dueMembers is what due.lua tells about a partition.
type dueMembers struct {
	timeMS, nextMS int64
	more           bool
	members        []string
}

// due reads the members of a partition that are due, with about limit reservations.
func (s *Store) due(ctx context.Context, partition, limit int) (dueMembers, error) {
	reply, err := s.eval(ctx, "due", partition, s.marks.of(partition), []string{s.shards[partition].due}, []string{strconv.Itoa(limit)}, 3)
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
