package page

import (
	"fmt"
	"html/template"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"

	"sluice/bench/report"
	"sluice/bench/report/chart"
)

// pointsMax bounds the points of a line and the rows of its table. A longer run has several seconds in each.
const pointsMax = 600

// figure is a chart with its numbers.
type figure struct {
	chart.Chart

	SVG   template.HTML
	Empty bool // there is nothing to draw
	Head  []string
	Rows  [][]string
}

// figures draws all charts of a report.
func figures(r *report.Report) ([]figure, error) {
	charts := []chart.Chart{rate(r), times(r), distribution(r), stock(r), fairness(r), lateness(r)}
	list := make([]figure, 0, len(charts))
	for _, c := range charts {
		f := figure{Chart: c, Empty: c.Empty(), Head: []string{c.X}}
		for _, line := range c.Lines {
			f.Head = append(f.Head, line.Name)
		}
		for i, label := range c.Labels {
			row := []string{label}
			for _, line := range c.Lines {
				row = append(row, cell(line.Values[i]))
			}
			f.Rows = append(f.Rows, row)
		}
		if !f.Empty {
			var err error
			if f.SVG, err = c.SVG(); err != nil {
				return nil, err
			}
		}
		list = append(list, f)
	}
	return list, nil
}

func cell(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return report.Number(v)
}

// steps are the seconds of a run, put together so that a line has no more points than it may.
type steps struct {
	all    []report.Second
	length int // seconds in each
}

func stepsOf(r *report.Report) steps {
	return steps{r.Seconds, max(1, (len(r.Seconds)+pointsMax-1)/pointsMax)}
}

func (s steps) labels() (list []string) {
	for at := 0; at < len(s.all); at += s.length {
		list = append(list, strconv.Itoa(at))
	}
	return list
}

// line makes a point of each step.
func (s steps) line(name string, of func([]report.Second) float64) chart.Line {
	l := chart.Line{Name: name}
	for at := 0; at < len(s.all); at += s.length {
		l.Values = append(l.Values, of(s.all[at:min(at+s.length, len(s.all))]))
	}
	return l
}

// perSecond makes a line of the mean of a step.
func (s steps) perSecond(name string, of func(*report.Second) int64) chart.Line {
	return s.line(name, func(part []report.Second) float64 {
		sum := 0.0
		for i := range part {
			sum += float64(of(&part[i]))
		}
		return sum / float64(len(part))
	})
}

// highest makes a line of the highest value of a step; what is 0 has none.
func (s steps) highest(name string, of func(*report.Second) float64) chart.Line {
	return s.line(name, func(part []report.Second) float64 {
		top := math.NaN()
		for i := range part {
			if v := of(&part[i]); v > 0 && !(v <= top) {
				top = v
			}
		}
		return top
	})
}

func (s steps) x() string { return "second since the first arrival" }

// says adds what a point is, if it is more than a second.
func (s steps) says(text, several string) string {
	if s.length == 1 {
		return text
	}
	return fmt.Sprintf("%s Each point is %d seconds: %s.", text, s.length, several)
}

func rate(r *report.Report) chart.Chart {
	s := stepsOf(r)
	c := chart.Chart{
		ID: "rate", Title: "Rate and outcomes over time", X: s.x(), Y: "per second", Labels: s.labels(),
		Says: s.says("How many requests were to be sent in each second, and how many were answered in it, by outcome.", "their mean"),
	}
	c.Lines = append(c.Lines, s.perSecond("planned", func(s *report.Second) int64 { return s.Planned }))
	for _, w := range report.Words {
		l := s.perSecond(word(w), func(s *report.Second) int64 { return s.Outcomes[w] })
		if some(l) {
			c.Lines = append(c.Lines, l)
		}
	}
	return c
}

func some(l chart.Line) bool {
	for _, v := range l.Values {
		if v > 0 {
			return true
		}
	}
	return false
}

func times(r *report.Report) chart.Chart {
	s := stepsOf(r)
	return chart.Chart{
		ID: "times", Title: "Latency over time", X: s.x(), Y: "milliseconds", Labels: s.labels(), Log: true,
		Says: s.says("How long the answers of each second took, of all outcomes, from the time at which their requests were to be sent.", "the highest of them"),
		Lines: []chart.Line{
			s.highest("p50", func(s *report.Second) float64 { return s.P50MS }),
			s.highest("p99", func(s *report.Second) float64 { return s.P99MS }),
		},
	}
}

// quantiles are the places at which the distribution of latencies is drawn.
var quantiles = []float64{10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}

func distribution(r *report.Report) chart.Chart {
	c := chart.Chart{
		ID: "distribution", Title: "Latency by outcome", X: "percentile", Y: "milliseconds", Log: true,
		Says: "For each outcome, the time within which a part of its answers came: at 99, all but one in a hundred.",
	}
	for _, q := range quantiles {
		c.Labels = append(c.Labels, strconv.FormatFloat(q, 'g', -1, 64))
	}
	for i := range r.Outcomes {
		o := &r.Outcomes[i]
		h, err := o.Latency.Decode()
		if err != nil || h.TotalCount() == 0 { // the reader has refused a report with a broken one
			continue
		}
		l := chart.Line{Name: word(o.Name)}
		for _, q := range quantiles {
			l.Values = append(l.Values, report.Quantile(h, q))
		}
		c.Lines = append(c.Lines, l)
	}
	return c
}

func stock(r *report.Report) chart.Chart {
	s := stepsOf(r)
	return chart.Chart{
		ID: "stock", Title: "Stock going down", X: s.x(), Y: "free units", Labels: s.labels(),
		Says: s.says("How many units of the most wanted SKU were free.", "the last of them"),
		Lines: []chart.Line{s.line("free units", func(part []report.Second) float64 {
			left := math.NaN()
			for i := range part {
				if n := part[i].StockLeft; n != nil {
					left = float64(*n)
				}
			}
			return left
		})},
	}
}

func fairness(r *report.Report) chart.Chart {
	c := chart.Chart{
		ID: "fairness", Title: "Who won against when they came", X: "milliseconds since the first arrival", Y: "shoppers",
		Says: "Of those who came in each slice of time, how many won a unit and how many were told that it is sold out.",
	}
	if r.Fairness == nil {
		return c
	}
	won, lost := chart.Line{Name: "won"}, chart.Line{Name: "lost"}
	for i := range r.Fairness.Slices[:min(pointsMax, len(r.Fairness.Slices))] {
		s := &r.Fairness.Slices[i]
		c.Labels = append(c.Labels, humanize.CommafWithDigits(s.FromMS, 1))
		won.Values = append(won.Values, float64(s.Winners))
		lost.Values = append(lost.Values, float64(s.Losers))
	}
	c.Lines = []chart.Line{won, lost}
	return c
}

func lateness(r *report.Report) chart.Chart {
	s := stepsOf(r)
	return chart.Chart{
		ID: "lateness", Title: "Late sends", X: s.x(), Y: "per second", Labels: s.labels(),
		Says: s.says("How many requests of each second the generator sent, and how many late by its own fault.", "their mean"),
		Lines: []chart.Line{
			s.perSecond("sent", func(s *report.Second) int64 { return s.Sent }),
			s.perSecond("late", func(s *report.Second) int64 { return s.Late }),
		},
	}
}
