package stock_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/stock"
	"sluice/core/client"
	"sluice/core/shard"
)

// edge is one with cells in memory. It may lose answers, or refuse.
type edge struct {
	mu    sync.Mutex
	cells map[int64]client.Cell
	done  map[string]int64 // what was done under a key
	calls int
	loses int  // so many answers, after the effect
	shut  bool // the cells
}

var errLost = &client.UnknownError{Key: "k", Cause: errors.New("the answer is lost")}

func (e *edge) change(sku, delta int64, key string, makes bool) (client.Cell, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	c, there := e.cells[sku]
	if was, is := e.done[fmt.Sprint(sku, key, makes)]; is {
		if was != delta {
			return c, &client.Problem{Code: client.CodeMismatch}
		}
		return c, e.lose()
	}
	switch {
	case e.shut:
		return c, &client.Problem{Code: client.CodeFenced}
	case makes && there:
		return c, &client.Problem{Code: client.CodeWrongState}
	case !makes && !there:
		return c, &client.Problem{Code: client.CodeNotLoaded}
	case c.Avail+delta < 0:
		return c, &client.Problem{Code: client.CodeSoldOut}
	}
	c.Avail, c.Total = c.Avail+delta, c.Total+delta
	e.cells[sku], e.done[fmt.Sprint(sku, key, makes)] = c, delta
	return c, e.lose()
}

func (e *edge) lose() error {
	if e.loses > 0 {
		e.loses--
		return errLost
	}
	return nil
}

// LoadSKU implements stock.Edge.
func (e *edge) LoadSKU(_ context.Context, l client.Load) (client.Cell, error) {
	return e.change(l.SKU, l.Quantity, l.Key, true)
}

// AdjustSKU implements stock.Edge.
func (e *edge) AdjustSKU(_ context.Context, a client.Adjustment) (client.Cell, error) {
	return e.change(a.SKU, a.Delta, a.Key, false)
}

// ShowSKU implements stock.Edge.
func (e *edge) ShowSKU(_ context.Context, sku int64, _ uint32) (client.Cell, error) {
	return e.cell(sku), nil
}

// Stocks implements stock.Edge.
func (e *edge) Stocks(_ context.Context, skus []int64, _ uint32) (all []client.Stock, err error) {
	for _, sku := range skus {
		if c := e.cell(sku); c.Total > 0 {
			all = append(all, client.Stock{SKU: sku, Avail: c.Avail})
		}
	}
	return all, nil
}

func (e *edge) cell(sku int64) client.Cell {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cells[sku]
}

// sell moves units of a cell from avail to sold.
func (e *edge) sell(sku, n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.cells[sku]
	c.Avail, c.Sold = c.Avail-n, c.Sold+n
	e.cells[sku] = c
}

func (e *edge) set(do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	do()
}

// TestCellsHaveTheSum: a cell gets what came in, once, although answers are lost and the edge refuses for a while, and what is shipped stays
// in it as sold.
func TestCellsHaveTheSum(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 0, 1)
	line := func(kind stock.Kind, n int64) stock.DocumentLine {
		return stock.DocumentLine{SKU: sku, Kind: kind, Quantity: n}
	}
	has := func(total int64) {
		t.Helper()
		s.work(func() bool { return s.edge.cell(sku).Total == total && s.show(sku).Given == total })
	}
	s.edge.set(func() { s.edge.loses = 3 })
	s.tell(doc("in", w, 1, line(stock.KindReceived, 50)))
	has(50)
	s.edge.set(func() { s.edge.loses = 3 })
	s.tell(doc("in2", w, 2, line(stock.KindReceived, 5)))
	has(55)
	s.edge.sell(sku, 20)
	s.tell(doc("out", w, 3, line(stock.KindShipped, 20)))
	s.tell(doc("count", w, 4, line(stock.KindCounted, 33))) // two are missing
	has(53)
	s.edge.set(func() { s.edge.shut = true })
	s.tell(doc("in3", w, 5, line(stock.KindReceived, 7)))
	calls := func() (n int) { s.edge.set(func() { n = s.edge.calls }); return n }
	before := calls()
	s.work(func() bool { return calls() > before+2 })
	s.edge.set(func() { s.edge.shut = false })
	has(60)
	if c := s.edge.cell(sku); c.Avail != 40 || s.onHand(sku) != 40 {
		t.Errorf("%+v are free, and %d are there", c, s.onHand(sku))
	}
}

