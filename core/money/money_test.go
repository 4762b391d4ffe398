package money_test

import (
	"errors"
	"math/big"
	"testing"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"sluice/core/money"
)

func in(t testing.TB, code string) money.Currency {
	t.Helper()
	c, err := money.In(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func eur(t testing.TB, minor int64) money.Amount {
	t.Helper()
	return money.Amount{Minor: minor, Currency: in(t, "EUR")}
}

func TestTexts(t *testing.T) {
	t.Parallel()
	f := func(code, text string, want int64) {
		t.Helper()
		a, err := money.Parse(text, in(t, code))
		if err != nil || a.Minor != want || a.String() != text+" "+code {
			t.Errorf("%s of %s is %v of %d minor units (%v), want %d", text, code, a, a.Minor, err, want)
		}
	}
	f("EUR", "12.50", 1250)
	f("EUR", "0.05", 5)
	f("EUR", "-0.05", -5)
	f("EUR", "0.00", 0)
	f("JPY", "1250", 1250)
	f("KWD", "1.250", 1250)
	f("EUR", "90071992547409.91", money.MinorMax)
	f("EUR", "-90071992547409.91", -money.MinorMax)
	for _, text := range []string{
		"", "-", ".", "12", "12.5", "12.500", "12.", ".50", "+1.00", "01.00", "-0.00", "--1.00", "1,00", "1.00 ", " 1.00", "1e2.00", "1.0x",
		"٣.00", "0x1.00", "90071992547409.92", "-90071992547409.92", "99999999999999999999.00",
	} {
		if a, err := money.Parse(text, in(t, "EUR")); err == nil {
			t.Errorf("%q is %v", text, a)
		}
	}
	if a, err := money.Parse("1", money.Currency{}); err == nil {
		t.Errorf("an amount of no currency is %v", a)
	}
}

func TestCurrencies(t *testing.T) {
	t.Parallel()
	for code, digits := range map[string]int{"EUR": 2, "JPY": 0, "KWD": 3, "IQD": 3, "HUF": 2, "CNY": 2, "KRW": 0} {
		if c := in(t, code); c.Digits() != digits || c.String() != code {
			t.Errorf("%v has %d digits, want %d of %s", c, c.Digits(), digits, code)
		}
	}
	for _, code := range []string{"", "eur", "EURO", "XXX", "XTS", "XAU", "CLF"} {
		if c, err := money.In(code); err == nil {
			t.Errorf("%q is the currency %v", code, c)
		}
	}
	if n := len(money.Currencies()); n < 150 || n > 170 {
		t.Errorf("%d currencies", n)
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(eur(t, 1250))
	if err != nil || string(text) != `{"amount":1250,"currency":"EUR"}` {
		t.Errorf("%s, %v", text, err)
	}
	var a money.Amount
	if err := json.Unmarshal(text, &a); err != nil || a != eur(t, 1250) {
		t.Errorf("%v, %v", a, err)
	}
	for _, text := range []string{`{"amount":1.5,"currency":"EUR"}`, `{"amount":1e3,"currency":"EUR"}`, `{"amount":1,"currency":"eur"}`, `{"amount":"1","currency":"EUR"}`} {
		if err := json.Unmarshal([]byte(text), &a); err == nil {
			t.Errorf("%s is %v", text, a)
		}
	}
	if text, err := json.Marshal(money.Amount{}); err == nil {
		t.Errorf("no amount is %s", text)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	f := func(what string, want error) func(money.Amount, error) {
		return func(a money.Amount, err error) {
			t.Helper()
			if !errors.Is(err, want) || err == nil || a != (money.Amount{}) {
				t.Errorf("%s: %v, %v", what, a, err)
			}
		}
	}
	yen := money.Amount{Minor: 1, Currency: in(t, "JPY")}
	f("two currencies", money.ErrCurrency)(eur(t, 1).Add(yen))
	f("two currencies in a sum", money.ErrCurrency)(money.Sum(in(t, "EUR"), eur(t, 1), yen))
	f("too much", money.ErrRange)(eur(t, money.MinorMax).Add(eur(t, 1)))
	f("too little", money.ErrRange)(eur(t, -money.MinorMax).Sub(eur(t, 1)))
	f("too many", money.ErrRange)(eur(t, money.MinorMax).Times(2))
	f("beyond 64 bits", money.ErrRange)(eur(t, money.MinorMax).Times(1<<63 - 1))
	f("lowest number", money.ErrRange)(eur(t, 1).Times(-1 << 63))
	f("outside", money.ErrRange)(eur(t, -1<<63).Add(eur(t, 0)))
	for _, a := range []money.Amount{{}, {Minor: 1}} {
		if _, err := a.Add(eur(t, 1)); err == nil {
			t.Errorf("%v was added to", a)
		}
	}
	if _, err := eur(t, 1).Part(1, 0, money.Down); err == nil {
		t.Error("an amount was divided by 0")
	}
	for _, weights := range [][]int64{{}, {0}, {0, 0}, {-1, 2}, {money.MinorMax, 1}} {
		if lines, err := eur(t, 1).Allocate(weights...); err == nil {
			t.Errorf("by %v: %v", weights, lines)
		}
	}
}

func TestRounding(t *testing.T) {
	t.Parallel()
	f := func(minor, of, whole int64, down, up, halfUp, halfEven int64) {
		t.Helper()
		for rounding, want := range map[money.Rounding]int64{money.Down: down, money.Up: up, money.HalfUp: halfUp, money.HalfEven: halfEven} {
			if got, err := eur(t, minor).Part(of, whole, rounding); err != nil || got.Minor != want {
				t.Errorf("%d * %d/%d by %d is %d (%v), want %d", minor, of, whole, rounding, got.Minor, err, want)
			}
		}
	}
	f(100, 19, 100, 19, 19, 19, 19)
	f(5, 1, 2, 2, 3, 3, 2)
	f(7, 1, 2, 3, 4, 4, 4)
	f(-5, 1, 2, -2, -3, -3, -2)
	f(5, -1, 2, -2, -3, -3, -2)
	f(-5, -1, 2, 2, 3, 3, 2)
	f(10, 1, 3, 3, 4, 3, 3)
	f(20, 1, 3, 6, 7, 7, 7)
	f(1, 1, 1<<63-1, 0, 1, 0, 0)
	f(money.MinorMax, 1<<62, 1<<62, money.MinorMax, money.MinorMax, money.MinorMax, money.MinorMax)
}

// A part is the exact fraction, rounded: big numbers say the same.
func TestPartsAreExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		minor := rapid.Int64Range(-money.MinorMax, money.MinorMax).Draw(t, "minor")
		of, whole := rapid.Int64().Draw(t, "of"), rapid.Int64().Filter(func(n int64) bool { return n != 0 }).Draw(t, "whole")
		c, _ := money.In("EUR")
		got, err := money.Amount{Minor: minor, Currency: c}.Part(of, whole, money.Down)
		want := new(big.Int).Quo(new(big.Int).Mul(big.NewInt(minor), big.NewInt(of)), big.NewInt(whole)) // towards 0
		fits := new(big.Int).Abs(want).Cmp(big.NewInt(money.MinorMax)) <= 0
		if fits != (err == nil) || fits && got.Minor != want.Int64() {
			t.Fatalf("%d * %d/%d is %v (%v), want %v", minor, of, whole, got, err, want)
		}
	})
}

// Lines always add up to the total, and none is a whole minor unit away from its share.
func TestLinesAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Int64Range(0, 1000), 1, 12).Draw(t, "weights")
		total := rapid.Int64Range(-5000, 5000).Draw(t, "total")
		c, _ := money.In("EUR")
		var whole int64
		for _, w := range weights {
			whole += w
		}
		lines, err := money.Amount{Minor: total, Currency: c}.Allocate(weights...)
		if whole == 0 {
			if err == nil {
				t.Fatal("divided by nothing")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		sum, err := money.Sum(c, lines...)
		if err != nil || sum.Minor != total {
			t.Fatalf("%v of %d by %v add up to %v (%v)", lines, total, weights, sum, err)
		}
		for i, line := range lines {
			if off := line.Minor*whole - total*weights[i]; off > whole || off < -whole {
				t.Fatalf("line %d of %d by %v is %v", i, total, weights, line)
			}
			if size := max(line.Minor, -line.Minor); max(total, -total) <= whole && size > weights[i] {
				t.Fatalf("line %d of %d by %v has %d, more than its weight", i, total, weights, size)
			}
		}
	})
}

