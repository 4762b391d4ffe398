package load

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The bounds of a plan.
const (
	rateMax     = 1_000_000 // per second
	lengthMax   = 24 * time.Hour
	arrivalsMax = 1_000_000_000
	pointsMax   = 100_000
)

// Curve is a rate of arrivals over time. Between its points the rate is linear. Two points at one time are a step.
type Curve []Point

// Point is a rate at a time.
type Point struct {
	At        time.Duration
	PerSecond float64
}

// Constant is the same rate all the time.
func Constant(rate float64, length time.Duration) Curve { return Curve{{0, rate}, {length, rate}} }

// Ramp is a rate that rises from 0.
func Ramp(rate float64, length time.Duration) Curve { return Curve{{0, 0}, {length, rate}} }

// Opening is the beginning of a sale: within a fifth of a second everybody who has waited comes, for a second the rate
// stays at its peak, and then it falls, by half every second, to a tenth.
func Opening(peak float64, length time.Duration) Curve {
	c := Curve{{0, 0}}
	add := func(at time.Duration, rate float64) bool {
		if at >= length {
			last := c[len(c)-1]
			part := float64(length-last.At) / float64(at-last.At)
			c = append(c, Point{length, last.PerSecond + part*(rate-last.PerSecond)})
			return false
		}
		c = append(c, Point{at, rate})
		return true
	}
	at := 200 * time.Millisecond
	if !add(at, peak) {
		return c
	}
	for rate := peak; rate > peak/10; rate *= math.Sqrt(0.5) {
		if at += 500 * time.Millisecond; at <= 1200*time.Millisecond {
			rate = peak
		}
		if !add(at, max(rate, peak/10)) {
			return c
		}
	}
	add(at+500*time.Millisecond, peak/10)
	if c[len(c)-1].At < length {
		c = append(c, Point{length, peak / 10})
	}
	return c
}

// ReadCurve reads a curve from CSV with the columns seconds and per_second.
func ReadCurve(from io.Reader) (Curve, error) {
	r := csv.NewReader(transform.NewReader(from, unicode.BOMOverride(transform.Nop))) // spreadsheets begin a file with a mark
	r.FieldsPerRecord = 2
	r.TrimLeadingSpace = true
	header, err := r.Read()
	if err != nil || strings.TrimSpace(header[0]) != "seconds" || strings.TrimSpace(header[1]) != "per_second" {
		return nil, errors.New("want CSV whose first line is seconds,per_second")
	}
	var c Curve
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		line, _ := r.FieldPos(0)
		at, err1 := strconv.ParseFloat(strings.TrimSpace(row[0]), 64)
		rate, err2 := strconv.ParseFloat(strings.TrimSpace(row[1]), 64)
		if err1 != nil || err2 != nil || !(at >= 0 && at <= lengthMax.Seconds()) {
			return nil, fmt.Errorf("line %d: %q: want seconds, at most %.0f, and a rate", line, strings.Join(row, ","), lengthMax.Seconds())
		}
		if c = append(c, Point{time.Duration(at * float64(time.Second)), rate}); len(c) > pointsMax {
			return nil, fmt.Errorf("more than %d points", pointsMax)
		}
	}
	return c, c.Validate()
}

// Validate reports what makes no sense.
func (c Curve) Validate() error {
	if len(c) < 2 {
		return errors.New("a curve needs two points at least")
	}
	if c[0].At != 0 {
		return fmt.Errorf("a curve begins at 0 seconds, not at %v", c[0].At)
	}
	for i, p := range c {
		switch {
		case !(p.PerSecond >= 0 && p.PerSecond <= rateMax):
			return fmt.Errorf("%v per second at %v: want 0 to %d", p.PerSecond, p.At, rateMax)
		case i > 0 && p.At < c[i-1].At:
			return fmt.Errorf("a curve goes forward in time: %v comes after %v", p.At, c[i-1].At)
		}
	}
	switch total := c.Total(); {
	case c.Length() <= 0 || c.Length() > lengthMax:
		return fmt.Errorf("length %v: want up to %v", c.Length(), lengthMax)
	case total < 1:
		return errors.New("nobody comes: want a higher rate, or a longer time")
	case total > arrivalsMax:
		return fmt.Errorf("%.0f arrivals: want %d at most", total, arrivalsMax)
	}
	return nil
}

// Length is when the curve ends.
func (c Curve) Length() time.Duration { return c[len(c)-1].At }

// Total is how many arrivals are expected.
func (c Curve) Total() (n float64) {
	for i := 1; i < len(c); i++ {
		n += area(c[i-1], c[i])
	}
	return n
}

// Peak is the highest rate.
func (c Curve) Peak() (rate float64) {
	for _, p := range c {
		rate = max(rate, p.PerSecond)
	}
	return rate
}

func area(from, to Point) float64 {
	return (from.PerSecond + to.PerSecond) / 2 * (to.At - from.At).Seconds()
}

// times yields when arrivals come, in order. The gap to the next one, counted in expected arrivals, comes from next.
func (c Curve) times(next func() float64) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		done, at := 0.0, next()
		for i := 1; i < len(c); i++ {
			from, to := c[i-1], c[i]
			here := area(from, to)
			for ; at <= done+here; at += next() {
				if !yield(min(from.At+within(from, to, at-done), to.At)) {
					return
				}
			}
			done += here
		}
	}
}

// within returns how long after the first point so many arrivals are expected.
func within(from, to Point, arrivals float64) time.Duration {
	slope := (to.PerSecond - from.PerSecond) / (to.At - from.At).Seconds()
	root := math.Sqrt(max(0, from.PerSecond*from.PerSecond+2*slope*arrivals))
	seconds := 2 * arrivals / (from.PerSecond + root)
	if math.IsNaN(seconds) || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds*float64(time.Second), float64(lengthMax)))
}

// evenly spaces arrivals by the curve alone.
func evenly() func() float64 {
	gap := 0.5
	return func() float64 {
		g := gap
		gap = 1
		return g
	}
}

// atRandom spaces arrivals as independent people come: a Poisson process.
func atRandom(r *rand.Rand) func() float64 { return r.ExpFloat64 }
