package command

import (
	"errors"
	"fmt"

	"sluice/core/operate/load"
)

// faultsMax is how many lines that are not loaded a result names.
const faultsMax = 1000

// loaded is the result of a load, or in a dry run of the load that it foresees.
type loaded struct {
	Lines      int64       `json:"lines"`
	Loaded     int64       `json:"loaded"`
	Already    int64       `json:"already_loaded"`
	Exist      int64       `json:"exist"`
	Wrong      int64       `json:"wrong"`
	Shut       int64       `json:"shut"`
	Faults     []lineFault `json:"faults"`                // of the first lines that are not loaded, at most faultsMax
	FaultsFile string      `json:"faults_file,omitempty"` // of those that were not told of
	Units      int64       `json:"units"`
	Seconds    float64     `json:"seconds"`
}

// count takes the numbers of a load.
func (r *loaded) count(n load.Result) {
	r.Lines, r.Loaded, r.Already, r.Exist, r.Wrong, r.Shut, r.Units = n.Lines, n.Loaded, n.Already, n.Exist, n.Wrong, n.Shut, n.Units
}

// fault is why not all lines are loaded; nil: they are.
func (r *loaded) fault() error {
	var faults []error
	if r.Wrong > 0 {
		faults = append(faults, fmt.Errorf("%d lines are wrong, and nothing of them is loaded", r.Wrong))
	}
	if r.Shut > 0 {
		faults = append(faults, fmt.Errorf("%d lines are of SKUs whose partition of Redis is shut, and nothing of them is loaded: "+
			"sluice doctor says what it lacks. Once it is open, load the same file again", r.Shut))
	}
	return errors.Join(faults...)
}

type lineFault struct {
	Line  int    `json:"line"`
	Error string `json:"error"`
}

// name keeps the first lines that are not loaded.
func (r *loaded) name(f *load.Fault) {
	if len(r.Faults) < faultsMax {
		r.Faults = append(r.Faults, lineFault{f.Number, loadFault(f).Error()})
	}
}

// lineError is a line that is not loaded, with its number.
func lineError(f *load.Fault) error { return fmt.Errorf("line %d: %w", f.Number, loadFault(f)) }

// loadFault says why a line is not loaded.
func loadFault(f *load.Fault) error {
	switch f.Why {
	case load.WhyUnreadable, load.WhyOver:
		return f.Err
	case load.WhyOther:
		return fmt.Errorf("SKU %d was loaded with other values, by an earlier line or an earlier load: change it with stock adjust", f.SKU)
	case load.WhyShut:
		return fmt.Errorf("SKU %d is not loaded: partition %d of Redis, where its stock would be, is shut", f.SKU, f.Partition)
	case load.WhyRefused:
	}
	return fmt.Errorf("SKU %d: %s", f.SKU, explain(f.Verdict))
}

func (r *loaded) print(c *Console, dryRun bool) {
	t := c.table()
	if dryRun {
		t.row("would be loaded", number(r.Loaded), "SKUs with "+number(r.Units)+" units")
		if r.Already > 0 {
			t.row("repeated", number(r.Already), "with the values of an earlier line")
		}
	} else {
		t.row("loaded", number(r.Loaded), "SKUs with "+number(r.Units)+" units")
		t.row("already loaded", number(r.Already), "with the same values; nothing was changed")
	}
	if r.Exist > 0 {
		t.row("exist", number(r.Exist), "with whatever values; they are not changed: see stock show, stock adjust")
	}
	if r.Wrong > 0 {
		t.row(c.paint(red, "wrong"), number(r.Wrong), "nothing of these lines is loaded")
	}
	if r.Shut > 0 {
		t.row(c.paint(red, "shut"), number(r.Shut), "not loaded: their partition of Redis is shut")
	}
	t.flush()
	c.rate(r.Lines, r.Seconds)
}
