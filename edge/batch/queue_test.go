package batch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sluice/core/stock"
)

// testQueue is a queue of vectors of 3 requests, with at most 2 extra runners and 10 requests that wait.
func testQueue() *queue {
	q := newQueue(Config{QueueMax: 10, InFlightMax: 3}, partitions, func() *group { return newGroup(3) })
	return &q
}

// request is a request of a partition.
func request(partition int) *stock.Request {
	r := &stock.Request{User: 1, Quantity: 1}
	r.ID[1] = byte(partition)
	return r
}

// sizes are how many requests groups have.
func sizes(groups []*group) string {
	var list []string
	for _, g := range groups {
		list = append(list, fmt.Sprint(len(g.vector.Requests)))
	}
	return strings.Join(list, " ")
}

var roleNames = [...]string{nobody: "nobody", base: "base", extra: "extra"}

// TestQueueSteps tells a queue what happens, and what it has to say. "join 2" is a request of partition 2, "adjust 2"
// an adjustment; "base", "base failed" and "extra" are runners that ask for their next call.
func TestQueueSteps(t *testing.T) {
	t.Parallel()
	type step struct{ input, output string }
	for name, steps := range map[string][]step{
		"the first request starts the base runner, and travels at once": {
			{"join 0", "base"}, {"base", "1"}, {"base", ""}, {"join 0", "base"},
		},
		"requests gather while its call is in flight": {
			{"join 0", "base"}, {"base", "1"}, {"join 0", "nobody"}, {"join 1", "nobody"}, {"join 0", "nobody"}, {"base", "2 1"}, {"base", ""},
		},
		"who comes after a group was sent opens another": {
			{"join 0", "base"}, {"join 0", "nobody"}, {"base", "2"}, {"join 0", "nobody"}, {"base", "1"},
		},
		"operations do not mix": {
			{"join 0", "base"}, {"base", "1"}, {"join 0", "nobody"}, {"release 0", "nobody"}, {"join 0", "nobody"}, {"base", "1 2"},
		},
		"a full group starts an extra runner, which leaves the others": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 1", "nobody"},
			{"join 0", "nobody"},
			{"join 0", "nobody"},
			{"join 0", "extra"},
			{"extra", "3"},
			{"extra", ""},
			{"base", "1"},
		},
		"no more extra runners than full groups": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 0", "nobody"},
			{"join 0", "nobody"},
			{"join 0", "extra"},
			{"join 0", "nobody"},
			{"join 0", "nobody"},
			{"join 0", "extra"},
			{"join 1", "nobody"},
			{"extra", "3"},
			{"extra", "3"},
			{"join 0", "nobody"},
			{"base", "1 1"},
		},
		"and no more than there may be": {
			{"join 0", "base"},
			{"base", "1"},
			{"adjust 0", "extra"},
			{"adjust 1", "extra"},
			{"adjust 2", "nobody"},
			{"extra", "1"},
			{"extra", "1"},
			{"extra", "1"},
			{"extra", ""},
			{"adjust 3", "nobody"},
			{"adjust 3", "extra"},
		},
		"adjustments travel alone": {
			{"join 0", "base"}, {"base", "1"}, {"adjust 0", "extra"}, {"adjust 0", "extra"}, {"extra", "1"}, {"extra", "1"}, {"extra", ""},
		},
		"a full queue refuses until something was sent": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 0", "nobody"},
			{"join 0", "nobody"},
			{"join 0", "extra"},
			{"join 1", "nobody"},
			{"join 1", "nobody"},
			{"join 1", "extra"},
			{"join 2", "nobody"},
			{"join 2", "nobody"},
			{"join 2", "nobody"},
			{"join 3", "nobody"},
			{"join 3", "full"},
			{"release 3", "nobody"},
			{"extra", "3"},
			{"join 3", "nobody"},
			{"base", "1 3 3 2"},
			{"extra", ""},
		},
		"a call has 8 vectors at most": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 0", "nobody"},
			{"join 1", "nobody"},
			{"join 2", "nobody"},
			{"join 3", "nobody"},
			{"release 0", "nobody"},
			{"release 1", "nobody"},
			{"release 2", "nobody"},
			{"release 3", "nobody"},
			{"deduct 0", "nobody"},
			{"base", "1 1 1 1 1 1 1 1"},
			{"base", "1"},
		},
		"settling goes first, and leaves one place to the taking": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 0", "nobody"},
			{"join 0", "nobody"},
			{"join 1", "nobody"},
			{"release 0", "nobody"},
			{"release 1", "nobody"},
			{"release 2", "nobody"},
			{"release 3", "nobody"},
			{"extend 0", "nobody"},
			{"extend 1", "nobody"},
			{"extend 2", "nobody"},
			{"extend 3", "nobody"},
			{"base", "1 1 1 1 1 1 1 2"},
			{"base", "1 1"},
		},
		"after one that failed all goes at once": {
			{"join 0", "base"},
			{"base", "1"},
			{"join 0", "nobody"},
			{"join 1", "nobody"},
			{"join 2", "nobody"},
			{"join 3", "nobody"},
			{"release 0", "nobody"},
			{"release 1", "nobody"},
			{"release 2", "nobody"},
			{"release 3", "nobody"},
			{"deduct 0", "nobody"},
			{"base failed", "1 1 1 1 1 1 1 1 1"},
			{"base", ""},
		},
		"who drains accepts nothing more, and sends what waits": {
			{"join 0", "base"}, {"join 1", "nobody"}, {"drain", ""}, {"join 0", "draining"}, {"base", "1 1"}, {"join 0", "draining"}, {"base", ""},
		},
	} {
		q := testQueue()
		for i, s := range steps {
			if got := tell(q, s.input); got != s.output {
				t.Errorf("%s: step %d, %s: %q, want %q", name, i, s.input, got, s.output)
			}
		}
	}
}

