package cart_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sluice/catalog/cart"
	"sluice/core/ids"
	"sluice/core/money"
	"sluice/core/problem"
)

var began = time.Date(2026, 11, 11, 20, 0, 0, 0, time.UTC)

// skuOf is SKU n of product 1.
func skuOf(n int) int64 {
	sku, ok := ids.SKU(1, n)
	if !ok {
		panic(n)
	}
	return sku
}

// line is one about SKU n that was put in so many seconds after the beginning.
func line(n, quantity, second int) cart.Line {
	return cart.Line{SKU: skuOf(n), Quantity: quantity, At: began.Add(time.Duration(second) * time.Second)}
}

func later(l cart.Line) cart.Line {
	l.Later = true
	return l
}

func was(l cart.Line, minor int64) cart.Line {
	eur, err := money.In("EUR")
	if err != nil {
		panic(err)
	}
	l.Was = &money.Amount{Minor: minor, Currency: eur}
	return l
}

// codeOf is the code of a refusal, or the text of another error.
func codeOf(err error) string {
	var p *problem.Problem
	switch {
	case errors.As(err, &p):
		return p.Kind.Code
	case err != nil:
		return err.Error()
	}
	return "ok"
}

var currencies = cmpopts.EquateComparable(money.Currency{})

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, currencies, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestPut(t *testing.T) {
	t.Parallel()
	var c cart.Cart
	f := func(l cart.Line, code string, want ...cart.Line) {
		t.Helper()
		before := slices.Clone(c.Lines)
		to, err := c.Put(l)
		same(t, "the cart before", c.Lines, before)
		if codeOf(err) != code {
			t.Fatalf("%v, want %s", err, code)
		}
		if err == nil {
			c = to
			same(t, "the cart", c.Lines, want)
		}
	}
	f(was(line(1, 2, 10), 500), "ok", was(line(1, 2, 10), 500))
	f(line(2, 1, 5), "ok", line(2, 1, 5), was(line(1, 2, 10), 500))
	f(was(line(1, 3, 20), 900), "ok", line(2, 1, 5), was(line(1, 3, 10), 500)) // it keeps its place, and what it cost
	f(later(line(1, 3, 30)), "ok", line(2, 1, 5), later(was(line(1, 3, 10), 500)))
	for _, quantity := range []int{0, -1, cart.QuantityMax + 1} {
		f(line(3, quantity, 1), "malformed")
	}
	f(cart.Line{SKU: 7, Quantity: 1}, "unknown_sku") // of no product
	batch, _ := ids.BatchSKU(7)
	f(cart.Line{SKU: batch, Quantity: 1}, "unknown_sku")
	c = c.Remove(skuOf(2)).Remove(skuOf(2))
	same(t, "after a removal", c.Lines, []cart.Line{later(was(line(1, 3, 10), 500))})
	c = cart.Cart{}
	for n := range cart.LinesMax {
		var err error
		if c, err = c.Put(line(n, 1, n)); err != nil {
			t.Fatal(err)
		}
	}
	f(line(cart.LinesMax, 1, 0), "too_many")
	if to, err := c.Put(line(0, cart.QuantityMax, 0)); err != nil || to.Lines[0].Quantity != cart.QuantityMax {
		t.Errorf("a line that a full cart has: %v", err)
	}
	if len(c.Empty().Lines) != 0 {
		t.Error("an empty cart has lines")
	}
}

func TestMergeByItsRules(t *testing.T) {
	t.Parallel()
	f := func(what string, user, guest, want []cart.Line, left ...int64) {
		t.Helper()
		merged, out := cart.Merge(cart.Cart{Version: 4, Lines: user}, cart.Cart{Version: 9, Lines: guest})
		same(t, what, merged, cart.Cart{Version: 4, Lines: want})
		same(t, what+": left out", out, left)
	}
	type lines = []cart.Line
	f("a new line", lines{line(1, 1, 1)}, lines{line(2, 2, 0)}, lines{line(2, 2, 0), line(1, 1, 1)})
	f("a sum, of the newer line", lines{was(line(1, 2, 1), 500)}, lines{was(line(1, 3, 9), 700)}, lines{was(line(1, 5, 9), 700)})
	f("a sum, of the older line", lines{was(line(1, 2, 9), 500)}, lines{was(line(1, 3, 1), 700)}, lines{was(line(1, 5, 9), 500)})
	f("a sum over the bound", lines{line(1, 900, 1)}, lines{line(1, 900, 0)}, lines{line(1, cart.QuantityMax, 1)})
	f("saved for later", lines{later(line(1, 2, 1))}, lines{later(line(2, 3, 2))}, lines{later(line(1, 2, 1)), later(line(2, 3, 2))})
	f("both saved it", lines{later(line(1, 2, 1))}, lines{later(line(1, 3, 2))}, lines{later(line(1, 5, 2))})
	f("the user saved it", lines{later(line(1, 2, 1))}, lines{line(1, 3, 2)}, lines{line(1, 3, 2)})
	f("the guest saved it", lines{line(1, 2, 1)}, lines{later(line(1, 3, 2))}, lines{line(1, 2, 1)})
	f("nothing", lines{line(1, 2, 1)}, nil, lines{line(1, 2, 1)})
	var full lines
	for n := range cart.LinesMax - 1 {
		full = append(full, line(n, 1, n))
	}
	f("room for the newest", full, lines{line(200, 1, 300), line(201, 1, 400), line(3, 1, 0)}, func() lines {
		want := slices.Clone(full)
		want[3] = line(3, 2, 3)
		return append(want, line(201, 1, 400))
	}(), skuOf(200))
}

