package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	watchEvery   = 5 * time.Second
	watchTimeout = 4 * time.Second

	faultUnknown = "unknown" // the server does not tell
)

// Fault is one thing that is wrong with a server.
type Fault struct {
	Word  string // a word of a fixed set, for metrics
	Found string // what is wrong, and its effect
	Do    string // what to do about it
}

// String is the fault as people read it.
func (f Fault) String() string { return f.Found + ": " + f.Do }

// Watch looks now and then at the settings and the condition of a server. People change both under a running process,
// and health, metrics and log must show it.
type Watch struct {
	server string
	look   func(context.Context) ([]Fault, error)
	log    *slog.Logger
	faults atomic.Pointer[[]Fault] // nil: nobody has looked yet
}

// NewWatch makes the gauges of a server, one for each word that look can return.
func NewWatch(set *metrics.Set, server string, words []string, look func(context.Context) ([]Fault, error), log *slog.Logger) *Watch {
	w := &Watch{server: server, look: look, log: log}
	for _, word := range append([]string{faultUnknown}, words...) {
		set.NewGauge(fmt.Sprintf("sluice_core_server_faults{server=%q,fault=%q}", server, word), func() float64 {
			n := 0.0
			for _, f := range w.found() {
				if f.Word == word {
					n++
				}
			}
			return n
		})
	}
	return w
}

// Run looks until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		w.once(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (w *Watch) once(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, watchTimeout)
	faults, err := w.look(bounded)
	cancel()
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		faults = append(faults, Fault{faultUnknown, fmt.Sprintf("%s does not tell its settings: %v", w.server, err), "see whether it answers, and whether the user may ask"})
	}
	before := map[string]bool{}
	for _, f := range w.found() {
		before[f.Word] = true
	}
	for _, f := range faults {
		if !before[f.Word] {
			w.log.WarnContext(ctx, "something is wrong with a server", "server", w.server, "fault", f.Word, "found", f.Found, "do", f.Do)
		}
	}
	w.faults.Store(&faults)
}

func (w *Watch) found() []Fault {
	if faults := w.faults.Load(); faults != nil {
		return *faults
	}
	return nil
}

// Check returns a check that degrades readiness while something is wrong. The process still works then, but may lose
// something, or stop one day.
func (w *Watch) Check() Check {
	return Check{Name: w.server + "_settings", Degrades: true, Probe: func(context.Context) error {
		var all []error
		for _, f := range w.found() {
			all = append(all, errors.New(f.String()))
		}
		return errors.Join(all...)
	}}
}

// WithWatches adds the checks of watches to others.
func WithWatches(checks []Check, watches []*Watch) []Check {
	for _, w := range watches {
		checks = append(checks, w.Check())
	}
	return checks
}
