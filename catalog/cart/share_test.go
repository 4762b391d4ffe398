package cart_test

import (
	"context"
	"errors"
	"testing"

	"sluice/catalog/cart"
)

func TestAShareIsASnapshot(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	if _, err := c.Share(t.Context(), 7, "none", 7); codeOf(err) != "wrong_state" {
		t.Error(err)
	}
	c.others.set(func() { c.others.prices[skuOf(1)] = 500 })
	c.put(of, 1, 2)
	c.put(of, 2, 3)
	if _, err := c.Put(t.Context(), of, 0, cart.Line{SKU: skuOf(3), Quantity: 1, Later: true}); err != nil {
		t.Fatal(err)
	}
	made, err := c.Share(t.Context(), 7, "k", 7)
	if err != nil {
		t.Fatal(err)
	}
	c.put(of, 1, 9)
	if again, err := c.Share(t.Context(), 7, "k", 7); err != nil || again != made {
		t.Errorf("%v and again %v: %v", made, again, err)
	}
	if _, err := c.Share(t.Context(), 7, "k", 8); codeOf(err) != "mismatch" {
		t.Error(err)
	}
	lines, ends, err := c.Shared(t.Context(), made.Token)
	if err != nil || !ends.Equal(made.EndsAt) {
		t.Fatal(ends, err)
	}
	for i := range lines {
		if lines[i].Was != nil || lines[i].Later || lines[i].At.UnixMilli() != 0 {
			t.Errorf("it tells when something was put in, or at which price: %v", lines[i])
		}
	}
	same(t, "the snapshot", quantities(cart.Cart{Lines: lines}), map[int]int{1: 2, 2: 3})
	second, err := c.Share(t.Context(), 7, "l", 30)
	if err != nil {
		t.Fatal(err)
	}
	if all, err := c.Shares(t.Context(), 7); err != nil || len(all) != 2 || all[0] != second || all[1] != made {
		t.Errorf("%v: %v", all, err)
	}
	if err := c.EndShare(t.Context(), 8, made.Token); codeOf(err) != "unknown_share" {
		t.Error(err)
	}
	if err := c.EndShare(t.Context(), 7, made.Token); err != nil {
		t.Error(err)
	}
	for _, err := range []error{c.EndShare(t.Context(), 7, made.Token), second2(c.Shared(t.Context(), made.Token))} {
		if codeOf(err) != "unknown_share" {
			t.Error(err)
		}
	}
	if again, err := c.Share(t.Context(), 7, "k", 7); err != nil || again != made { // the first answer, whose link was taken back
		t.Error(again, err)
	}
	if _, _, err := c.Shared(t.Context(), made.Token); codeOf(err) != "unknown_share" {
		t.Error(err)
	}
	for _, days := range []int{0, -1, cart.ShareDayMax + 1} {
		if _, err := c.Share(t.Context(), 7, "days", days); codeOf(err) != "malformed" {
			t.Error(days, err)
		}
	}
}

func second2[A, B any](_ A, _ B, err error) error { return err }

func TestAUserHasABoundedNumberOfShares(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	c.put(c.OfUser(7), 1, 2)
	for n := range cart.SharesMax {
		if _, err := c.Share(t.Context(), 7, string(rune('a'+n)), 7); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Share(t.Context(), 7, "more", 7); codeOf(err) != "too_many" {
		t.Error(err)
	}
	all, err := c.Shares(t.Context(), 7)
	if err != nil || len(all) != cart.SharesMax {
		t.Fatal(len(all), err)
	}
	if err := c.EndShare(t.Context(), 7, all[3].Token); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Share(t.Context(), 7, "more", 7); err != nil {
		t.Error(err)
	}
}

// TestWhatACartShows asks each of the others once, however many lines there are.
func TestWhatACartShows(t *testing.T) {
	t.Parallel()
	c := newCarts(t)
	of := c.OfUser(7)
	c.others.set(func() {
		for n, minor := range []int64{500, 500, 500, 500} {
			c.others.prices[skuOf(n)] = minor
		}
	})
	for n := range 7 {
		c.put(of, n, 5)
	}
	c.others.set(func() {
		c.others.prices[skuOf(1)], c.others.prices[skuOf(2)], c.others.prices[skuOf(4)] = 400, 600, 100
		delete(c.others.prices, skuOf(3))
		c.others.gone[skuOf(5)] = true
		for n, free := range []int64{0, 4, 9, 10, -1, 7} {
			c.others.free[skuOf(n)] = free
		}
		clear(c.others.asked)
	})
	show := func() []cart.ShownLine {
		t.Helper()
		got, err := c.Read(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := c.Show(t.Context(), 7, got.Lines)
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	lines := show()
	for n, want := range []struct {
		hint    cart.Hint
		changes []cart.Change
		price   int64
	}{
		{cart.HintSoldOut, nil, 500},
		{cart.HintTooFew, []cart.Change{cart.ChangePriceDown}, 400},
		{cart.HintLow, []cart.Change{cart.ChangePriceUp}, 600},
		{cart.HintInStock, nil, 0},
		{cart.HintSoldOut, nil, 100}, // it had no price when it was put in
		{"", []cart.Change{cart.ChangeUnavailable}, 0},
		{"", nil, 0}, // the edge does not know it
	} {
		l := lines[n]
		price := int64(0)
		if l.Price != nil {
			price = l.Price.Minor
		}
		if l.Hint != want.hint || price != want.price {
			t.Errorf("line %d: %q and %d, want %q and %d", n, l.Hint, price, want.hint, want.price)
		}
		same(t, "changes", l.Changes(), want.changes)
	}
	same(t, "who was asked", c.others.asked, map[string]int{"products": 1, "prices": 1, "edge": 1})
	c.others.set(func() { c.others.fault, c.others.free = errors.New("away"), nil })
	if lines := show(); lines[0].Hint != "" || lines[0].Price == nil {
		t.Errorf("without the edge: %v", lines[0])
	}
	if shown, err := c.Show(context.Background(), 7, nil); err != nil || len(shown) != 0 {
		t.Error(shown, err)
	}
}
