package command

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"sluice/bench/report"
	"sluice/bench/report/against"
	"sluice/bench/report/page"
	"sluice/core/text"
)

// BenchPage writes the page of a report.
type BenchPage struct {
	Report  string `arg:"" name:"report.json" help:"The report of a load run."`
	Against string `placeholder:"OLD.json" help:"Compare it with an older report, and show that too."`
}

// Help is called by kong.
func (BenchPage) Help() string {
	return `Writes the report of a load run as one HTML page: rate, outcomes and latency over time, stock going down, who won against
when they came, and how stock was judged. The page needs no network and no script.

Examples:
  sluice bench page report.json > report.html
  sluice bench page report.json --against old.json > report.html`
}

// Run is called by kong.
func (b *BenchPage) Run(c *Console) error {
	r, err := readReport(b.Report)
	if err != nil {
		return err
	}
	var compared *against.Comparison
	if b.Against != "" {
		if compared, err = compareReports(b.Against, r); err != nil {
			return err
		}
	}
	var html bytes.Buffer
	if err := page.Write(&html, r, compared); err != nil {
		return err
	}
	c.Write(html.Bytes())
	return nil
}

// BenchAgainst compares two reports.
type BenchAgainst struct {
	Output `embed:""`

	Old string `arg:"" name:"old.json" help:"The older report."`
	New string `arg:"" name:"new.json" help:"The newer report."`
}

// Help is called by kong.
func (BenchAgainst) Help() string {
	return `Shows each figure of two load runs, their ratio, and whether the difference lies within the noise: what the seconds of the
two runs differ by among themselves. docs/bench.md says how that is computed, and what it cannot know.

Runs that were planned differently are refused. If the machines differ, a warning says so.

Examples:
  sluice bench against old.json new.json
  sluice bench against old.json new.json -o json`
}

// Run is called by kong.
func (b *BenchAgainst) Run(c *Console) error {
	newer, err := readReport(b.New)
	if err != nil {
		return err
	}
	compared, err := compareReports(b.Old, newer)
	if err != nil {
		return err
	}
	if b.json() {
		return c.JSON(compared)
	}
	c.comparison(compared)
	return nil
}

// readReport reads a report. A file that is damaged or is none is refused by its name.
func readReport(path string) (*report.Report, error) {
	r, err := report.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, notFound(text.OfFile(err))
	case err != nil:
		return nil, usage(text.OfFile(err))
	}
	return r, nil
}

func compareReports(old string, newer *report.Report) (*against.Comparison, error) {
	older, err := readReport(old)
	if err != nil {
		return nil, err
	}
	compared, err := against.Compare(older, newer)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", old, err))
	}
	return compared, nil
}

// comparison writes a comparison as a table.
func (c *Console) comparison(compared *against.Comparison) {
	c.Printf("new: %s\nold: %s\n", runText(&compared.New), runText(&compared.Old))
	for _, warning := range compared.Warnings {
		c.Printf("%s\n", c.paint(yellow, "warning: "+warning))
	}
	t := c.table()
	t.row("FIGURE", "OLD", "NEW", "UNIT", "RATIO", "BY NOISE ALONE", "SO THE NEW ONE IS")
	for i := range compared.Figures {
		f := &compared.Figures[i]
		ratio, noise := "-", "-"
		if f.Ratio != nil {
			ratio = strconv.FormatFloat(*f.Ratio, 'f', 3, 64)
		}
		if f.Low != nil && f.High != nil {
			noise = report.Number(*f.Low) + " to " + report.Number(*f.High)
		}
		t.row(f.Name, report.Number(f.Old), report.Number(f.New), f.Unit, ratio, noise, f.Text())
	}
	t.flush()
	for _, d := range compared.Differs {
		c.Printf("%s: %s, was %s\n", d.What, d.New, d.Old)
	}
}

func runText(r *against.Run) string {
	return fmt.Sprintf("%s, sluice %s, on %s: %s", timeText(r.Start.UnixMilli()), r.Sluice, r.Machine, r.Plan)
}
