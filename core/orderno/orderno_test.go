package orderno_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sluice/core/ids"
	"sluice/core/orderno"
)

func numbers(t rapid.TB, key byte) *orderno.Numbers {
	n, err := orderno.New(bytes.Repeat([]byte{key}, orderno.KeyBytes))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var orders = rapid.Map(rapid.Int64Range(1, math.MaxInt64), func(n int64) ids.Order { return ids.Order(n) })

// A number that people have may not come to mean another order.
func TestNumbersNeverChange(t *testing.T) {
	t.Parallel()
	for order, want := range map[ids.Order]string{
		1:             "27877170400423519608",
		2:             "61805336818015389239",
		1 << 40:       "86914106411895211462",
		math.MaxInt64: "21323791054964475869",
	} {
		if got := numbers(t, 7).Of(order); got != want {
			t.Errorf("order %d has the number %q, want %q", order, got, want)
		}
	}
}

func TestNumberLeadsBackToItsOrder(t *testing.T) {
	t.Parallel()
	n, other := numbers(t, 1), numbers(t, 2)
	rapid.Check(t, func(t *rapid.T) {
		order := orders.Draw(t, "order")
		number := n.Of(order)
		if back, err := n.Parse(number); err != nil || back != order {
			t.Fatalf("%d has the number %q, which is read as %d, %v", order, number, back, err)
		}
		if back, err := other.Parse(number); err != nil || back == order || back < 1 {
			t.Fatalf("%q is read with another key as %d, %v: want another order", number, back, err)
		}
	})
}

// Each wrong digit, each exchange of two neighbours and each lost or added digit is told, at every place.
func TestMistakesAreTold(t *testing.T) {
	t.Parallel()
	n := numbers(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		number := n.Of(orders.Draw(t, "order"))
		refused := func(wrong []byte) {
			if back, err := n.Parse(string(wrong)); err == nil {
				t.Fatalf("%s for %s is read as %d", wrong, number, back)
			}
		}
		for i := range number {
			for d := byte('0'); d <= '9'; d++ {
				wrong := []byte(number)
				if wrong[i] = d; d != number[i] {
					refused(wrong)
				}
			}
			if i > 0 && number[i] != number[i-1] {
				wrong := []byte(number)
				wrong[i], wrong[i-1] = wrong[i-1], wrong[i]
				refused(wrong)
			}
			refused([]byte(number[:i] + number[i+1:]))
			refused([]byte(number[:i] + "0" + number[i:]))
		}
	})
}

// The numbers of neighbours in time have nothing in common.
func TestNumbersShowNoOrder(t *testing.T) {
	t.Parallel()
	n := numbers(t, 1)
	larger, places := 0, [10]int{}
	const count = 10_000
	for id := ids.Order(1); id <= count; id++ {
		number := n.Of(id)
		if n.Of(id+1) > number {
			larger++
		}
		places[number[10]-'0']++
	}
	if larger < count*47/100 || larger > count*53/100 {
		t.Errorf("%d of %d numbers are smaller than the next one", larger, count)
	}
	for digit, times := range places {
		if times < count*8/100 || times > count*12/100 {
			t.Errorf("%d of %d numbers have %d in the middle", times, count, digit)
		}
	}
}

func TestNoNumbers(t *testing.T) {
	t.Parallel()
	n := numbers(t, 1)
	for _, text := range []string{
		"", "0", strings.Repeat("0", 20), strings.Repeat("9", 20), "92233720368547758088", strings.Repeat("1", 21),
		"1234567890123456789 ", "-1234567890123456789", "+1234567890123456789", "1234 5678 9012 3456 ", "١٢٣٤٥٦٧٨٩٠",
	} {
		if order, err := n.Parse(text); err == nil {
			t.Errorf("Parse(%q) = %d", text, order)
		}
	}
	for _, order := range []ids.Order{0, -1} {
		if number := n.Of(order); number != "" {
			t.Errorf("%d has the number %q", order, number)
		}
	}
	for _, size := range []int{0, 16, 31, 33, 64} {
		if _, err := orderno.New(make([]byte, size)); err == nil {
			t.Errorf("a key of %d bytes is taken", size)
		}
	}
}

func FuzzParse(f *testing.F) {
	n := numbers(f, 1)
	for _, text := range []string{"", n.Of(1), n.Of(math.MaxInt64), strings.Repeat("9", 20)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if order, err := n.Parse(text); err == nil && n.Of(order) != text {
			t.Errorf("%q is read as %d, whose number is %q", text, order, n.Of(order))
		}
	})
}