// TestMergeKeepsWhatItPromises merges drawn carts.
func TestMergeKeepsWhatItPromises(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	drawCart := func() (c cart.Cart) {
		skus := []int{30, 100, 250}[random.IntN(3)]
		for range random.IntN(130) {
			l := line(random.IntN(skus), 1+random.IntN(700), random.IntN(1000))
			l.Later = random.IntN(3) == 0
			if to, err := c.Put(l); err == nil {
				c = to
			}
		}
		return c
	}
	find := func(c cart.Cart, sku int64) *cart.Line {
		for i := range c.Lines {
			if c.Lines[i].SKU == sku {
				return &c.Lines[i]
			}
		}
		return nil
	}
	for range 300 {
		user, guest := drawCart(), drawCart()
		users, guests := slices.Clone(user.Lines), slices.Clone(guest.Lines)
		merged, left := cart.Merge(user, guest)
		if !slices.Equal(users, user.Lines) || !slices.Equal(guests, guest.Lines) {
			t.Fatal("a merge changes what it merges")
		}
		if again, others := cart.Merge(user, guest); !cmp.Equal(again, merged, currencies) || !slices.Equal(others, left) {
			t.Fatal("a merge of the same is another one")
		}
		if len(merged.Lines) > cart.LinesMax {
			t.Fatalf("%d lines", len(merged.Lines))
		}
		if len(left) > 0 && len(merged.Lines) < cart.LinesMax {
			t.Fatalf("%d lines, and %d left out", len(merged.Lines), len(left))
		}
		var oldest time.Time // of the guest's lines that found room without the user's
		for _, l := range merged.Lines {
			mine, other := find(user, l.SKU), find(guest, l.SKU)
			switch {
			case mine != nil && other != nil && mine.Later == other.Later:
				if l.Quantity != min(mine.Quantity+other.Quantity, cart.QuantityMax) || l.Later != mine.Later {
					t.Fatalf("%v and %v become %v", mine, other, l)
				}
			case mine != nil && other != nil:
				if l.Later || l.Quantity != *map[bool]*int{true: &other.Quantity, false: &mine.Quantity}[mine.Later] {
					t.Fatalf("%v and %v become %v", mine, other, l)
				}
			case mine != nil:
				same(t, "a line of the user", l, *mine)
			case other != nil:
				same(t, "a line of the guest", l, *other)
				if oldest.IsZero() || l.At.Before(oldest) {
					oldest = l.At
				}
			default:
				t.Fatalf("%v is nobody's", l)
			}
		}
		for _, l := range user.Lines {
			if find(merged, l.SKU) == nil {
				t.Fatalf("the user loses %v", l)
			}
		}
		for _, l := range guest.Lines {
			in, out := find(merged, l.SKU) != nil, slices.Contains(left, l.SKU)
			if in == out {
				t.Fatalf("%v is in the cart: %t, and left out: %t", l, in, out)
			}
			if out && !oldest.IsZero() && l.At.After(oldest) {
				t.Fatalf("%v is left out, and an older one is not", l)
			}
		}
		text, err := cart.Encode(merged.Lines)
		if err != nil {
			t.Fatal(err)
		}
		lines, err := cart.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "what was written and read", lines, merged.Lines)
	}
}

// TestTheLargestCartFits writes a cart whose every line is as long as one can be.
func TestTheLargestCartFits(t *testing.T) {
	t.Parallel()
	var lines []cart.Line
	for n := range cart.LinesMax {
		sku, ok := ids.SKU(ids.ProductMax, ids.SKUsMax-1-n)
		if !ok {
			t.Fatal(n)
		}
		l := later(was(cart.Line{SKU: sku, Quantity: cart.QuantityMax, At: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}, money.MinorMax))
		lines = append(lines, l)
	}
	text, err := cart.Encode(lines)
	if err != nil {
		t.Fatal(err)
	}
	read, err := cart.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "the largest cart", read, lines)
}

func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`[]`, `[{"s":4097,"q":2,"t":1}]`, `[{"s":4097,"q":2,"l":true,"t":1,"w":{"amount":5,"currency":"EUR"}}]`,
		`[{"s":4097,"q":2,"t":1},{"s":4097,"q":2,"t":1}]`, `[{"s":4097,"q":0,"t":1}]`, `[{"s":4097,"q":2,"t":9223372036854775807}]`, `null`, `{}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := cart.Decode(text)
		if err != nil {
			return
		}
		again, err := cart.Encode(lines)
		if err != nil {
			t.Fatalf("%q is read, and not written: %v", text, err)
		}
		if read, err := cart.Decode(again); err != nil || !cmp.Equal(read, lines, currencies, cmpopts.EquateEmpty()) {
			t.Fatalf("%q becomes %q: %v", text, again, err)
		}
	})
}
