package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Tables are the comparison as rows of cells, headers first, and how it has changed where an older one is known.
func (r *Report) Tables() [][][]any {
	if r.Against == nil {
		return [][][]any{r.table()}
	}
	return [][][]any{r.table(), r.Against.table()}
}

func (r *Report) table() [][]any {
	rows := [][]any{{"WAY", "ACCEPTED/S", "OF EMPTY", "(RANGE)", "P50 MS", "P99 MS", "P99.9 MS", "CPU US", "OVERSOLD"}}
	for i := range r.Rows {
		row := &r.Rows[i]
		if len(row.Turns) == 0 {
			rows = append(rows, []any{row.Name, "-", "-", "-", "-", "-", "-", "-", row.oversold()})
			continue
		}
		rows = append(rows, []any{
			row.Name, fmt.Sprintf("%.0f", row.PerSecond.Median), ratio(row.Ratio.Median),
			"(" + ratio(row.Ratio.Min) + " to " + ratio(row.Ratio.Max) + ")",
			ms(row.Latency.P50MS), ms(row.Latency.P99MS), ms(row.Latency.P999MS), row.cpu(), row.oversold(),
		})
	}
	return rows
}

// Notes are lines below the table.
func (r *Report) Notes() []string {
	var notes []string
	for i := range r.Rows {
		row := &r.Rows[i]
		if len(row.CPU) == 0 {
			continue
		}
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(row.CPU)) {
			parts = append(parts, fmt.Sprintf("%s %.1f", name, row.CPU[name]))
		}
		notes = append(notes, fmt.Sprintf("%s: %d buyers; CPU in us: %s", row.Name, row.Buyers, strings.Join(parts, ", ")))
	}
	if r.Against != nil {
		for _, d := range r.Against.Differ {
			notes = append(notes, "warning: not the same as before: "+d)
		}
	}
	return append(notes, r.about())
}

// about says where and how the figures came about.
func (r *Report) about() string {
	s := &r.Stamp
	servers := ""
	for _, server := range []string{s.Redis, s.MySQL} {
		if server != "" {
			servers += ", " + server
		}
	}
	rounds, done := fmt.Sprint(r.Rounds), 0
	for i := range r.Rows {
		done = max(done, len(r.Rows[i].Turns))
	}
	if done < r.Rounds {
		rounds = fmt.Sprintf("%d of %d", done, r.Rounds)
	}
	return fmt.Sprintf("%s rounds of %v on %d cores of %s, %s, sluice %s, %s%s", rounds, s.Settings["for"], s.Cores, s.CPU, s.Platform, s.Sluice, s.Go, servers)
}

func (r *Row) oversold() string {
	switch {
	case !r.Judged:
		return "-"
	case r.Lost > 0:
		return fmt.Sprintf("%d, lost %d", r.Oversold, r.Lost)
	}
	return fmt.Sprint(r.Oversold)
}

func (r *Row) cpu() string {
	if len(r.CPU) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", r.CPUTotal.Median)
}

func ratio(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 0.1:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func ms(v float64) string { return fmt.Sprintf("%.2f", v) }
