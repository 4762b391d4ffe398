package stocktest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"sluice/core/stock"
)

// Concurrent runs several clients and sweepers that do random things to a few hot cells at once. It audits the cells
// afterwards: sums, limits, seqs without gaps, ways of reservations, and one effect for each key, even if several
// clients used it.
func Concurrent(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	const clients, rounds = 8, 60
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	h := newHarness(t, newFixture(t))
	cells := h.neighbours(3)
	for i, cell := range cells {
		h.loadCell(cell, int64(100+100*i), stock.Settings{Limit: int64(8 * i), Hold: 25 * time.Millisecond, ExtendMax: 15 * time.Millisecond})
	}
	other := newCell() // most likely in another partition
	h.loadCell(other, 50, stock.Settings{Limit: 5, Hold: 25 * time.Millisecond})
	cells = append(cells, other)

	faults := make([]error, clients)
	granted := make([]map[stock.ReservationID]bool, clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := client{
			harness: h,
			random:  rand.New(rand.NewPCG(seed, uint64(i))),
			cells:   cells,
			granted: map[stock.ReservationID]bool{},
		}
		granted[i] = c.granted
		wg.Go(func() { faults[i] = c.work(rounds) })
	}
	wg.Wait()
	for _, err := range faults {
		if err != nil {
			t.Fatal(err)
		}
	}

	h.waitUntil(h.now() + 25 + 15)
	once := map[stock.ReservationID]bool{}
	for _, ids := range granted {
		for id := range ids {
			if once[id] {
				t.Errorf("%v was granted twice", id)
			}
			once[id] = true
		}
	}
	for _, cell := range cells {
		h.expire(cell)
		if s := h.state(cell); s.Held != 0 {
			t.Errorf("%v: %d units are held after the last deadline", cell, s.Held)
		}
	}
	if len(once) < clients {
		t.Errorf("%d reservations: the test tests nothing", len(once))
	}
}

// client is one of several that share cells, users and keys.
type client struct {
	*harness
	random  *rand.Rand
	cells   []stock.Cell
	granted map[stock.ReservationID]bool
	seen    []stock.Reservation
}

func (c *client) work(rounds int) error {
	for range rounds {
		var err error
		switch n := c.random.IntN(10); {
		case n < 5 || len(c.seen) == 0:
			err = c.takeSome()
		case n < 9:
			err = c.settleOne()
		default:
			_, err = c.store.Expire(context.Background(), c.cells[0].Partition(c.store.Partitions()), 10)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeSome sends a vector of reserves or deducts for each of two cells in one call.
func (c *client) takeSome() error {
	var vectors []*stock.Vector
	for range 2 {
		op := []stock.Op{stock.OpReserve, stock.OpReserve, stock.OpDeduct}[c.random.IntN(3)]
		cell := c.cells[c.random.IntN(len(c.cells))]
		v := &stock.Vector{Op: op, Partition: cell.Partition(c.store.Partitions())}
		for range 1 + c.random.IntN(6) {
			key := fmt.Sprint(c.random.IntN(12))
			v.Requests = append(v.Requests, c.take(op, cell, 1+c.random.Int64N(9), key, 1+c.random.Int64N(3)))
		}
		vectors = append(vectors, v)
	}
	c.store.Do(context.Background(), vectors...)
	for _, v := range vectors {
		if v.Err != nil {
			return v.Err
		}
		if err := checkVector(v); err != nil {
			return err
		}
		for _, o := range v.Outcomes {
			if err := expected(o, stock.VerdictMismatch, stock.VerdictSoldOut, stock.VerdictLimitReached); err != nil {
				return err
			}
			if o.Verdict == stock.VerdictOK {
				c.granted[o.Reservation.ID] = true
			}
			if o.Reservation.State != stock.StateNone {
				c.seen = append(c.seen, o.Reservation)
			}
		}
	}
	return nil
}

// expected reports a verdict that is neither success nor one of some refusals.
func expected(o stock.Outcome, refusals ...stock.Verdict) error {
	if o.Verdict == stock.VerdictOK || o.Verdict == stock.VerdictReplayed || slices.Contains(refusals, o.Verdict) {
		return nil
	}
	return fmt.Errorf("unexpected verdict %v", o.Verdict)
}

// settleOne confirms, releases or extends a reservation that others may be settling too, or returns a unit of its SKU.
func (c *client) settleOne() error {
	r := c.seen[c.random.IntN(len(c.seen))]
	v := &stock.Vector{Op: stock.OpConfirm, Partition: r.ID.Partition(), Requests: []stock.Request{{ID: r.ID, Cell: r.Cell}}}
	switch c.random.IntN(5) {
	case 0, 1:
		v.Op = stock.OpRelease
	case 2:
		v.Op, v.Requests[0].DeadlineMS = stock.OpExtend, r.DeadlineMS+1+c.random.Int64N(30)
	case 3:
		v.Op, v.Requests[0] = stock.OpReturn, c.comesBack(r.Cell, r.User, fmt.Sprint(c.random.IntN(9)), 1)
	}
	c.store.Do(context.Background(), v)
	if v.Err != nil {
		return v.Err
	}
	if err := expected(v.Outcomes[0], stock.VerdictWrongState, stock.VerdictLimitReached); err != nil {
		return err
	}
	return checkVector(v)
}
