package chart_test

import (
	"math"
	"strings"
	"testing"

	"sluice/bench/report/chart"
)

func TestChartsHaveNoMoreLinesThanColors(t *testing.T) {
	t.Parallel()
	c := chart.Chart{ID: "many", Labels: []string{"0", "1"}, Lines: make([]chart.Line, chart.LinesMax)}
	for i := range c.Lines {
		c.Lines[i].Values = []float64{1, 2}
	}
	text, err := c.SVG()
	if err != nil {
		t.Fatal(err)
	}
	for _, color := range []string{"stroke:var(--line-0);stroke-dasharray:var(--dash-0)", "stroke:var(--line-7);stroke-dasharray:var(--dash-7)", "fill:var(--ink)"} {
		if !strings.Contains(string(text), color) {
			t.Errorf("no %s", color)
		}
	}
	c.Lines = append(c.Lines, c.Lines[0])
	if _, err := c.SVG(); err == nil {
		t.Error("a line without a color was drawn")
	}
}

func TestWhatHasNoPlaceIsNotDrawn(t *testing.T) {
	t.Parallel()
	f := func(log bool, want bool, values ...float64) {
		t.Helper()
		c := chart.Chart{ID: "odd", Log: log, Labels: make([]string, len(values)), Lines: []chart.Line{{Values: values}}}
		if c.Empty() == want {
			t.Errorf("%v: drawn: %v, want %v", values, !want, want)
		}
		if _, err := c.SVG(); want && err != nil {
			t.Errorf("%v: %v", values, err)
		}
	}
	f(false, true, 0)
	f(false, true, math.NaN(), math.Inf(1), 5, -3, 1e300)
	f(true, true, 0, 1e-3, 1e14)
	f(true, false, 0)
	f(false, false, math.NaN(), math.Inf(-1), -1)
	f(false, false)
}
