// Package chart draws the charts of a page: lines over a common axis, as SVG that follows the colors of the page and
// needs nothing from elsewhere.
package chart

import (
	"fmt"
	"html/template"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"
)

// LinesMax is how many lines a chart may have: the page has so many colors and patterns.
const LinesMax = 8

// valueMax bounds what is drawn. Nothing that is counted or timed comes near it.
const valueMax = 1e15

const (
	width, height = 960, 320
	textSize      = 10
)

// Line is a line of a chart. Names are shown beside the chart, not in it.
type Line struct {
	Name   string
	Values []float64 // one for each label; NaN: none
}

// Chart is a chart of lines.
type Chart struct {
	ID     string // of the page's element: letters, digits and hyphens
	Title  string
	Says   string // what the chart shows, for those who cannot see it
	X, Y   string // what the axes count, with the unit
	Labels []string
	Lines  []Line
	// Log spaces values by their logarithm. Values of 0 and less have no place on it, and are left out.
	Log bool
}

// Empty reports whether there is nothing to draw.
func (c *Chart) Empty() bool {
	for _, line := range c.Lines {
		for _, v := range line.Values {
			if c.drawn(v) {
				return false
			}
		}
	}
	return true
}

func (c *Chart) drawn(v float64) bool {
	return v >= 0 && v < valueMax && (!c.Log || v > 0)
}

// The library writes these colors, which nothing else has. The page has its own in their place.
var (
	ink    = charts.Color{R: 1, G: 2, B: 0, A: 255}
	grid   = charts.Color{R: 1, G: 2, B: 1, A: 255}
	paper  = charts.Color{R: 1, G: 2, B: 2, A: 255}
	colors = func() (list []charts.Color) {
		for i := range LinesMax {
			list = append(list, charts.Color{R: 1, G: 3, B: uint8(i), A: 255})
		}
		return list
	}()
	drawnColor = regexp.MustCompile(`(stroke|fill):rgb\(1,([23]),(\d)\)`)
)

// SVG draws the chart. Screen readers read its title and what it says.
func (c *Chart) SVG() (template.HTML, error) {
	if len(c.Lines) > LinesMax {
		return "", fmt.Errorf("chart %s: %d lines: at most %d", c.ID, len(c.Lines), LinesMax)
	}
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: width, Height: height})
	err := painter.LineChart(c.options())
	var drawn []byte
	if err == nil {
		drawn, err = painter.Bytes()
	}
	if err != nil {
		return "", fmt.Errorf("chart %s: %w", c.ID, err)
	}
	_, body, ok := strings.Cut(string(drawn), ">")
	if !ok {
		return "", fmt.Errorf("chart %s: no SVG was drawn", c.ID)
	}
	id := template.HTMLEscapeString(c.ID)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %d" role="img" aria-labelledby="%s-title" aria-describedby="%s-says">`+
		`<title id="%s-title">%s</title><desc id="%s-says">%s</desc>`, width, height, id, id,
		id, template.HTMLEscapeString(c.Title), id, template.HTMLEscapeString(c.Says)) +
		drawnColor.ReplaceAllStringFunc(body, ofPage)), nil
}

func (c *Chart) options() charts.LineChartOption {
	values := make([][]float64, len(c.Lines))
	low, high := math.Inf(1), math.Inf(-1)
	for i, line := range c.Lines {
		for _, v := range line.Values {
			if !c.drawn(v) {
				values[i] = append(values[i], charts.GetNullValue())
				continue
			}
			if c.Log {
				v = math.Log10(v)
			}
			low, high = min(low, v), max(high, v)
			values[i] = append(values[i], v)
		}
	}
	o := charts.NewLineChartOptionWithData(values)
	o.Theme = charts.MakeTheme(charts.ThemeOption{
		AxisStrokeColor: ink, AxisSplitLineColor: grid, BackgroundColor: paper, TextColor: ink, SeriesColors: colors,
	})
	o.Symbol.Shape = charts.SymbolNone
	if len(c.Labels) == 1 {
		o.Symbol.Shape = charts.SymbolDot // a line needs two
	}
	o.LineStrokeWidth = 2
	o.Legend.Show, o.Title.Show = charts.Ptr(false), charts.Ptr(false)
	o.Padding = charts.NewBoxEqual(textSize)
	style := charts.NewFontStyleWithSize(textSize)
	o.XAxis = charts.XAxisOption{Title: c.X, Labels: c.Labels, LabelFontStyle: style, TitleFontStyle: style, BoundaryGap: charts.Ptr(false), LabelCount: min(11, max(2, len(c.Labels)))}
	y := charts.YAxisOption{Title: c.Y, LabelFontStyle: style, TitleFontStyle: style, SplitLineShow: charts.Ptr(true), ValueFormatter: short}
	if c.Log {
		low, high = math.Floor(low), math.Ceil(high)
		if high <= low {
			high = low + 1
		}
		y.Min, y.Max, y.LabelCount = &low, &high, int(high-low)+1
		y.RangeValuePaddingScale = charts.Ptr(0.0)
		y.ValueFormatter = func(v float64) string { return short(math.Pow(10, v)) }
	} else {
		y.Min = charts.Ptr(0.0)
	}
	o.YAxis = []charts.YAxisOption{y}
	return o
}

// ofPage puts a color of the page in the place of one that the library wrote. Lines differ in their pattern too, for
// those who do not see the colors, and on paper.
func ofPage(drawn string) string {
	m := drawnColor.FindStringSubmatch(drawn)
	property, kind, i := m[1], m[2], m[3]
	if kind == "2" {
		return property + ":var(--" + map[string]string{"0": "ink", "1": "line", "2": "paper"}[i] + ")"
	}
	color := property + ":var(--line-" + i + ")"
	if property == "stroke" {
		color += ";stroke-dasharray:var(--dash-" + i + ")"
	}
	return color
}

// short writes a number with the digits that an axis needs.
func short(v float64) string {
	a := math.Abs(v)
	switch {
	case a >= 1e9:
		return round(v/1e9) + " G"
	case a >= 1e6:
		return round(v/1e6) + " M"
	case a >= 1e3:
		return round(v/1e3) + " k"
	}
	return round(v)
}

func round(v float64) string { return strconv.FormatFloat(v, 'g', 4, 64) }
