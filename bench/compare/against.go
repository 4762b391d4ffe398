package compare

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-json-experiment/json"
)

// Against is a comparison with an older one.
type Against struct {
	Start   time.Time `json:"start"` // of the older one
	Changes []Change  `json:"changes"`
	Differ  []string  `json:"differ,omitempty"` // what makes the two hard to compare
}

// Change is how a figure of a way has changed.
type Change struct {
	Name   string `json:"name"`
	Figure string `json:"figure"`
	Old    Spread `json:"old"`
	New    Spread `json:"new"`
	Says   string `json:"says"` // better, worse, within the noise, or noise not known
}

// roundsMin is how many rounds both comparisons must have for their noise to be known. The ranges of three and three equal
// turns lie apart in one case of ten, those of four and four in one of 35.
const roundsMin = 4

// Compare compares the ways that both have: their ratios to the base, and their CPU. Whether a figure has changed is judged
// by the ranges of the rounds: if they overlap, the difference is noise. Of too few rounds the noise is not known.
func (r *Report) Compare(old *Report) {
	a := &Against{Start: old.Stamp.Start, Changes: []Change{}}
	for _, d := range []struct{ what, old, now string }{
		{"machine", old.Stamp.Machine, r.Stamp.Machine},
		{"CPU", fmt.Sprintf("%d cores of %s", old.Stamp.Cores, old.Stamp.CPU), fmt.Sprintf("%d cores of %s", r.Stamp.Cores, r.Stamp.CPU)},
		{"length", fmt.Sprintf("%d rounds of %d ms", old.Rounds, old.ForMS), fmt.Sprintf("%d rounds of %d ms", r.Rounds, r.ForMS)},
		{"sluice", old.Stamp.Sluice, r.Stamp.Sluice},
		{"Redis", old.Stamp.Redis, r.Stamp.Redis},
		{"MySQL", old.Stamp.MySQL, r.Stamp.MySQL},
	} {
		if d.old != d.now {
			a.Differ = append(a.Differ, fmt.Sprintf("%s: %q before, %q now", d.what, d.old, d.now))
		}
	}
	before := map[string]*Row{}
	for i := range old.Rows {
		before[old.Rows[i].Name] = &old.Rows[i]
	}
	for i := range r.Rows {
		now, then := &r.Rows[i], before[r.Rows[i].Name]
		if then == nil || len(now.Turns) == 0 || len(then.Turns) == 0 {
			continue
		}
		known := min(len(now.Turns), len(then.Turns)) >= roundsMin
		if now.Name != r.Base {
			a.Changes = append(a.Changes, changeOf(now.Name, "of empty", then.Ratio, now.Ratio, 1, known))
		}
		if len(now.CPU) > 0 && len(then.CPU) > 0 {
			a.Changes = append(a.Changes, changeOf(now.Name, "CPU us", then.CPUTotal, now.CPUTotal, -1, known))
		}
	}
	r.Against = a
}

// changeOf judges a figure. good is 1 where more is better, and -1 where less is. known says whether its noise is.
func changeOf(name, figure string, old, now Spread, good float64, known bool) Change {
	c := Change{Name: name, Figure: figure, Old: old, New: now, Says: "within the noise"}
	apart := now.Min > old.Max || now.Max < old.Min
	switch {
	case !known:
		c.Says = "noise not known"
	case apart && good*(now.Median-old.Median) > 0:
		c.Says = "better"
	case apart:
		c.Says = "worse"
	}
	return c
}

// table is the comparison as rows of cells, the header first.
func (a *Against) table() [][]any {
	rows := [][]any{{"WAY", "FIGURE", "BEFORE", "(RANGE)", "NOW", "(RANGE)", "RATIO", "IT IS"}}
	for _, c := range a.Changes {
		rows = append(rows, []any{c.Name, c.Figure, figure(c.Old.Median), c.Old.span(), figure(c.New.Median), c.New.span(), c.Times(), c.Says})
	}
	return rows
}

// Times is the new figure divided by the old one.
func (c Change) Times() string {
	if c.Old.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", c.New.Median/c.Old.Median)
}

func (s Spread) span() string { return "(" + figure(s.Min) + " to " + figure(s.Max) + ")" }

// figure shows a number with three digits that count.
func figure(v float64) string { return fmt.Sprintf("%.3g", v) }

// fileBytesMax bounds a file: a comparison has some hundred kilobytes.
const fileBytesMax = 16 << 20

// ReadFile reads what sluice bench compare -o json has written.
func ReadFile(path string) (*Report, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, fileBytesMax+1))
	if err == nil && len(text) > fileBytesMax {
		err = fmt.Errorf("more than %d MiB", fileBytesMax>>20)
	}
	r := new(Report)
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	switch {
	case err != nil:
	case r.Kind != kind || r.Version < 1:
		err = errors.New("it is something else")
	case r.Version > Version:
		err = fmt.Errorf("version %d: this sluice reads up to %d: take a newer one", r.Version, Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: not a result of sluice bench compare -o json: %w", path, err)
	}
	return r, nil
}
