package reconcile

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"sluice/core/show"
	"sluice/core/stock"
)

//go:embed page.html
var pageText string

// group is the findings of one type.
type group struct {
	Type     Type
	Findings []Finding
}

// page is a report with everything else that its page needs.
type page struct {
	*Report

	Groups []group
}

// WriteHTML writes a report as one page that needs no network and no script.
func (r *Report) WriteHTML(to io.Writer) error {
	p := page{Report: r}
	for _, t := range Types {
		g := group{Type: t}
		for i := range r.Findings {
			if r.Findings[i].Type == t {
				g.Findings = append(g.Findings, r.Findings[i])
			}
		}
		if len(g.Findings) > 0 {
			p.Groups = append(p.Groups, g)
		}
	}
	trails := map[stock.Cell]bool{}
	for i := range r.Trails {
		trails[r.Trails[i].Cell] = true
	}
	text, err := template.New("page").Funcs(template.FuncMap{
		"time": func(m show.Moment) string { return clockText(int64(m)) }, "ms": clockText,
		"unitsOf": func(d string) int64 { return r.Summary.Units[Direction(d)] },
		"verdict": VerdictText, "proof": Proof.String,
		"anchor":   func(c stock.Cell) string { return fmt.Sprintf("c-%d-%d-%d", c.SKU, c.Pool, c.Bucket) },
		"hasTrail": func(f Finding) bool { return trails[f.Cell()] },
		"position": func(p *State) string { return fmt.Sprintf("%d.%d: %s", p.Epoch, p.Seq, counted(p.Balances)) },
		"units":    func(s Step) int64 { return s.units() },
		"yes": func(b bool) string {
			if b {
				return "yes"
			}
			return "–"
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

func clockText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05.000Z") }

// VerdictText returns a verdict for people.
func VerdictText(v Verdict) string {
	switch v {
	case Clean:
		return "the stores agree"
	case HasDrift:
		return "the stores differ"
	case NotChecked:
		return "unverified"
	}
	return string(v)
}

// String returns the counters for people.
func (c *Counted) String() string {
	return fmt.Sprintf("avail %d, held %d, sold %d, total %d", c.Avail, c.Held, c.Sold, c.Total)
}

// String returns the proof in one line.
func (p Proof) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%s: %s", p.Store, p.Says) // a Builder never fails, here and below
	if p.Seq != 0 {
		if p.Epoch != 0 {
			_, _ = fmt.Fprintf(&b, ", at %d.%d", p.Epoch, p.Seq)
		} else {
			_, _ = fmt.Fprintf(&b, ", at seq %d", p.Seq)
		}
	}
	if p.Reservation != "" {
		b.WriteString(", reservation " + p.Reservation)
	}
	if p.User != 0 {
		_, _ = fmt.Fprintf(&b, ", user %d", int64(p.User))
	}
	if p.Units != 0 {
		_, _ = fmt.Fprintf(&b, ", %d units", p.Units)
	}
	if p.Counters != nil {
		b.WriteString(": " + p.Counters.String())
	}
	return b.String()
}

// Unreadable returns the report of a sweep that could not begin, because a store could not be reached.
func Unreadable(store Store, since time.Time, err error) *Report {
	r := newReport()
	r.Summary.StartedAt, r.Summary.EndedAt = show.Moment(since.UnixMilli()), show.Moment(since.UnixMilli())
	r.unread(store, -1, since, err)
	r.close()
	return r
}
