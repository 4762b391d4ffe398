package k6run

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// summary is what handleSummary gets.
type summary struct {
	Metrics   map[string]metricSummary `json:"metrics"`
	RootGroup group                    `json:"root_group"`
	State     state                    `json:"state"`
}

type metricSummary struct {
	Type       kind               `json:"type"`
	Contains   string             `json:"contains"`
	Values     map[string]float64 `json:"values"`
	Thresholds map[string]held    `json:"thresholds,omitempty"`
}

type held struct {
	OK bool `json:"ok"`
}

type group struct {
	Name   string         `json:"name"`
	Checks []checkSummary `json:"checks"`
}

type checkSummary struct {
	Name   string `json:"name"`
	Passes int64  `json:"passes"`
	Fails  int64  `json:"fails"`
}

type state struct {
	Terminal          bool    `json:"isStdOutTTY"`
	TestRunDurationMS float64 `json:"testRunDurationMs"`
}

// summarize calls handleSummary, and writes what it returns. A script without one gets a list of its thresholds.
func (v *vu) summarize(ctx context.Context, o *options, thresholds []*threshold, elapsed time.Duration) error {
	text, err := json.Marshal(v.run.summary(o, thresholds, elapsed))
	if err != nil {
		return fmt.Errorf("handleSummary: %w", err)
	}
	if v.exports.Get("handleSummary") == nil {
		for _, t := range thresholds {
			if _, err := fmt.Fprintf(v.run.cfg.Out, "%s: %s: %v\n", t.key, t.expression, t.holds); err != nil {
				return err
			}
		}
		return nil
	}
	returned, err := v.call(ctx, "handleSummary", v.parse(string(text)))
	if err != nil {
		return fmt.Errorf("handleSummary: %w", err)
	}
	parts := returned.ToObject(v.rt)
	for _, where := range parts.Keys() {
		content := v.bytesOf(parts.Get(where))
		switch where {
		case "stdout":
			err = write(v.run.cfg.Out, content)
		case "stderr":
			err = write(v.run.cfg.Err, content)
		default:
			err = os.WriteFile(where, content, 0o644)
		}
		if err != nil {
			return fmt.Errorf("handleSummary: %w", err)
		}
	}
	return nil
}

func write(w io.Writer, content []byte) error {
	_, err := w.Write(content)
	return err
}

// summary has all metrics with samples, and all that have thresholds.
func (r *run) summary(o *options, thresholds []*threshold, elapsed time.Duration) summary {
	s := summary{Metrics: map[string]metricSummary{}, State: state{TestRunDurationMS: milliseconds(elapsed)}}
	show := func(name string, m *metric, of *sums) {
		contains := "default"
		if m.isTime {
			contains = "time"
		}
		s.Metrics[name] = metricSummary{Type: m.kind, Contains: contains, Values: of.summed(m.kind, o.SummaryTrendStats, elapsed), Thresholds: map[string]held{}}
	}
	for name, m := range r.metrics.byName {
		if m.sums.count > 0 {
			show(name, m, &m.sums)
		}
		for name, sub := range m.subs {
			show(name, m, &sub.sums)
		}
	}
	for _, t := range thresholds {
		if _, shown := s.Metrics[t.key]; !shown {
			show(t.key, t.metric, &t.metric.sums)
		}
		s.Metrics[t.key].Thresholds[t.expression] = held{t.holds}
	}
	for _, name := range slices.Sorted(maps.Keys(r.checks)) {
		s.RootGroup.Checks = append(s.RootGroup.Checks, checkSummary{Name: name, Passes: r.checks[name][1], Fails: r.checks[name][0]})
	}
	return s
}
