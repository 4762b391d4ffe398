// Package money owns amounts of money: whole minor units of one currency, and never a float. Sums of two currencies are
// errors, and so is what does not fit. What is divided adds up to the whole again.
package money

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// MinorMax is the highest number of minor units, up and down: each reader of JSON has it exactly.
const MinorMax = 1<<53 - 1

// The errors of calculations.
var (
	ErrCurrency = errors.New("the amounts have two currencies")
	ErrRange    = errors.New("the amount is too large")

	errNoCurrency = errors.New("the amount has no currency")
	errRounding   = errors.New("want down, up, half_up or half_even")
	errWeights    = errors.New("nothing to divide by: want weights of which none is below 0, and one above")
)

// Amount is an amount of money. Its zero value has no currency, and adds to nothing.
type Amount struct {
	Minor    int64    `json:"amount"` // minor units, such as cents
	Currency Currency `json:"currency"`
}

// Check returns an error unless the amount has a currency and is in range. Whoever takes amounts from outside asks it.
func (a Amount) Check() error {
	if a.Currency == (Currency{}) {
		return errNoCurrency
	}
	_, err := a.with(a.Minor)
	return err
}

// with is so many minor units in the same currency.
func (a Amount) with(minor int64) (Amount, error) {
	if minor > MinorMax || minor < -MinorMax {
		return Amount{}, ErrRange
	}
	return Amount{minor, a.Currency}, nil
}

// Add is the sum of two amounts.
func (a Amount) Add(b Amount) (Amount, error) {
	if err := cmp.Or(a.Check(), b.Check()); err != nil {
		return Amount{}, err
	}
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("%w: %s and %s", ErrCurrency, a.Currency, b.Currency)
	}
	return a.with(a.Minor + b.Minor)
}

// Sub is the first amount without the second one.
func (a Amount) Sub(b Amount) (Amount, error) { return a.Add(b.Negative()) }

// Negative is the amount that the other side has.
func (a Amount) Negative() Amount { return Amount{-a.Minor, a.Currency} }

// Sum is the sum of amounts in a currency: 0 of none.
func Sum(c Currency, amounts ...Amount) (sum Amount, err error) {
	sum.Currency = c
	for _, a := range amounts {
		if sum, err = sum.Add(a); err != nil {
			return Amount{}, err
		}
	}
	return sum, sum.Check()
}

// Times is the price of so many units.
func (a Amount) Times(quantity int64) (Amount, error) {
	return a.Part(quantity, 1, Down)
}

// Rounding says what becomes of a part of a minor unit. A tax regime has one.
type Rounding uint8

// The ways to round. None depends on the sign: what is given back is what was taken.
const (
	Down     Rounding = iota // towards 0
	Up                       // away from 0
	HalfUp                   // to the nearest, a half away from 0
	HalfEven                 // to the nearest, a half to the even one
)

// roundings are the words of the ways to round, in their order.
var roundings = []string{"down", "up", "half_up", "half_even"}

