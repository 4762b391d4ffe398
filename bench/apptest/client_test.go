package apptest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
)

// TestIntegration runs the clients of docs/integration.md against a real edge.
func TestIntegration(t *testing.T) {
	t.Parallel()
	s := stack.New(t)
	s.LoadCSV("sku_id,quantity,limit", "1001,1000,", "1002,0,", "1003,1000,2", "1004,1000,")
	edge := s.StartEdge()
	s.StartPersister()
	t.Run("shop", func(t *testing.T) { t.Parallel(); integration{t, s, edge}.shop() })
	t.Run("admin", func(t *testing.T) { t.Parallel(); integration{t, s, edge}.admin() })
	t.Run("guide", func(t *testing.T) { t.Parallel(); integration{t, s, edge}.guide() })
}

type integration struct {
	t    *testing.T
	s    *stack.Stack
	edge *stack.Process
}

func newClient(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// shop buys as a service and as a shopper, through a proxy that loses the first answer to every write.
func (i integration) shop() {
	t, s, ctx := i.t, i.s, i.t.Context()
	c := newClient(t, cutting(t, i.edge))
	service, shopper := c.As(s.Token(1, "service")), c.As(s.Token(42, "shopper"))
	take := client.Take{SKU: 1003, Quantity: 1, User: 42, Key: "order"}

	first := one(service.Reserve(ctx, take))(t)
	if !first.Replayed || first.Key != "order" || first.User != 42 || first.State != client.StateHeld || !first.ExpiresAt.After(time.Now()) {
		t.Errorf("the first answer was lost, the second was %+v", first)
	}
	if again := one(service.Reserve(ctx, take))(t); again.ID != first.ID {
		t.Errorf("order %s, then %s", first.ID, again.ID)
	}
	refused(service.Reserve(ctx, client.Take{SKU: 1003, Quantity: 2, User: 42, Key: "order"}))(t, client.CodeMismatch)
	refused(service.Reserve(ctx, client.Take{SKU: 1003, Quantity: 1}))(t, client.CodeMalformed)
	refused(shopper.Reserve(ctx, client.Take{SKU: 1003, Quantity: 2}))(t, client.CodeLimitReached)
	refused(shopper.Confirm(ctx, first.ID))(t, client.CodeForbidden)
	refused(c.Reservation(ctx, first.ID))(t, client.CodeUnauthorized)
	own := one(shopper.Reserve(ctx, client.Take{SKU: 1003, Quantity: 1}))(t)
	if own.User != 0 || own.Key == "" || own.ID == first.ID {
		t.Errorf("the shopper's own: %+v", own)
	}
	if r := one(service.Confirm(ctx, first.ID))(t); r.State != client.StateConfirmed {
		t.Errorf("confirmed: %+v", r)
	}
	if p := refused(service.Release(ctx, first.ID))(t, client.CodeWrongState); p.State != client.StateConfirmed || p.RequestID == "" {
		t.Errorf("released after its confirmation: %+v", p)
	}
	if r := one(shopper.Release(ctx, own.ID))(t); r.State != client.StateReleased {
		t.Errorf("released: %+v", r)
	}
	if r := one(service.Reservation(ctx, own.ID))(t); r.State != client.StateReleased || r.User != 42 {
		t.Errorf("shown: %+v", r)
	}
	if r := one(service.Deduct(ctx, client.Take{SKU: 1003, Quantity: 2, User: 43}))(t); r.State != client.StateConfirmed || !r.ExpiresAt.IsZero() {
		t.Errorf("deducted: %+v", r)
	}
	admin := c.As(s.Token(2, "admin"))
	if cell := one(admin.ShowSKU(ctx, 1003, 0))(t); cell.Sold != 3 || cell.Held != 0 || cell.Total != 1000 || cell.Limit != 2 {
		t.Errorf("after one confirmation and a deduction of two, each done once: %+v", cell)
	}
	if got := one(c.Stocks(ctx, []int64{1002, 999, 1003}, 0))(t); len(got) != 2 || got[0].SKU != 1002 || got[1].SKU != 1003 {
		t.Errorf("stocks: %+v", got)
	}
	if got := one(c.Stock(ctx, 1002, 0))(t); got.Avail != 0 || got.AsOf.IsZero() {
		t.Errorf("stock: %+v", got)
	}
	refused(c.Stock(ctx, 999, 0))(t, client.CodeNotLoaded)
}

// admin runs a sale from its making to its end.
func (i integration) admin() {
	t, s, ctx := i.t, i.s, i.t.Context()
	c := newClient(t, "http://"+i.edge.Addr())
	admin, service := c.As(s.Token(2, "admin")), c.As(s.Token(1, "service"))
	const sku, sale = 2001, 7

	cell := one(admin.LoadSKU(ctx, client.Load{SKU: sku, Quantity: 100, Reason: "new", Settings: client.Settings{Hold: new(time.Minute)}}))(t)
	if cell.Total != 100 || cell.HoldMS != 60_000 || cell.Replayed || cell.Key == "" {
		t.Errorf("loaded: %+v", cell)
	}
	refused(admin.LoadSKU(ctx, client.Load{SKU: sku, Quantity: 100, Reason: "new"}))(t, client.CodeWrongState)
	if cell = one(admin.AdjustSKU(ctx, client.Adjustment{SKU: sku, Delta: -1, Reason: "broken"}))(t); cell.Total != 99 {
		t.Errorf("adjusted: %+v", cell)
	}
	if cell = one(admin.ChangeSKU(ctx, client.Change{SKU: sku, Reason: "halt", Settings: client.Settings{Frozen: new(true)}}))(t); !cell.Frozen {
		t.Errorf("changed: %+v", cell)
	}
	short, cancel := context.WithTimeout(ctx, 4*time.Second) // less than what the edge asks to wait
	defer cancel()
	if p := refused(service.Reserve(short, client.Take{SKU: sku, Quantity: 1, User: 42}))(t, client.CodeFrozen); p.RetryAfter != 5*time.Second || !p.Retryable {
		t.Errorf("frozen: %+v", p)
	}

	plan := client.Plan{Sale: sale, Name: "day", Items: []client.Allotment{{SKU: sku, Quantity: 10}}, Limit: new(int64(1))}
	if made := one(admin.CreateSale(ctx, plan))(t); !made.Filled || made.Phase != client.PhasePlanned {
		t.Errorf("made: %+v", made)
	}
	take := client.Take{SKU: sku, Quantity: 1, Sale: sale, User: 42, Key: "in-the-sale"}
	refused(service.Reserve(ctx, take))(t, client.CodeNotOpen)
	opened := one(admin.OpenSale(ctx, client.Opening{Sale: sale, ClosesAt: new(time.Now().Add(time.Hour))}))(t)
	if opened.OpensAt.IsZero() || opened.ClosesAt.IsZero() {
		t.Errorf("opened: %+v", opened)
	}
	var held client.Reservation
	within(t, time.Minute, func() bool {
		var err error
		held, err = service.Reserve(ctx, take)
		if err != nil && client.CodeOf(err) != client.CodeNotOpen {
			t.Fatal(err)
		}
		return err == nil
	})
	within(t, time.Minute, func() bool { // until MySQL has it
		list := one(service.ListHeld(ctx, sale, client.Page{Limit: 10}))(t)
		return slices.ContainsFunc(list.Data, func(r client.Reservation) bool {
			return r.ID == held.ID && r.User == 42 && r.Sale == sale && r.ReservedMS != 0 && !list.AsOf.IsZero()
		})
	})
	if list := one(admin.ListReservations(ctx, client.ReservationFilter{User: 42, SKU: sku, Sale: sale}, client.Page{}))(t); len(list.Data) != 1 {
		t.Errorf("of the user: %+v", list)
	}
	if list := one(admin.ListSKUs(ctx, client.StockFilter{Sale: sale}, client.Page{}))(t); len(list.Data) != 1 || list.Data[0].Held != 1 {
		t.Errorf("stock of the sale: %+v", list)
	}
	if list := one(admin.ListSales(ctx, client.PhaseOpen, client.Page{}))(t); len(list.Data) != 1 || list.Data[0].ID != sale {
		t.Errorf("open sales: %+v", list)
	}
	refused(admin.EmptySale(ctx, sale, ""))(t, client.CodeSaleRefused)
	if closed := one(admin.CloseSale(ctx, client.Closing{Sale: sale}))(t); closed.Phase != client.PhaseClosed {
		t.Errorf("closed: %+v", closed)
	}
	refused(service.Reserve(ctx, client.Take{SKU: sku, Quantity: 1, Sale: sale, User: 43}))(t, client.CodeClosed)
	one(service.Release(ctx, held.ID))(t)
	if emptied := one(admin.EmptySale(ctx, sale, "empty"))(t); emptied.Items[0].Moved != 0 {
		t.Errorf("emptied: %+v", emptied)
	}
	if filled := one(admin.FillSale(ctx, sale, ""))(t); !filled.Filled {
		t.Errorf("filled: %+v", filled)
	}
	moved := one(admin.Transfer(ctx, client.Transfer{SKU: sku, FromSale: sale, Quantity: 10, Reason: "unsold"}))(t)
	if moved.From.Sale != sale || moved.From.Total != 0 || moved.To.Total != 99 {
		t.Errorf("transferred: %+v", moved)
	}
	refused(admin.Transfer(ctx, client.Transfer{SKU: sku, FromSale: sale, Quantity: 10, Reason: "unsold"}))(t, client.CodeTransferRefused)
	if shown := one(admin.ShowSale(ctx, sale))(t); shown.Name != "day" || shown.Items[0].Avail != 0 {
		t.Errorf("shown: %+v", shown)
	}
	refused(admin.ShowSale(ctx, 8))(t, client.CodeUnknownSale)
}

// one is the answer of a call that succeeds.
func one[T any](got T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
}

// refused is the problem that a call ends with.
func refused[T any](got T, err error) func(*testing.T, client.Code) client.Problem {
	return func(t *testing.T, want client.Code) client.Problem {
		t.Helper()
		p := new(client.Problem)
		if !errors.As(err, &p) || p.Code != want {
			t.Fatalf("%+v, %v, want %s", got, err, want)
		}
		return *p
	}
}

// within waits until something is so.
func within(t *testing.T, limit time.Duration, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("not so after %v", limit)
		case <-tick.C:
		}
	}
}
