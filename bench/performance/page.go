package main

import (
	"bytes"
	"embed"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"

	"sluice/core/local"
)

//go:embed page/*.md
var texts embed.FS

// writePage writes the page from the reports in a directory.
func writePage(dir, to string) error {
	reports, err := readReports(dir)
	if err != nil {
		return err
	}
	text, err := renderPage(reports)
	if err != nil {
		return fmt.Errorf("%s is not written: %w", to, err)
	}
	return os.WriteFile(to, text, 0o644)
}

// renderPage fails if the text wants a figure that no report has.
func renderPage(reports map[string]*report) ([]byte, error) {
	p := pages{reports: reports}
	t, err := template.New("").Funcs(template.FuncMap{
		"measured": p.measured, "fig": p.fig, "num": p.num, "span": p.span, "goal": p.goal, "all": p.all, "rows": titled,
		"machine": p.machine, "cores": p.cores, "total": p.total, "kafka": func() string { return local.KafkaVersion },
		"show": show, "over": over, "mul": mul, "sum": sum, "list": func(words ...string) []string { return words },
	}).ParseFS(texts, "page/*.md")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, part := range []string{"figures.md", "tuning.md"} {
		if err := t.ExecuteTemplate(&b, part, nil); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// pages has the functions of the text.
type pages struct{ reports map[string]*report }

func (p pages) of(name string) (*report, error) {
	r := p.reports[name]
	if r == nil {
		return nil, fmt.Errorf("%s has no report: measure it by --only %s", name, name)
	}
	return r, nil
}

// measured is the command of a report, and how it ran.
func (p pages) measured(name string) (string, error) {
	r, err := p.of(name)
	if err != nil {
		return "", err
	}
	size := ""
	if r.Quick {
		size = " **At a size for trying: these figures mean little.**"
	}
	commit := r.Commit
	if r.Modified {
		commit += " with changes"
	}
	return fmt.Sprintf("```sh\n%s\n```\n\n*%s, %s, commit %s; %s.*%s", r.Command, r.Start.Format(time.DateOnly+" 15:04"),
		rough(time.Duration(r.TookS*float64(time.Second))), commit, r.quiet(), size), nil
}

// quietMax is the part of a machine's cores that others may take from a measurement that counts as quiet.
const quietMax = 0.05

// quiet says what other work took of the cores meanwhile.
func (r *report) quiet() string {
	if r.Others == nil {
		return "other work unknown"
	}
	says := fmt.Sprintf("other work took %.2f of %d cores", *r.Others, r.Cores)
	if *r.Others > quietMax*float64(r.Cores) {
		return "**not quiet**: " + says
	}
	return "quiet: " + says
}

func (p pages) values(name, benchmark, unit string) ([]float64, error) {
	r, err := p.of(name)
	if err != nil {
		return nil, err
	}
	for i := range r.Rows {
		if r.Rows[i].Name == benchmark && len(r.Rows[i].Figures[unit]) > 0 {
			return slices.Sorted(slices.Values(r.Rows[i].Figures[unit])), nil
		}
	}
	return nil, fmt.Errorf("the report %s has no %q of %q", name, unit, benchmark)
}

// num is a figure: the median if there are several.
func (p pages) num(name, benchmark, unit string) (float64, error) {
	values, err := p.values(name, benchmark, unit)
	if err != nil {
		return 0, err
	}
	return values[len(values)/2], nil
}

// fig is num as text.
func (p pages) fig(name, benchmark, unit string) (string, error) {
	v, err := p.num(name, benchmark, unit)
	return show(v), err
}

// span is the ratio of a benchmark with the smallest and the largest of its rounds.
func (p pages) span(name, benchmark, unit string) (string, error) {
	var all [3]float64
	for i, end := range []string{"", "-min", "-max"} {
		v, err := p.num(name, benchmark, unit+end)
		if err != nil {
			return "", err
		}
		all[i] = v
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", all[0], all[1], all[2]), nil
}

// goal is a row of the table of goals: what was wanted, at least or at most, and whether it is so.
func (p pages) goal(what, place string, v float64, kind string, want float64, unit string) (string, error) {
	var met bool
	switch kind {
	case "at least":
		met = v >= want
	case "at most":
		met = v <= want
	default:
		return "", fmt.Errorf("a goal is at least or at most something, and not %q", kind)
	}
	said := map[bool]string{true: "yes", false: "**no**"}[met]
	return fmt.Sprintf("| [%s](#%s) | %s %s | %s | %s |", what, place, kind, strings.TrimSpace(show(want)+" "+unit), strings.TrimSpace(show(v)+" "+unit), said), nil
}

// all has the names of the benchmarks of a report.
func (p pages) all(name string) (names []string, err error) {
	r, err := p.of(name)
	if err != nil {
		return nil, err
	}
	for i := range r.Rows {
		names = append(names, r.Rows[i].Name)
	}
	return names, nil
}

// titledRow is a row of a table: its title, and the benchmark that it is about.
type titledRow struct{ Title, Name string }

// titled reads rows from words of the form title=name.
func titled(words ...string) (rows []titledRow) {
	for _, word := range words {
		title, name, _ := strings.Cut(word, "=")
		rows = append(rows, titledRow{title, name})
	}
	return rows
}

// machine says on what the reports were measured: on more than one machine, or with more than one version, all are named.
func (p pages) machine() string {
	var all []string
	for _, m := range measurements() {
		r := p.reports[m.name]
		if r == nil {
			continue
		}
		says := fmt.Sprintf("%d cores of %s, %.0f GiB, %s, Linux %s, Go %s, Redis %s, MariaDB %s",
			r.Cores, r.CPU, float64(r.Memory)/(1<<30), r.Platform, r.Kernel, strings.TrimPrefix(r.Go, "go"), r.Redis, r.MariaDB)
		if !slices.Contains(all, says) {
			all = append(all, says)
		}
	}
	return strings.Join(all, "; besides ")
}

func (p pages) cores(name string) (float64, error) {
	r, err := p.of(name)
	if err != nil {
		return 0, err
	}
	return float64(r.Cores), nil
}

// total is how long all measurements take: as long as they took, or about as long as planned where the report is of another size.
func (p pages) total() string {
	var all time.Duration
	for _, m := range measurements() {
		if r := p.reports[m.name]; r != nil && !r.Quick {
			all += time.Duration(r.TookS * float64(time.Second))
		} else {
			all += m.takes
		}
	}
	return rough(all)
}

// over divides, the divisor first, as the last argument comes from elsewhere.
func over(by, v float64) float64 { return v / by }

func mul(a, b float64) float64 { return a * b }

func sum(values ...float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

// show writes a figure with three digits that count, and a whole number as it is.
func show(v float64) string {
	const thousand, million = 1e3, 1e6
	switch a := math.Abs(v); {
	case a >= million:
		return digits(v/million) + " M"
	case a >= 10*thousand:
		return digits(v/thousand) + " k"
	case a >= thousand:
		return strconv.FormatFloat(math.Round(v/10)*10, 'f', 0, 64)
	}
	return digits(v)
}

func digits(v float64) string {
	a := math.Abs(v)
	decimals := 2
	switch {
	case a >= 100 || a == math.Trunc(a):
		decimals = 0
	case a >= 10:
		decimals = 1
	}
	return strconv.FormatFloat(v, 'f', decimals, 64)
}
