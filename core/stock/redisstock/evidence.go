package redisstock

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/rueidis"

	"sluice/core/stock"
)

const (
	// evidenceChunk is how many positions a vetting compares at once, and keeps in memory.
	evidenceChunk = 4096

	// worstMax is how many cells that are behind a report names.
	worstMax = 10
)

// checkEvidence checks that no cell in Redis is behind MySQL or Kafka, that no partition has lost a key, and that no cell
// has a fork. A cell with a fork went on from data that lacked an event; its later events hide what is missing.
func (v *vetting) checkEvidence(ctx context.Context) error {
	chunk := make([]Behind, 0, evidenceChunk)
	err := v.cfg.Evidence.Highest(ctx, func(cell stock.Cell, known stock.Position) error {
		chunk = append(chunk, Behind{Cell: cell, Known: known})
		if len(chunk) < evidenceChunk {
			return nil
		}
		err := v.compare(ctx, chunk)
		chunk = chunk[:0]
		return err
	})
	if err == nil {
		err = v.compare(ctx, chunk)
	}
	if err != nil {
		return fmt.Errorf("compare with evidence: %w", err)
	}
	if v.report.Behind > 0 {
		worst := make([]string, len(v.report.Worst))
		for i, b := range v.report.Worst {
			worst[i] = b.String()
		}
		partitions := slices.Sorted(maps.Keys(v.behind)) // name all: the worst cells may be in one partition
		v.partly = append(v.partly, fmt.Sprintf("%s: it has lost effects of %d cells, most of these: %s",
			stock.PartitionsText(partitions), v.report.Behind, strings.Join(worst, ", ")))
	}
	v.checkWhole()
	return v.checkForks(ctx)
}

// checkForks finds the cells with an unresolved fork. It objects to their partitions only, because the loss is an old one.
func (v *vetting) checkForks(ctx context.Context) error {
	forked := map[stock.Cell]bool{}
	partitions := map[int]bool{}
	var named []string
	err := v.cfg.Evidence.Forks(ctx, func(cell stock.Cell, position stock.Position) error {
		if forked[cell] {
			return nil
		}
		forked[cell] = true
		p := cell.Partition(v.cfg.Partitions)
		v.lost[p], partitions[p] = true, true
		if len(named) < worstMax {
			named = append(named, fmt.Sprintf("%v has two events at epoch %d seq %d", cell, position.Epoch, position.Seq))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("compare with evidence: %w", err)
	}
	if v.report.Forked = len(forked); v.report.Forked > 0 {
		v.partly = append(v.partly, fmt.Sprintf("%s: it has lost events of %d cells and gone on without them, among these: %s. Put the stock right, and then "+
			"say so of each fork: sluice deadletter list --reason fork, sluice deadletter resolve",
			stock.PartitionsText(slices.Sorted(maps.Keys(partitions))), v.report.Forked, strings.Join(named, ", ")))
	}
	return nil
}

// compare reads the cells of a chunk and notes those that are behind. It reads without scripts, because these are not
// loaded yet.
func (v *vetting) compare(ctx context.Context, chunk []Behind) error {
	byPartition := map[int][]int{}
	for i := range chunk {
		p := chunk[i].Cell.Partition(v.cfg.Partitions)
		byPartition[p] = append(byPartition[p], i)
	}
	for _, server := range v.primaries {
		var places [][]int
		var commands []rueidis.Completed
		for _, p := range server.partitions {
			indexes := byPartition[p]
			if len(indexes) == 0 {
				continue
			}
			fields := make([]string, len(indexes))
			for k, i := range indexes {
				fields[k] = string(chunk[i].Cell.Append(nil))
			}
			places = append(places, indexes)
			commands = append(commands, server.conn.B().Hmget().Key(keysOf(p).cells).Field(fields...).Build())
		}
		for c, answer := range server.conn.DoMulti(ctx, commands...) {
			if err := v.noteAll(chunk, places[c], answer); err != nil {
				return fmt.Errorf("%s: %w", server, err)
			}
		}
	}
	return nil
}

// noteAll notes the answer of one server about the cells at some places of a chunk.
func (v *vetting) noteAll(chunk []Behind, places []int, answer rueidis.RedisResult) error {
	values, err := answer.AsStrSlice()
	if err != nil {
		return err
	}
	for k, i := range places {
		state, err := cellFrom(chunk[i].Cell, values[k])
		if err != nil {
			return err
		}
		chunk[i].Redis = state.Position
		if state.Held > 0 {
			v.held[state.Cell.Partition(v.cfg.Partitions)] = true
		}
		v.note(chunk[i])
	}
	return nil
}

// note counts one comparison. A cell that the evidence yields twice counts twice, unless it is among the worst.
func (v *vetting) note(b Behind) {
	v.report.Positions++
	if !b.Redis.Less(b.Known) {
		return
	}
	p := b.Cell.Partition(v.cfg.Partitions)
	v.behind[p], v.lost[p] = true, true
	worst := v.report.Worst
	if at := slices.IndexFunc(worst, func(w Behind) bool { return w.Cell == b.Cell }); at >= 0 {
		if worst[at].Known.Less(b.Known) {
			worst[at] = b
		}
	} else {
		v.report.Behind++
		worst = append(worst, b)
	}
	slices.SortFunc(worst, func(a, b Behind) int { return cmp.Compare(b.lost(), a.lost()) })
	v.report.Worst = worst[:min(len(worst), worstMax)]
}

// lost returns how many effects are missing at least.
func (b Behind) lost() uint64 {
	if b.Redis.Epoch < b.Known.Epoch {
		return b.Known.Seq
	}
	return b.Known.Seq - b.Redis.Seq
}
