package basket

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
)

const sale = 7

// loadSale makes a cell of plain stock and one of a sale for registered users, in different partitions, whose users may
// have been lost. If saleAtHome is true, the sale's partition is the home of a basket of both.
func (w *world) loadSale(saleAtHome bool, hold time.Duration, units int64) (saleCell stock.Cell) {
	w.Helper()
	plain := stock.Cell{SKU: 100}
	for saleCell = (stock.Cell{SKU: 1, Pool: sale}); saleCell.Partition(partitions) == plain.Partition(partitions); {
		saleCell.SKU++
	}
	if !saleAtHome {
		saleCell.SKU, plain.SKU = plain.SKU, saleCell.SKU
	}
	w.cells = []stock.Cell{plain, saleCell}
	for _, cell := range w.cells {
		w.adjust(cell, "load", stock.Adjustment{
			Create: true, Delta: units, Settings: stock.Settings{Hold: hold, RegisteredOnly: cell.Pool == sale},
		})
	}
	return saleCell
}

func (w *world) register(cell stock.Cell, user int64) {
	w.Helper()
	if _, err := w.store.Register(context.Background(), cell.Partition(partitions), cell.Pool, []int64{user}); err != nil {
		w.Fatal(err)
	}
}

// TestLostUsersDecideNoBasket loses the users of a sale, and brings one back. Whether the partition of the sale is the
// home or not, the same basket is held then.
func TestLostUsersDecideNoBasket(t *testing.T) {
	t.Parallel()
	for _, atHome := range []bool{true, false} {
		w := newWorld(t)
		cell := w.loadSale(atHome, time.Hour, 1)
		b := w.basket("a", w.cells...)
		for range 2 {
			result, err := Decide(b, w.ask, nil)
			notBegun := err == nil && result.State == stock.BasketNone && result.Refusal == stock.VerdictUsersMissing
			if atHome && !notBegun || !atHome && (!errors.Is(err, stock.ErrUnknown) || w.state(b) != stock.BasketBegun) {
				t.Errorf("sale at home %v: %+v, error %v, the basket is %v", atHome, result, err, w.state(b))
			}
		}
		w.register(cell, b.User)
		if got := w.decide(b); got.State != stock.BasketHeld || !slices.Equal(w.held(), []int64{1, 1}) {
			t.Errorf("sale at home %v: with the user %+v, held %v", atHome, got, w.held())
		}
	}
}

// TestMissingReplicaDecidesNoBasket has a line elsewhere that wants a replica, and none is there.
func TestMissingReplicaDecidesNoBasket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, 1)
	b := w.basket("a", w.cells...)
	away := b.Lines[1].Cell
	level := func(key string, ack stock.Ack) {
		w.adjust(away, key, stock.Adjustment{Fields: stock.FieldAck, Settings: stock.Settings{Ack: ack}})
	}
	level("replica", stock.AckReplica)
	if result, err := Decide(b, w.ask, nil); !errors.Is(err, stock.ErrUnknown) || w.state(b) != stock.BasketBegun {
		t.Errorf("without a replica %+v, error %v, the basket is %v", result, err, w.state(b))
	}
	level("redis", stock.AckRedis)
	if got := w.decide(b); got.State != stock.BasketHeld || !slices.Equal(w.held(), []int64{1, 1}) {
		t.Errorf("later %+v, held %v", got, w.held())
	}
}

// TestFinalRefusalComesFirst has a line that is refused for good, beside one whose verdict passes. The basket waits for
// nothing.
func TestFinalRefusalComesFirst(t *testing.T) {
	t.Parallel()
	for _, atHome := range []bool{true, false} {
		w := newWorld(t)
		w.loadSale(false, time.Hour, 1)
		soldOut := stock.Cell{SKU: 101}
		for p := w.basket("a", w.cells...).Parts()[0][0].Cell; soldOut.Partition(partitions) == w.cells[1].Partition(partitions) ||
			(soldOut.Partition(partitions) == p.Partition(partitions)) != atHome; {
			soldOut.SKU++
		}
		w.adjust(soldOut, "load", stock.Adjustment{Create: true, Settings: stock.Settings{Hold: time.Hour}})
		w.cells = append(w.cells, soldOut)
		got := w.decide(w.basket("a", w.cells...))
		if got.State != stock.BasketRefused || got.Refusal != stock.VerdictSoldOut || !slices.Equal(w.held(), []int64{0, 0, 0}) {
			t.Errorf("sold out at home %v: %+v, held %v", atHome, got, w.held())
		}
	}
}

// TestSweeperWaitsForLostUsers leaves two baskets whose users may have been lost. One user comes back. The other basket
// is begun while its line at home is held, and refused after that.
func TestSweeperWaitsForLostUsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const hold = time.Minute
		w := newSwept(t)
		cell := w.loadSale(false, hold, 2)
		lost := w.leave(w.basket("lost", w.cells...))
		back, err := stock.NewBasket(lost.User+1, "back", lost.Lines, partitions)
		if err != nil {
			t.Fatal(err)
		}
		w.leave(&back)
		counted := w.sweepers(t, 1)
		time.Sleep(hold - 2*lookMax)
		synctest.Wait()
		if states := w.states(lost, &back); !slices.Equal(states, []stock.BasketState{stock.BasketBegun, stock.BasketBegun}) {
			t.Errorf("while nobody is back: %v", states)
		}
		if counted.failures() == 0 {
			t.Error("no failures are counted")
		}
		w.register(cell, back.User)
		time.Sleep(lookMax)
		synctest.Wait()
		if states := w.states(lost, &back); !slices.Equal(states, []stock.BasketState{stock.BasketBegun, stock.BasketHeld}) {
			t.Errorf("with one user back: %v", states)
		}
		time.Sleep(2 * lookMax)
		synctest.Wait()
		if state := w.state(lost); state != stock.BasketRefused {
			t.Errorf("after the hold of the line at home the basket is %v", state)
		}
	})
}
