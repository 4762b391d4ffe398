package web

import (
	"fmt"
	"strconv"
	"time"

	"sluice/core/moment"
)

// LimitMax is how many items a page of a list has at most.
const LimitMax = 100

// Limit is how many items of a list are asked for; 0 if the request does not say.
type Limit int

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Limit) UnmarshalText(text []byte) error {
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > LimitMax || strconv.Itoa(n) != string(text) {
		return fmt.Errorf("want a number from 1 to %d", LimitMax)
	}
	*l = Limit(n)
	return nil
}

// Or is the limit, or another one if the request does not say.
func (l Limit) Or(other int) int {
	if l == 0 {
		return other
	}
	return int(l)
}

// Moment is a time in a query; the zero time if the request does not say.
type Moment struct{ time.Time }

// UnmarshalText implements encoding.TextUnmarshaler, more strictly than a time does.
func (m *Moment) UnmarshalText(text []byte) (err error) {
	m.Time, err = moment.Parse(string(text))
	return err
}
