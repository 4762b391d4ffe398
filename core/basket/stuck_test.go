package basket

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
)

// partly is a store of which one partition does not answer.
type partly struct {
	Store

	silent int
}

func (p partly) Do(ctx context.Context, vectors ...*stock.Vector) {
	for _, v := range vectors {
		if v.Partition == p.silent {
			v.Err = stock.ErrNotApplied
			continue
		}
		p.Store.Do(ctx, v)
	}
}

// TestStuckBaskets has more baskets than one look decides wait for a partition that does not answer. A sweeper decides the one
// behind them.
func TestStuckBaskets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const stuck = 2*basketsMax + 1
		w := newWorld(t, stuck+1, stuck, 1)
		home, silent, other := w.cells[0], w.cells[1], w.cells[2]
		begin := func(b *stock.Basket) *stock.Basket {
			calls, err := New(b).Step(nil)
			if err != nil {
				t.Fatal(err)
			}
			w.ask(calls)
			w.nowMS++
			return b
		}
		for i := range stuck {
			begin(w.basket(fmt.Sprint(i), home, silent))
		}
		behind := begin(w.basket("behind", home, other))
		w.nowMS += UndecidedMax.Milliseconds()

		ctx, stop := context.WithCancel(t.Context())
		sweeper := Sweeper{Store: partly{w.store, silent.Partition(partitions)}, Publish: func(stock.Entry) {}}
		ended := make(chan error)
		go func() { ended <- sweeper.Run(ctx) }()
		time.Sleep(4 * (every + every/4))
		if state := w.state(behind); state != stock.BasketHeld {
			t.Errorf("the basket behind the others is %v", state)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
