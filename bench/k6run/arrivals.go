package k6run

import (
	"math"
	"time"
)

// arrivals tells when iterations of an arrival rate start, one after the other. They are as far apart as the rate of their
// moment says; k6 does not bundle them either.
type arrivals struct {
	parts []ramp
	unit  time.Duration
	n     int64 // started so far

	at     time.Duration // where the first of parts begins
	before float64       // iterations before it
}

// ramp is a piece of time in which the rate goes from one value to another, evenly.
type ramp struct {
	from, to float64 // per unit
	length   time.Duration
}

func newArrivals(s *scenario) *arrivals {
	a := &arrivals{unit: time.Duration(s.TimeUnit)}
	if s.Executor == constantRate {
		a.parts = []ramp{{float64(s.Rate), float64(s.Rate), time.Duration(s.Duration)}}
		return a
	}
	rate := float64(s.StartRate)
	for _, part := range s.Stages {
		a.parts = append(a.parts, ramp{rate, float64(part.Target), time.Duration(part.Duration)})
		rate = float64(part.Target)
	}
	return a
}

// next returns when the next iteration starts, or false if there is none.
func (a *arrivals) next() (time.Duration, bool) {
	for len(a.parts) > 0 {
		part := a.parts[0]
		length := float64(part.length) / float64(a.unit)
		whole := (part.from + part.to) / 2 * length
		if wanted := float64(a.n) - a.before; wanted < whole {
			a.n++
			return a.at + time.Duration(part.reach(wanted, length)*float64(a.unit)), true
		}
		a.before += whole
		a.at += part.length
		a.parts = a.parts[1:]
	}
	return 0, false
}

// reach is the time, in units, at which so many iterations of the ramp have started: from*t + (to-from)/(2*length)*t² = n.
func (r ramp) reach(n, length float64) float64 {
	if r.from == r.to {
		return n / r.from
	}
	slope := (r.to - r.from) / length
	return (math.Sqrt(max(r.from*r.from+2*slope*n, 0)) - r.from) / slope
}