// MarshalText implements encoding.TextMarshaler, and with it JSON.
func (r Rounding) MarshalText() ([]byte, error) {
	if int(r) >= len(roundings) {
		return nil, errRounding
	}
	return []byte(roundings[r]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *Rounding) UnmarshalText(text []byte) error {
	i := slices.Index(roundings, string(text))
	if i < 0 {
		return errRounding
	}
	*r = Rounding(i)
	return nil
}

// Part is the amount times a fraction, such as a rate of tax: 19 of 100. The fraction may have a sign.
func (a Amount) Part(of, whole int64, r Rounding) (Amount, error) {
	if err := a.Check(); err != nil {
		return Amount{}, err
	}
	if whole == 0 {
		return Amount{}, errors.New("divide an amount by 0")
	}
	high, low := bits.Mul64(size(a.Minor), size(of))
	if high >= size(whole) {
		return Amount{}, ErrRange // also of a quotient that is no 64-bit number
	}
	part, rest := bits.Div64(high, low, size(whole))
	if r.up(part, rest, size(whole)) {
		part++
	}
	if part > MinorMax {
		return Amount{}, ErrRange
	}
	if (a.Minor < 0) != (of < 0) != (whole < 0) {
		return a.with(-int64(part))
	}
	return a.with(int64(part))
}

// up reports whether a quotient with this rest becomes the next one.
func (r Rounding) up(quotient, rest, whole uint64) bool {
	switch r {
	case Up:
		return rest > 0
	case HalfUp:
		return rest >= whole-rest
	case HalfEven:
		return rest > whole-rest || rest == whole-rest && quotient%2 == 1
	case Down:
	}
	return false
}

// size is the number without its sign; -2^63 has one too.
func size(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// Allocate divides the amount over lines by weights, such as a discount by the lines' prices. The lines add up to the
// amount. Each gets its share rounded down. Of the units that remain, the largest line gets the first one, and the next
// largest ones the others, one each; of equal lines the first one comes first. So no line is more than one minor unit away
// from its share, and no line gets more than its weight unless the amount is more than all weights.
func (a Amount) Allocate(weights ...int64) ([]Amount, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	var whole int64
	for _, w := range weights {
		if w < 0 || w > MinorMax {
			return nil, errWeights
		}
		if whole += w; whole > MinorMax {
			return nil, ErrRange
		}
	}
	if whole == 0 {
		return nil, errWeights
	}
	lines, largest := make([]Amount, len(weights)), make([]int, len(weights))
	rest := a.Minor
	for i, w := range weights {
		share, err := a.Part(w, whole, Down)
		if err != nil {
			return nil, err
		}
		lines[i], largest[i] = share, i
		rest -= share.Minor
	}
	slices.SortStableFunc(largest, func(i, j int) int { return cmp.Compare(weights[j], weights[i]) })
	one := int64(1)
	if rest < 0 {
		one = -1
	}
	for i := 0; rest != 0; i++ { // fewer units remain than lines have a share
		lines[largest[i]].Minor += one
		rest -= one
	}
	return lines, nil
}

// Units is what each of so many units of a line costs, and what the last one does, which takes what remains.
func (a Amount) Units(quantity int64) (each, last Amount, err error) {
	if quantity < 1 {
		return Amount{}, Amount{}, fmt.Errorf("divide an amount into %d units", quantity)
	}
	if each, err = a.Part(1, quantity, Down); err != nil {
		return Amount{}, Amount{}, err
	}
	last, err = a.with(a.Minor - each.Minor*(quantity-1))
	return each, last, err
}

// Parse reads an amount of a currency as people write it, in one form only: an optional minus, digits without leading
// zeros, and a point with all digits of the currency, if it has any.
func Parse(text string, c Currency) (Amount, error) {
	number, negative := strings.CutPrefix(text, "-")
	whole, fraction, point := strings.Cut(number, ".")
	wrong := len(number) > 20 || whole == "" || len(whole) > 1 && whole[0] == '0' ||
		len(fraction) != c.Digits() || point != (c.Digits() > 0)
	for _, d := range []byte(whole + fraction) {
		wrong = wrong || d < '0' || d > '9'
	}
	if wrong || c == (Currency{}) {
		return Amount{}, fmt.Errorf("no amount %.30q of %s: want one such as %s", text, c, Amount{1250, c}.number())
	}
	minor, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return Amount{}, ErrRange
	}
	if negative {
		if minor == 0 {
			return Amount{}, fmt.Errorf("no amount %q: 0 has no sign", text)
		}
		minor = -minor
	}
	return Amount{Currency: c}.with(minor)
}

// String is the amount for people and logs, as Parse reads it, and the currency: 12.50 EUR.
func (a Amount) String() string {
	if a.Currency == (Currency{}) {
		return "no amount"
	}
	return a.number() + " " + a.Currency.code
}

func (a Amount) number() string {
	digits := strconv.FormatUint(size(a.Minor), 10)
	if places := a.Currency.Digits(); places > 0 {
		digits = strings.Repeat("0", max(0, places+1-len(digits))) + digits
		digits = digits[:len(digits)-places] + "." + digits[len(digits)-places:]
	}
	if a.Minor < 0 {
		return "-" + digits
	}
	return digits
}
