package report

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Condition is a threshold that a run is held to, such as p99<50ms.
type Condition struct {
	text   string
	word   Word
	metric string // a percentile, share, rate or fairness
	than   string // < or <=, > or >=
	bound  float64
}

var conditionForm = regexp.MustCompile(`^(?:(?:([a-z_]+)\.)?(p50|p90|p99|p99\.9|max)|([a-z_]+(?:/s)?))(<=|>=|<|>)(.+)$`)

// ParseCondition reads a condition. Its left side is a percentile of an outcome (sold_out.p99; alone: of accepted), an
// outcome (its share of all answers), an outcome per second (accepted/s), or fairness.
func ParseCondition(text string) (Condition, error) {
	wrong := func(err error) (Condition, error) {
		return Condition{}, fmt.Errorf("%q: %w, such as p99<50ms, sold_out.p99<20ms, accepted>0.9, shed<0.1, accepted/s>1000 or fairness>0.8", text, err)
	}
	parts := conditionForm.FindStringSubmatch(text)
	if parts == nil {
		return wrong(errors.New("want a condition"))
	}
	name, bound := parts[1]+parts[3], parts[5]
	c := Condition{text: text, word: Accepted, metric: parts[2], than: parts[4]}
	var err error
	switch {
	case c.metric != "":
		if name != "" {
			c.word = Word(name)
		}
		var d time.Duration
		d, err = time.ParseDuration(bound)
		c.bound = float64(d.Microseconds()) / 1e3
		if err != nil || d <= 0 {
			return wrong(fmt.Errorf("%q is no duration above 0: want a condition", bound))
		}
	case name == "fairness":
		c.metric = name
		c.bound, err = strconv.ParseFloat(bound, 64)
	case len(name) > 2 && name[len(name)-2:] == "/s":
		c.word, c.metric = Word(name[:len(name)-2]), "rate"
		c.bound, err = strconv.ParseFloat(bound, 64)
	default:
		c.word, c.metric = Word(name), "share"
		c.bound, err = strconv.ParseFloat(bound, 64)
	}
	switch {
	case !slices.Contains(Words, c.word):
		return wrong(fmt.Errorf("there is no outcome %q: want a condition", c.word))
	case err != nil || !(c.bound >= 0 && c.bound <= 1e12):
		return wrong(fmt.Errorf("%q is no number of 0 or above: want a condition", bound))
	case (c.metric == "share" || c.metric == "fairness") && c.bound > 1:
		return wrong(fmt.Errorf("%s is a share, 0 to 1: want a condition", name))
	}
	return c, nil
}

// Of holds a report to the condition. If nothing happened that it speaks about, it is missed.
func (c *Condition) Of(r *Report) Threshold {
	o := r.Outcome(c.word)
	value, known := 0.0, true
	switch c.metric {
	case "share":
		known = r.Answers() > 0
		value = float64(o.Count) / float64(max(1, r.Answers()))
	case "rate":
		value = o.PerSecond
	case "fairness":
		if known = r.Fairness != nil; known {
			value = r.Fairness.InOrder
		}
	default:
		known = o.Count > 0
		l := o.Latency
		value = map[string]float64{"p50": l.P50MS, "p90": l.P90MS, "p99": l.P99MS, "p99.9": l.P999MS, "max": l.MaxMS}[c.metric]
	}
	met := map[string]bool{"<": value < c.bound, "<=": value <= c.bound, ">": value > c.bound, ">=": value >= c.bound}[c.than]
	return Threshold{Text: c.text, Value: value, Met: known && met}
}
