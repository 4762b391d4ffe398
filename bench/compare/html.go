package compare

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{"ms": ms, "ratio": ratio, "figure": figure}).Parse(pageText))

// HTML writes the comparison as one page that needs no other file.
func (r *Report) HTML(w io.Writer) error {
	fastest, dearest := 0.0, 0.0
	for i := range r.Rows {
		fastest = max(fastest, r.Rows[i].PerSecond.Max)
		dearest = max(dearest, r.Rows[i].CPUTotal.Median)
	}
	view := pageView{Report: r, About: r.about()}
	for i := range r.Rows {
		row := &r.Rows[i]
		v := rowView{Row: row, Oversold: row.oversold(), Rate: bar(row.PerSecond.Median, fastest), Low: bar(row.PerSecond.Min, fastest), High: bar(row.PerSecond.Max, fastest)}
		for n, name := range slices.Sorted(maps.Keys(row.CPU)) {
			v.CPU = append(v.CPU, cpuView{Name: name, US: fmt.Sprintf("%.1f", row.CPU[name]), Width: bar(row.CPU[name], dearest), Shade: n % shades})
		}
		v.Total = row.cpu()
		view.Rows = append(view.Rows, v)
	}
	return page.Execute(w, view)
}

// shades is how many the style sheet has for parts of a bar.
const shades = 6

type pageView struct {
	*Report

	About string
	Rows  []rowView
}

type rowView struct {
	*Row

	Oversold        string
	Rate, Low, High string // widths in per cent
	CPU             []cpuView
	Total           string
}

type cpuView struct {
	Name, US, Width string
	Shade           int
}

// bar is a part of a whole in per cent.
func bar(part, whole float64) string {
	if whole <= 0 {
		return "0"
	}
	return fmt.Sprintf("%.2f", 100*part/whole)
}
