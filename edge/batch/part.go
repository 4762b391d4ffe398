package batch

import (
	"fmt"
	"slices"

	"sluice/core/stock"
)

// DoPart decides requests of one partition that belong together, in one vector: the lines of a basket, or its decision. It
// returns as Do does. Lines that are taken are acknowledged, each at its cell's level; nobody waits for the end of others.
func (b *Batcher) DoPart(op stock.Op, requests []stock.Request) ([]Result, error) {
	replicate := false
	for i := range requests {
		replicate = replicate || op == stock.OpGather && b.replicating(&requests[i])
	}
	begun := op != stock.OpGather || requests[0].Part.Home == nil
	results, p, err := b.decidePart(op, requests, replicate, begun)
	missing := func(r Result) bool { return r.Verdict == stock.VerdictReplicaMissing }
	if err == nil && !replicate && slices.ContainsFunc(results, missing) {
		b.meter.replays.Inc() // the level of a cell was not known
		results, p, err = b.decidePart(op, requests, true, true)
	}
	if err == nil && op == stock.OpGather {
		err = b.acknowledgePart(requests, results, p)
	}
	return results, err
}

// decidePart queues the requests and waits for their verdicts.
func (b *Batcher) decidePart(op stock.Op, requests []stock.Request, replicate, again bool) ([]Result, proof, error) {
	tickets, err := b.enqueuePart(op, requests, replicate, again)
	if err != nil {
		return nil, proof{}, err
	}
	for _, t := range tickets {
		<-t.signal
	}
	g := tickets[0].group
	p, results := g.proof, make([]Result, len(requests))
	for i, t := range tickets {
		err = g.result(t.i, &results[i])
	}
	if g.left.Add(-int32(len(tickets))) == 0 {
		b.groups.Put(g)
	}
	return results, p, err
}

// acknowledgePart returns once each line is as safe as its cell's level demands.
func (b *Batcher) acknowledgePart(requests []stock.Request, results []Result, p proof) error {
	var replayed proof          // of a replay, which proves replicas only: its entry, if it has one, is of other requests
	var met [needProof + 1]bool // what a line waits for is its vector's or its partition's: once is enough for all lines
	for i := range results {
		res := &results[i]
		if res.Verdict.Refused() {
			continue
		}
		level, err := b.level(&res.Cell)
		if err != nil {
			return unproven(err)
		}
		missing := needOf(level, stock.OpGather, res.Verdict, p)
		if missing == needReplay {
			if !replayed.replicate {
				if replayed, err = b.replayPart(requests); err != nil {
					return unproven(err)
				}
			}
			missing = needOf(level, stock.OpGather, res.Verdict, replayed)
		}
		if met[missing] {
			continue
		}
		if err := b.meet(missing, requests[0].ID.Partition(), p); err != nil {
			return err
		}
		met[missing] = true
	}
	return nil
}

// replayPart is replay for a part.
func (b *Batcher) replayPart(requests []stock.Request) (proof, error) {
	b.meter.replays.Inc()
	again, p, err := b.decidePart(stock.OpGather, requests, true, true)
	if err != nil {
		return proof{}, err
	}
	for i := range again {
		if v := again[i].Verdict; v.Refused() {
			return proof{}, fmt.Errorf("the replay of a line was answered %v", v)
		}
	}
	return p, nil
}
