package batch

import (
	"fmt"
	"sync/atomic"
	"time"

	"sluice/core/stock"
)

// group has the requests that travel as one vector. Each caller waits for its signal and then reads its own result.
// The last reader gives the group back to the pool.
type group struct {
	vector  stock.Vector
	max     int // so many requests fit; only a part that has more travels alone
	full    bool
	since   time.Time // when the first request came
	found   int64     // requests that take units, itself among them, when it came
	left    atomic.Int32
	signals []chan struct{} // one slot for each request, made once; see BenchmarkWake
	proof   proof
}

// proof says how far a vector's call has proven that its effects are safe.
type proof struct {
	replicate  bool        // the call waited for a replica
	replicated bool        // a replica has the effects
	noReplica  bool        // there was no replica to wait for
	delivery   *completion // the delivery of the entry to Kafka; nil if nobody waits for it
	mark       stock.Mark
}

func newGroup(vectorMax int) *group {
	return &group{max: vectorMax, vector: stock.Vector{Requests: make([]stock.Request, 0, vectorMax)}}
}

// open readies a new or used group for its first request.
func (g *group) open(op stock.Op, partition int) {
	g.vector = stock.Vector{
		Op:        op,
		Partition: partition,
		Requests:  g.vector.Requests[:0:g.max],
		Outcomes:  g.vector.Outcomes[:0],
		Cells:     g.vector.Cells[:0],
	}
	g.full = false
	g.proof = proof{}
}

// add puts a request into the group.
func (g *group) add(r *stock.Request) ticket {
	i := len(g.vector.Requests)
	g.vector.Requests = append(g.vector.Requests, *r)
	if i == len(g.signals) {
		g.signals = append(g.signals, make(chan struct{}, 1))
	}
	return ticket{group: g, i: i, signal: g.signals[i]}
}

// ticket is a request's place in a group.
type ticket struct {
	group  *group
	i      int
	signal <-chan struct{}
}

// answer wakes all callers. From then on the group belongs to them.
func (g *group) answer() {
	n := len(g.vector.Requests)
	g.left.Store(int32(n))
	for _, signal := range g.signals[:n] {
		signal <- struct{}{}
	}
}

// result copies the answer to request i.
func (g *group) result(i int, res *Result) error {
	v := &g.vector
	if v.Err != nil {
		return v.Err
	}
	res.Outcome = v.Outcomes[i]
	res.TimeMS = v.TimeMS
	cell := v.Requests[i].Cell
	if res.Reservation.State != stock.StateNone {
		cell = res.Reservation.Cell
	}
	res.Cell = findCell(v.Cells, cell, i)
	return nil
}

// findCell finds the state of the cell of request i. Stores mostly list cells in the order in which requests first name
// them, so it starts at the place that the cell has in this order. For one hot cell, or if all cells differ, that takes
// one step.
func findCell(states []stock.CellState, cell stock.Cell, i int) stock.CellState {
	start := min(i, len(states)-1)
	for at := start; at >= 0; at-- {
		if states[at].Cell == cell {
			return states[at]
		}
	}
	for at := start + 1; at < len(states); at++ {
		if states[at].Cell == cell {
			return states[at]
		}
	}
	return stock.CellState{Cell: cell}
}

// check makes an error of an answer that does not fit the question.
func check(v *stock.Vector) {
	if v.Err == nil && len(v.Outcomes) != len(v.Requests) {
		v.Err = fmt.Errorf("%w: %d outcomes of %d requests", stock.ErrProtocol, len(v.Outcomes), len(v.Requests))
	}
}
