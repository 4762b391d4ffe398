package sale_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sluice/core/sale"
	"sluice/core/stock"
)

func TestCreateTwiceIsOnce(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	want := m.must(m.Create(t.Context(), plan()))
	if want.Replayed {
		t.Error("the first creation was done before")
	}
	want.Replayed, want.Changed = true, false
	if diff := cmp.Diff(want, m.must(m.Create(t.Context(), plan()))); diff != "" {
		t.Errorf("the second creation changed something (-first +second)\n%s", diff)
	}
	other := plan()
	other.Items[0].Quantity++
	if _, err := m.Create(t.Context(), other); !errors.Is(err, sale.ErrOtherPlan) {
		t.Errorf("another plan under the same id: %v", err)
	}
	// Also when the store has long forgotten the first one.
	m.pass(2 * retention)
	forgotten := 0
	for p := range partitions {
		n, err := m.store.Forget(t.Context(), p, 1000)
		if err != nil {
			t.Fatal(err)
		}
		forgotten += n
	}
	if forgotten == 0 {
		t.Fatal("the store remembers it all")
	}
	m.must(m.Create(t.Context(), plan()))
	if m.avail(1, 0) != 50 || m.avail(1, 7) != 50 {
		t.Errorf("SKU 1 has %d and %d units", m.avail(1, 0), m.avail(1, 7))
	}
}

// Every value of a plan is compared, and the error has a line for each that differs, and for no other.
func TestOtherPlanSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	changes := map[string]struct {
		change func(*sale.Plan)
		lines  []string
	}{
		"Name":           {func(p *sale.Plan) { p.Name = "winter" }, []string{`name: the sale has "summer", this plan "winter"`}},
		"Limit":          {func(p *sale.Plan) { p.Limit = 0 }, []string{"limit per user: the sale has 1, this plan none"}},
		"Hold":           {func(p *sale.Plan) { p.Hold = time.Hour }, []string{"hold time: the sale has 1m0s, this plan 1h0m0s"}},
		"Ack":            {func(p *sale.Plan) { p.Ack = stock.AckReplica }, []string{"acknowledge level: the sale has log, this plan replica"}},
		"ShopperDeducts": {func(p *sale.Plan) { p.ShopperDeducts = false }, []string{"shoppers may deduct: the sale has true, this plan false"}},
		"RegisteredOnly": {func(p *sale.Plan) { p.RegisteredOnly = true }, []string{"registered users only: the sale has false, this plan true"}},
		"ExtendMax":      {func(p *sale.Plan) { p.ExtendMax = time.Minute }, []string{"bound of extensions: the sale has 0s, this plan 1m0s"}},
		"Items": {func(p *sale.Plan) { p.Items = []sale.Allotment{{SKU: 3, Quantity: 5}, {SKU: 1, Quantity: 60}} }, []string{
			"units of SKU 1: the sale has 50, this plan 60", "units of SKU 2: the sale has 30, this plan none", "units of SKU 3: the sale has none, this plan 5",
		}},
	}
	refused := func(p sale.Plan, lines []string) {
		t.Helper()
		_, err := m.Create(t.Context(), p)
		want := sale.ErrOtherPlan.Error() + ":\n" + strings.Join(lines, "\n")
		if !errors.Is(err, sale.ErrOtherPlan) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	all := plan()
	var lines []string
	for field := range reflect.TypeFor[sale.Plan]().Fields() {
		if field.Name == "ID" {
			continue
		}
		c, ok := changes[field.Name]
		if !ok {
			t.Errorf("nothing changes %s", field.Name)
			continue
		}
		one := plan()
		c.change(&one)
		refused(one, c.lines)
		c.change(&all)
		lines = append(lines, c.lines...)
	}
	refused(all, lines)

	many := plan()
	for sku := range int64(30) {
		many.Items = append(many.Items, sale.Allotment{SKU: 100 + sku, Quantity: 1})
	}
	if _, err := m.Create(t.Context(), many); err == nil || !strings.HasSuffix(err.Error(), "units of SKU 119: the sale has none, this plan 1\nand 10 SKUs more") {
		t.Errorf("30 items more: %v", err)
	}
}

// cutOff fails every call from the nth on, as if the process had died there, while the call itself is
// executed if lost is set: only its answer is missing.
type cutOff struct {
	stock.Store
	calls atomic.Int64
	after int64
	lost  bool
}

func (c *cutOff) Do(ctx context.Context, vectors ...*stock.Vector) {
	over := c.calls.Add(1) > c.after
	if !over || c.lost {
		c.Store.Do(ctx, vectors...)
	}
	for _, v := range vectors {
		if over {
			v.Err = stock.ErrUnknown
		}
	}
}

