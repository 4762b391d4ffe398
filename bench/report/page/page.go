// Package page writes the report of a load run as one page that needs no network and no script.
package page

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"sluice/bench/report"
	"sluice/bench/report/against"
)

//go:embed page.html
var pageText string

// page is a report with everything else that its page needs.
type page struct {
	*report.Report

	Against *against.Comparison
	Figures []figure
	Present []report.Outcome // those that occurred
	Fared   []report.Outcome // the same of shoppers
	WarmUp  int              // seconds
}

// Write writes the page of a report, with its comparison with an older one if there is one.
func Write(to io.Writer, r *report.Report, c *against.Comparison) error {
	p := page{Report: r, Against: c}
	p.Present, p.Fared = occurred(r.Outcomes), occurred(r.Shoppers)
	for i := range r.Seconds {
		if r.Seconds[i].WarmUp {
			p.WarmUp++
		}
	}
	var err error
	if p.Figures, err = figures(r); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	text, err := template.New("page").Funcs(template.FuncMap{
		"count": humanize.Comma, "number": report.Number, "ms": milliseconds, "percent": percent, "bytes": gibibytes, "word": word,
		"time": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }, "outcome": outcomeText,
		"ended": ended, "ratio": func(r float64) string { return strconv.FormatFloat(r, 'f', 3, 64) }, "verdict": verdictText, "yes": yes, "int": func(n int) string { return humanize.Comma(int64(n)) },
		"units": func(n *int64) string {
			if n == nil {
				return "not read"
			}
			return humanize.Comma(*n)
		},
	}).Parse(pageText)
	if err == nil {
		err = text.Execute(to, p)
	}
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func occurred(outcomes []report.Outcome) []report.Outcome {
	return slices.DeleteFunc(slices.Clone(outcomes), func(o report.Outcome) bool { return o.Count == 0 })
}

// ended says how a run ended, for its first line.
func ended(r *report.Report) string {
	switch r.ExitCode() {
	case report.ExitTruth:
		return "stock is wrong"
	case report.ExitInterrupted, report.ExitFailed:
		if r.Cut == nil {
			return "interrupted before stock was judged"
		}
		return "cut short"
	case report.ExitGenerator:
		return "the generator was the bottleneck"
	case report.ExitThreshold:
		return "a threshold was missed"
	case report.ExitUnverified:
		return "stock could not be judged"
	}
	return "done"
}

func verdictText(v report.Verdict) string {
	switch v {
	case report.Right:
		return "Stock is right: all stores agree with each other and with what shoppers were told."
	case report.Wrong:
		return "Stock is wrong."
	case report.Unverified:
		return "Nothing wrong was found, and not everything could be read."
	case report.NotJudged:
		return "Nobody looked: the run was told not to."
	}
	return string(v)
}

func outcomeText(w report.Word) string {
	return map[report.Word]string{
		report.Accepted: "reserved for the shopper",
		report.Replayed: "the first answer once more, to a repetition",
		report.SoldOut:  "no unit was free",
		report.Limited:  "the shopper has the most that the limit allows, or asked too often",
		report.Shed:     "503: nothing was done, because the target had too much to do or was shut",
		report.Unknown:  "no answer that tells: it may or may not have happened",
		report.Refused:  "any other answer: nothing was done",
	}[w]
}

// word writes a name of the report's JSON as people do.
func word(name any) string { return strings.ReplaceAll(fmt.Sprint(name), "_", " ") }

func milliseconds(v float64) string { return report.Number(v) + " ms" }

func percent(part float64) string { return strconv.FormatFloat(100*part, 'f', 1, 64) + " %" }

func gibibytes(n int64) string { return strconv.FormatFloat(float64(n)/(1<<30), 'f', 1, 64) + " GiB" }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
