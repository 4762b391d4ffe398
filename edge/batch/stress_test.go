package batch

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sluice/core/stock"
)

// Many goroutines send requests, repeat some, and meet a store and a publisher that fail in all the
// ways they can. Whatever they are answered must be what the store did.
func TestAnswersAreWhatTheStoreDid(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	st := newStage(t, Config{})
	var mu sync.Mutex
	faults := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return faults.IntN(n) == 0
	}
	st.store.before = func(_ int, vectors []*stock.Vector) {
		for _, v := range vectors {
			if chance(40) {
				v.Err = fmt.Errorf("call: %w", stock.ErrNotApplied)
			}
			if chance(40) {
				v.Err = fmt.Errorf("call: %w", stock.ErrShut)
			}
			if chance(200) {
				panic("boom")
			}
		}
	}
	st.store.after = func(vectors []*stock.Vector) {
		for _, v := range vectors {
			v.Replicated = v.Replicate && !chance(10)
			if chance(40) {
				v.Err = fmt.Errorf("call: %w", stock.ErrUnknown)
			}
			if chance(200) {
				panic("boom")
			}
		}
	}
	st.pub.answer = func(stock.Entry) error {
		if chance(10) {
			return errKafka
		}
		return nil
	}
	st.start(Config{QueueMax: 60, VectorMax: 8, LogTimeout: 100 * time.Millisecond})

	const units = 400
	levels := []stock.Ack{stock.AckDefault, stock.AckReplica, stock.AckLog}
	var cells []stock.Cell
	for p := range partitions {
		for i, cell := range skus(p, len(levels)) {
			st.load(cell, units, stock.Settings{Ack: levels[i], Limit: 3})
			cells = append(cells, cell)
		}
	}

	type history struct {
		request *stock.Request
		kinds   map[string]int
		state   stock.State // that the last answer told
	}
	var wg sync.WaitGroup
	all := make([][]*history, 32)
	for worker := range all {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(1+worker)))
			var mine []*history
			for i := range 200 {
				var h *history
				op := stock.OpReserve
				if len(mine) > 0 && r.IntN(3) > 0 {
					h = mine[r.IntN(len(mine))]
					op = []stock.Op{stock.OpReserve, stock.OpConfirm, stock.OpRelease}[r.IntN(3)]
				} else {
					cell := cells[r.IntN(len(cells))]
					h = &history{take(cell, int64(1+worker), fmt.Sprint(i)), map[string]int{}, stock.StateNone}
					mine = append(mine, h)
				}
				a := st.do(op, h.request)
				h.kinds[op.String()+" "+a.kind()]++
				if a.err == nil && a.Verdict <= stock.VerdictReplayed {
					h.state = a.Reservation.State
				}
			}
			all[worker] = mine
		})
	}
	wg.Wait()

	held := map[stock.Cell]int64{}
	sold := map[stock.Cell]int64{}
	answered := map[string]int{}
	for _, mine := range all {
		for _, h := range mine {
			found, _, err := st.store.Reservations(t.Context(), []stock.ReservationID{h.request.ID})
			if err != nil {
				t.Fatal(err)
			}
			state := found[0].State
			switch state {
			case stock.StateHeld:
				held[h.request.Cell]++
			case stock.StateConfirmed:
				sold[h.request.Cell]++
			}
			for kind, n := range h.kinds {
				answered[kind] += n
			}
			if h.kinds["reserve ok"] > 1 {
				t.Errorf("accepted %d times: %v", h.kinds["reserve ok"], h.kinds)
			}
			if h.kinds["reserve ok"]+h.kinds["reserve replayed"] > 0 && state == stock.StateNone {
				t.Errorf("acknowledged, but there is no reservation: %v", h.kinds)
			}
			unknown := h.kinds["confirm "+errorOf(stock.ErrUnknown)] + h.kinds["release "+errorOf(stock.ErrUnknown)]
			if h.state != stock.StateNone && h.state != state && unknown == 0 {
				t.Errorf("last told %v, the store has %v: %v", h.state, state, h.kinds)
			}
		}
	}
	for _, cell := range cells {
		s := st.cell(cell)
		if s.Held != held[cell] || s.Sold != sold[cell] || s.Avail != units-s.Held-s.Sold {
			t.Errorf("%v has %+v, its reservations say held %d, sold %d", cell, s.Balances, held[cell], sold[cell])
		}
	}
	for _, kind := range []string{
		"reserve ok", "reserve replayed", "confirm ok", "release ok", "reserve " + errorOf(stock.ErrUnknown),
		"reserve " + errorOf(stock.ErrShut), "reserve " + errorOf(stock.ErrNotApplied),
	} {
		if answered[kind] == 0 {
			t.Errorf("nothing was answered %q: the test did not reach it (%v)", kind, answered)
		}
	}
}
