package report

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Want is a threshold that a run is to meet, such as p99<50ms.
type Want struct {
	text    string
	shopper bool // it speaks about shoppers with all their repetitions, and not about single requests
	word    Word
	metric  string // a percentile, share, rate or fairness
	than    string // < or <=, > or >=
	bound   float64
}

var wantForm = regexp.MustCompile(`^(shopper\.)?(?:(?:([a-z_]+)\.)?(p50|p90|p99|p99\.9|max)|([a-z_]+(?:/s)?))(<=|>=|<|>)(.+)$`)

// ParseWant reads a threshold. Its left side is a percentile of an outcome (sold_out.p99; alone: of accepted), an
// outcome (its share of all answers), an outcome per second (accepted/s), or fairness. Percentiles and shares are those of
// shoppers with all their repetitions if it begins with shopper.
func ParseWant(text string) (Want, error) {
	wrong := func(err error) (Want, error) {
		return Want{}, fmt.Errorf("%q: %w, such as p99<50ms, shopper.p99<2s, sold_out.p99<20ms, accepted>0.9, shed<0.1, accepted/s>1000 or fairness>0.8", text, err)
	}
	parts := wantForm.FindStringSubmatch(text)
	if parts == nil {
		return wrong(errors.New("want a threshold"))
	}
	name, bound := parts[2]+parts[4], parts[6]
	w := Want{text: text, shopper: parts[1] != "", word: Accepted, metric: parts[3], than: parts[5]}
	var err error
	switch {
	case w.metric != "":
		if name != "" {
			w.word = Word(name)
		}
		var d time.Duration
		d, err = time.ParseDuration(bound)
		w.bound = float64(d.Microseconds()) / 1e3
		if err != nil || d <= 0 {
			return wrong(fmt.Errorf("%q is no duration above 0: want a threshold", bound))
		}
	case name == "fairness":
		w.metric = name
		w.bound, err = strconv.ParseFloat(bound, 64)
	case len(name) > 2 && name[len(name)-2:] == "/s":
		w.word, w.metric = Word(name[:len(name)-2]), "rate"
		w.bound, err = strconv.ParseFloat(bound, 64)
	default:
		w.word, w.metric = Word(name), "share"
		w.bound, err = strconv.ParseFloat(bound, 64)
	}
	switch {
	case !slices.Contains(Words, w.word):
		return wrong(fmt.Errorf("there is no outcome %q: want a threshold", w.word))
	case err != nil || !(w.bound >= 0 && w.bound <= 1e12):
		return wrong(fmt.Errorf("%q is no number of 0 or above: want a threshold", bound))
	case (w.metric == "share" || w.metric == "fairness") && w.bound > 1:
		return wrong(fmt.Errorf("%s is a share, 0 to 1: want a threshold", name))
	case w.shopper && w.metric == "fairness":
		return wrong(errors.New("fairness is always about shoppers: want a threshold"))
	}
	return w, nil
}

// Of holds a report to the threshold. If nothing happened that it speaks about, it is missed.
func (w *Want) Of(r *Report) Threshold {
	outcomes := r.Outcomes
	if w.shopper {
		outcomes = r.Shoppers
	}
	o, all := outcome(outcomes, w.word), Count(outcomes)
	if o == nil {
		return Threshold{Text: w.text}
	}
	value, known, unit := 0.0, true, ""
	switch w.metric {
	case "share":
		known = all > 0
		value = float64(o.Count) / float64(max(1, all))
	case "rate":
		value, unit = o.PerSecond, "per second"
	case "fairness":
		if known = r.Fairness != nil; known {
			value = r.Fairness.InOrder
		}
	default:
		known = o.Count > 0
		l := o.Latency
		unit = "ms"
		value = map[string]float64{"p50": l.P50MS, "p90": l.P90MS, "p99": l.P99MS, "p99.9": l.P999MS, "max": l.MaxMS}[w.metric]
	}
	met := map[string]bool{"<": value < w.bound, "<=": value <= w.bound, ">": value > w.bound, ">=": value >= w.bound}[w.than]
	return Threshold{Text: w.text, Value: value, Unit: unit, Met: known && met}
}