// Wherever the creation is cut off, repeating it ends with the same stock.
func TestCreateIsResumable(t *testing.T) {
	t.Parallel()
	m := newMarket(t, nil)
	p := plan()
	cuts := int64(0)
	for _, lost := range []bool{false, true} {
		for after := int64(0); ; after++ {
			p.ID++
			cuts++
			sku := 1000 + 10*cuts
			p.Items = []sale.Allotment{{SKU: sku, Quantity: 30}, {SKU: sku + 1, Quantity: 50}}
			m.load(sku, 100)
			m.load(sku+1, 100)
			_, err := sale.NewDesk(&cutOff{Store: m.store, after: after, lost: lost}, m.db, retention).Create(t.Context(), p)
			if err == nil {
				break // it needs no more calls than that
			}
			if _, err := m.Open(t.Context(), p.ID, sale.Call{}, sale.Opening{}); !errors.Is(err, sale.ErrNotFilled) {
				t.Errorf("lost %v, cut after %d calls: opened: %v", lost, after, err)
			}
			s := m.must(m.Create(t.Context(), p))
			for i, want := range []int64{30, 50} {
				at := p.Items[i].SKU
				if s.Stock[i].Moved != want || m.avail(at, p.ID) != want || m.avail(at, 0) != 100-want {
					t.Errorf("lost %v, cut after %d calls: SKU %d: %+v, %d left", lost, after, at, s.Stock[i], m.avail(at, 0))
				}
			}
		}
	}
	if cuts < 8 {
		t.Errorf("only %d cuts were tried", cuts)
	}
}

func TestReturnIsResumable(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	m.must(m.Create(t.Context(), plan()))
	m.must(m.Close(t.Context(), 7, sale.Call{}, time.Time{}))
	broken := sale.NewDesk(&cutOff{Store: m.store, after: 1}, m.db, retention)
	if _, err := broken.Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, stock.ErrUnknown) {
		t.Fatalf("cut off: %v", err)
	}
	if s := m.must(m.Show(t.Context(), 7)); s.Stock[0].Settled && s.Stock[1].Settled {
		t.Errorf("nothing is under way: %+v", s.Stock)
	}

	m.pass(retention) // too long: the store may have forgotten a half
	if _, err := m.Empty(t.Context(), 7, sale.Call{}); !errors.Is(err, sale.ErrStaleMove) {
		t.Errorf("resumed after %v: %v", retention, err)
	}
	m.pass(-retention)
	m.must(m.Empty(t.Context(), 7, sale.Call{}))
	if m.avail(1, 0) != 100 || m.avail(2, 0) != 100 {
		t.Errorf("%d and %d units came back", m.avail(1, 0), m.avail(2, 0))
	}
}

func TestCreateWithoutEnoughStockWritesNothing(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 49})
	_, err := m.Create(t.Context(), plan())
	if !errors.Is(err, sale.ErrShort) || !errors.Is(err, sale.ErrNotLoaded) || !strings.Contains(err.Error(), "49 units are available in normal stock, not 50") || !strings.Contains(err.Error(), "SKU 2: no such SKU") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Show(t.Context(), 7); !errors.Is(err, sale.ErrNotFound) {
		t.Errorf("the sale exists: %v", err)
	}
}

// Stock that is sold between the check and the transfer is refused by the transfer, and the sale can
// be created once there is more.
func TestCreateGoesOnAfterARefusal(t *testing.T) {
	t.Parallel()
	m := newMarket(t, map[int64]int64{1: 100, 2: 100})
	broken := sale.NewDesk(&cutOff{Store: m.store}, m.db, retention)
	if _, err := broken.Create(t.Context(), plan()); err == nil { // writes the rows, and no more
		t.Fatal("not cut off")
	}
	adjust := func(key string, delta int64) {
		cell := stock.Cell{SKU: 1}
		stock.DoAll(t.Context(), m.store, stock.OpAdjust, []stock.Request{{
			ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: key}.ID(partitions), Cell: cell,
			Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Delta: delta, Reason: "test"},
		}})
	}
	adjust("less", -60)
	if _, err := m.Create(t.Context(), plan()); !errors.Is(err, stock.ErrTransferRefused) {
		t.Errorf("with too little stock: %v", err)
	}
	adjust("more", 60)
	m.must(m.Create(t.Context(), plan()))
	if m.avail(1, 7) != 50 || m.avail(1, 0) != 50 || m.avail(2, 7) != 30 {
		t.Errorf("%d, %d and %d units", m.avail(1, 7), m.avail(1, 0), m.avail(2, 7))
	}
}

func TestPlanNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := sale.Plan{
		Limit: -1, Hold: time.Nanosecond, Ack: 9,
		Items: []sale.Allotment{{SKU: 1, Quantity: 1}, {SKU: 1, Quantity: 0}},
	}.Validate()
	for _, want := range []string{"sale id 0", "name: it has 0 bytes", "limit -1", "hold time 1ns", "acknowledge", "0 units of SKU 1", "SKU 1 is there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	hostile := plan()
	hostile.Name = "sale\u009b2J"
	if err := hostile.Validate(); !errors.Is(err, sale.ErrPlan) {
		t.Errorf("a name that clears the screen: %v", err)
	}
	if err := plan().Validate(); err != nil {
		t.Error(err)
	}
}