// TestProcessesGiveOnce: however many processes are at a cell at once, it gets what came in, and no more.
func TestProcessesGiveOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 0, 3)
	s.edge.set(func() { s.edge.loses = 5 })
	var tells errgroup.Group
	for i := range 12 {
		tells.Go(func() error {
			_, err := s.Tell(t.Context(), s.by(), sel, doc(fmt.Sprint("d", i), w, int64(i+1), stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 1}))
			return err
		})
	}
	var workers sync.WaitGroup
	for range 3 {
		workers.Go(func() { s.work(func() bool { return s.show(sku).Given == 12 }) })
	}
	if err := tells.Wait(); err != nil {
		t.Error(err)
	}
	workers.Wait()
	if c := s.edge.cell(sku); c.Total != 12 {
		t.Errorf("the cell has got %d", c.Total)
	}
}

// TestSurplusIsTakenAsItGetsFree: what the cell has too many and is held or sold stays, as short, and is taken later.
func TestSurplusIsTakenAsItGetsFree(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 0, 2)
	s.tell(doc("in", w, 1, stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 10}))
	s.work(func() bool { return s.show(sku).Given == 10 })
	s.edge.sell(sku, 8)
	s.tell(doc("lost", w, 2, stock.DocumentLine{SKU: sku, Kind: stock.KindCorrected, Quantity: -5}))
	s.work(func() bool { is := s.show(sku); return is.Given == 8 && is.Short == 3 })
	if err := s.Look(t.Context()); err != nil {
		t.Error(err)
	}
	s.edge.sell(sku, -2) // two came back
	s.everywhere("UPDATE stock_tasks__ SET due_at = NOW(3)")
	s.work(func() bool { is := s.show(sku); return is.Given == 6 && is.Short == 1 })
	s.tell(doc("more", w, 3, stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 4}))
	s.work(func() bool { is := s.show(sku); return is.Given == 9 && is.Short == 0 })
}

// TestLateStepsComeAlone: a step that takes units, and whose answer is lost, may still be on its way. Nobody asks for the cell until it cannot
// come any more: it could come after the step that took its place, and take units twice.
func TestLateStepsComeAlone(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	w, sku := s.warehouse("erp-1"), skuIn(t, 0, 4)
	s.tell(doc("in", w, 1, stock.DocumentLine{SKU: sku, Kind: stock.KindReceived, Quantity: 10}))
	s.work(func() bool { return s.show(sku).Given == 10 })
	calls := func() (n int) { s.edge.set(func() { n = s.edge.calls }); return n }
	before := calls()
	s.edge.set(func() { s.edge.loses = 1 })
	s.tell(doc("lost", w, 2, stock.DocumentLine{SKU: sku, Kind: stock.KindCorrected, Quantity: -5}))
	s.work(func() bool { return calls() > before })
	tried := s.attempts()
	s.everywhere("UPDATE stock_tasks__ SET due_at = NOW(3)")
	s.work(func() bool { return s.attempts() != tried })
	if n := calls(); n != before+1 {
		t.Errorf("the edge was asked %d times for a step whose answer is lost", n-before)
	}
	s.everywhere("UPDATE stock_skus__ SET given_until = NOW(3)") // it cannot come any more
	s.everywhere("UPDATE stock_tasks__ SET due_at = NOW(3)")
	s.work(func() bool { return s.show(sku).Given == 5 && s.edge.cell(sku).Total == 5 })
}

// attempts says how often the tasks were tried, and until when they wait.
func (s *shop) attempts() (all string) {
	s.t.Helper()
	for _, p := range s.databases.All(shard.Products) {
		var here string
		if err := p.In(p.Writer()).QueryRowContext(s.t.Context(), "SELECT COALESCE(GROUP_CONCAT(attempts, ' ', due_at, ' ', claim ORDER BY id), '') FROM stock_tasks__").Scan(&here); err != nil {
			s.t.Fatal(err)
		}
		all += here + ";"
	}
	return all
}

// TestAttemptsOutlastSteps: a task is tried for longer than the 12 hours for which the outcome of a step may be unknown.
func TestAttemptsOutlastSteps(t *testing.T) {
	t.Parallel()
	var least time.Duration
	pause := 2 * time.Second // as package task has it: each is at least a half of its length
	for range (&stock.Stock{}).Work().AttemptsMax - 1 {
		least += min(pause, time.Hour) / 2
		pause *= 2
		pause = min(pause, time.Hour)
	}
	if least < 12*time.Hour {
		t.Errorf("a task may be dead after %v", least)
	}
}
