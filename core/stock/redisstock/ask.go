package redisstock

import (
	"context"
	"fmt"

	"github.com/redis/rueidis"
)

// answer is what came of a command about a partition.
type answer struct {
	rueidis.RedisResult

	err error // there is no result: its server has not answered in time
}

// askAll asks about every partition. The nodes of a cluster are asked apart: one that hangs, perhaps while the
// client connects to it, holds up no other.
func (s *Store) askAll(ctx context.Context, command func(k keys) rueidis.Completed) []answer {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CallTimeout)
	defer cancel()
	byNode := map[string][]int{}
	answers := make([]answer, len(s.shards))
	for p := range s.shards {
		addr, err := s.nodes.addr(ctx, s, p)
		if err != nil {
			answers[p].err = err
			continue
		}
		byNode[addr] = append(byNode[addr], p)
		answers[p].err = fmt.Errorf("ask redis %s: %w", addr, context.DeadlineExceeded)
	}
	type part struct {
		partitions []int
		answers    []rueidis.RedisResult
	}
	parts := make(chan part, len(byNode))
	for _, partitions := range byNode {
		commands := make([]rueidis.Completed, len(partitions))
		for i, p := range partitions {
			commands[i] = command(s.shards[p].keys)
		}
		go func() { parts <- part{partitions, s.client.DoMulti(ctx, commands...)} }()
	}
	for range byNode {
		select {
		case got := <-parts:
			for i, p := range got.partitions {
				answers[p] = answer{RedisResult: got.answers[i]}
			}
		case <-ctx.Done():
			return answers
		}
	}
	return answers
}