// tell does a step of a queue, and returns the queue's answer.
func tell(q *queue, input string) string {
	word, rest, _ := strings.Cut(input, " ")
	var partition int
	_, _ = fmt.Sscan(rest, &partition)
	op := map[string]stock.Op{
		"join": stock.OpReserve, "release": stock.OpRelease, "deduct": stock.OpDeduct, "adjust": stock.OpAdjust,
		"extend": stock.OpExtend,
	}
	switch word {
	case "drain":
		q.draining = true
		return ""
	case "base":
		return sizes(q.next(base, rest == "failed", nil))
	case "extra":
		return sizes(q.next(extra, false, nil))
	}
	switch err := q.admit(op[word]); {
	case errors.Is(err, ErrFull):
		return "full"
	case errors.Is(err, ErrDraining):
		return "draining"
	}
	_, start := q.join(op[word], request(partition))
	return roleNames[start]
}

// TestQueueLosesNothing lets requests come and runners end at any time. Each request is sent once, in the order of its
// partition and operation, and never waits without a runner.
func TestQueueLosesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 0))
		q := testQueue()
		var runners []role // that are in flight, each with a call or about to ask for its first
		var asked, sent [partitions][]int64
		for user := int64(1); user < 300 || len(runners) > 0; user++ {
			if user < 300 && dice.IntN(2) == 0 {
				r := request(dice.IntN(partitions))
				r.User = user
				err := q.admit(stock.OpReserve)
				if before := q.requests[taking]; (err != nil) != (before == 10) {
					t.Fatalf("seed %d: with %d that wait: %v", seed, before, err)
				}
				if err == nil {
					asked[r.ID.Partition()] = append(asked[r.ID.Partition()], user)
					if _, start := q.join(stock.OpReserve, r); start != nobody {
						runners = append(runners, start)
					}
				}
			}
			if len(runners) > 0 && (user >= 300 || dice.IntN(2) == 0) {
				i := dice.IntN(len(runners))
				groups := q.next(runners[i], dice.IntN(10) == 0, nil)
				if len(groups) == 0 {
					runners = slices.Delete(runners, i, i+1)
				}
				for _, g := range groups {
					for _, r := range g.vector.Requests {
						sent[g.vector.Partition] = append(sent[g.vector.Partition], r.User)
					}
				}
			}
			if got := slices.Index(runners, base) >= 0; len(q.waiting[taking]) > 0 && !got {
				t.Fatalf("seed %d: %d groups wait, and there is no base runner among %v", seed, len(q.waiting[taking]), runners)
			}
		}
		for p := range asked {
			if !slices.Equal(asked[p], sent[p]) {
				t.Fatalf("seed %d: partition %d was asked for %v, and sent %v", seed, p, asked[p], sent[p])
			}
		}
		if q.requests[taking] != 0 || q.full != 0 || q.extras != 0 || q.base || slices.ContainsFunc(q.open, func(g *group) bool { return g != nil }) {
			t.Fatalf("seed %d: at rest it is %+v", seed, q)
		}
	}
}
