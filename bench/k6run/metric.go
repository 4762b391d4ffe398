package k6run

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind says how the samples of a metric are summed up.
type kind string

const (
	counter kind = "counter"
	rate    kind = "rate"
	trend   kind = "trend"
)

// samplesMax bounds the samples of a trend, which are kept one by one.
const samplesMax = 5_000_000

// metric is one metric with its samples, and those of its submetrics, of which thresholds ask.
type metric struct {
	name   string
	kind   kind
	isTime bool

	mu   sync.Mutex
	sums sums
	subs map[string]*submetric
}

type submetric struct {
	tags map[string]string
	sums sums
}

// sums are the samples so far.
type sums struct {
	count, nonzero  int64
	sum             float64
	least, greatest float64
	values          []float64 // of a trend
}

func (s *sums) add(k kind, v float64) {
	if s.count == 0 {
		s.least, s.greatest = v, v
	}
	s.count++
	if v != 0 {
		s.nonzero++
	}
	s.sum += v
	s.least, s.greatest = min(s.least, v), max(s.greatest, v)
	if k == trend && len(s.values) < samplesMax {
		s.values = append(s.values, v)
	}
}

// value is one aggregate of the samples, such as count or p(95).
func (s *sums) value(k kind, aggregate string, elapsed time.Duration) float64 {
	switch {
	case k == counter && aggregate == "rate":
		return s.sum / elapsed.Seconds()
	case k == counter:
		return s.sum
	case aggregate == "count":
		return float64(s.count)
	case s.count == 0:
		return 0
	case k == rate:
		return float64(s.nonzero) / float64(s.count)
	case aggregate == "avg":
		return s.sum / float64(s.count)
	case aggregate == "min":
		return s.least
	case aggregate == "max":
		return s.greatest
	case aggregate == "med":
		return s.percentile(50)
	}
	p, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimPrefix(aggregate, "p("), ")"), 64) // aggregates has checked it
	return s.percentile(p)
}

// percentile interpolates between the two samples next to it.
func (s *sums) percentile(p float64) float64 {
	slices.Sort(s.values)
	at := p / 100 * float64(len(s.values)-1)
	low := math.Floor(at)
	below, above := s.values[int(low)], s.values[int(math.Ceil(at))]
	return below + (above-below)*(at-low)
}

// metrics are all metrics of a run.
type metrics struct {
	mu     sync.Mutex
	byName map[string]*metric
}

// builtIn are the metrics that every run has.
var builtIn = map[string]struct {
	kind   kind
	isTime bool
}{
	"checks": {rate, false}, "dropped_iterations": {counter, false}, "http_req_duration": {trend, true}, "http_req_failed": {rate, false},
	"http_reqs": {counter, false}, "iteration_duration": {trend, true}, "iterations": {counter, false},
}

func newMetrics() *metrics {
	m := &metrics{byName: map[string]*metric{}}
	for name, b := range builtIn {
		m.byName[name] = &metric{name: name, kind: b.kind, isTime: b.isTime, subs: map[string]*submetric{}}
	}
	return m
}

var metricName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)

// declare makes a metric, or finds it if another user has made the same.
func (m *metrics) declare(name string, k kind, isTime bool) (*metric, error) {
	if !metricName.MatchString(name) {
		return nil, fmt.Errorf("metric %q: want letters, digits and _, 128 at the most", name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.byName[name]
	if found == nil {
		found = &metric{name: name, kind: k, isTime: isTime, subs: map[string]*submetric{}}
		m.byName[name] = found
	}
	if found.kind != k || found.isTime != isTime {
		return nil, fmt.Errorf("metric %q is there already, as another kind", name)
	}
	return found, nil
}

// add notes a sample.
func (m *metric) add(v float64, tags map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sums.add(m.kind, v)
	for _, sub := range m.subs {
		if sub.has(tags) {
			sub.sums.add(m.kind, v)
		}
	}
}

func (s *submetric) has(tags map[string]string) bool {
	for name, value := range s.tags {
		if tags[name] != value {
			return false
		}
	}
	return true
}

// note adds a sample of a built-in metric.
func (m *metrics) note(name string, v float64, tags map[string]string) { m.byName[name].add(v, tags) }

// summed are the aggregates that a summary has of a kind of metric.
func (s *sums) summed(k kind, stats []string, elapsed time.Duration) map[string]float64 {
	out := map[string]float64{}
	switch k {
	case counter:
		stats = []string{"count", "rate"}
	case rate:
		stats = []string{"rate"}
		maps.Copy(out, map[string]float64{"passes": float64(s.nonzero), "fails": float64(s.count - s.nonzero)})
	case trend:
	}
	for _, stat := range stats {
		out[stat] = s.value(k, stat, elapsed)
	}
	return out
}