func TestRemaindersGoToTheLargestLine(t *testing.T) {
	t.Parallel()
	f := func(total int64, weights, want []int64) {
		t.Helper()
		lines, err := eur(t, total).Allocate(weights...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range lines {
			if lines[i].Minor != want[i] {
				t.Errorf("%d by %v: %v, want %v", total, weights, lines, want)
				return
			}
		}
	}
	f(100, []int64{1, 2}, []int64{33, 67})
	f(100, []int64{2, 1}, []int64{67, 33})
	f(100, []int64{1, 1, 1}, []int64{34, 33, 33})
	f(-100, []int64{1, 1, 1}, []int64{-34, -33, -33})
	f(2, []int64{1, 1, 1}, []int64{1, 1, 0})
	f(1, []int64{0, 1}, []int64{0, 1})
	f(0, []int64{3, 4}, []int64{0, 0})
}

// All units of a line cost what the line costs.
func TestLastUnitTakesTheRemainder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		quantity := rapid.Int64Range(1, 1_000_000).Draw(t, "quantity")
		total := rapid.Int64Range(-money.MinorMax, money.MinorMax).Draw(t, "total")
		c, _ := money.In("EUR")
		each, last, err := money.Amount{Minor: total, Currency: c}.Units(quantity)
		if err != nil || each.Minor*(quantity-1)+last.Minor != total || max(last.Minor, -last.Minor) < max(each.Minor, -each.Minor) {
			t.Fatalf("%d in %d units: %v each and %v (%v)", total, quantity, each, last, err)
		}
	})
	if _, _, err := eur(t, 1).Units(0); err == nil {
		t.Error("an amount was divided into no units")
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"12.50", "-0.05", "0.00", "1e3", "90071992547409.91"} {
		f.Add(text, "EUR")
	}
	f.Fuzz(func(t *testing.T, text, code string) {
		c, err := money.In(code)
		if err != nil {
			return
		}
		if a, err := money.Parse(text, c); err == nil && a.String() != text+" "+code {
			t.Errorf("%q of %s is printed as %v", text, code, a)
		}
	})
}
