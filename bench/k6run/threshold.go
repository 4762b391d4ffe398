package k6run

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// threshold is what must hold of a metric at the end.
type threshold struct {
	key        string // metric, or metric{tag:value}
	expression string
	aggregate  string
	operator   string
	bound      float64

	metric *metric
	sub    *submetric // nil: of all samples
	holds  bool
}

var thresholdForm = regexp.MustCompile(`^\s*([a-z]+(?:\([0-9.]+\))?)\s*(===|==|!=|<=|>=|<|>)\s*(-?[0-9.]+)\s*$`)

var percentileForm = regexp.MustCompile(`^p\((100|[0-9]{1,2}(\.[0-9]+)?)\)$`)

func oneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

// aggregates says which aggregates a kind of metric has in thresholds.
var aggregates = map[kind]func(string) bool{
	counter: oneOf("count", "rate"),
	rate:    oneOf("rate"),
	trend:   func(s string) bool { return oneOf("avg", "min", "max", "med")(s) || percentileForm.MatchString(s) },
}

// thresholds finds the metrics of thresholds, and begins to collect the samples of submetrics.
func (m *metrics) thresholds(written map[string][]string) ([]*threshold, error) {
	var all []*threshold
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(written)) {
		for _, expression := range written[key] {
			t, err := m.threshold(key, expression)
			if err != nil {
				faults = append(faults, fmt.Errorf("threshold %s: %q: %w", key, expression, err))
				continue
			}
			all = append(all, t)
		}
	}
	return all, errors.Join(faults...)
}

func (m *metrics) threshold(key, expression string) (*threshold, error) {
	name, filter, filtered := strings.Cut(key, "{")
	t := &threshold{key: key, expression: expression, metric: m.byName[name]}
	if t.metric == nil {
		return nil, errors.New("there is no such metric")
	}
	if filtered {
		tags, err := parseTags(filter)
		if err != nil {
			return nil, err
		}
		if t.metric.subs[key] == nil {
			t.metric.subs[key] = &submetric{tags: tags}
		}
		t.sub = t.metric.subs[key]
	}
	parts := thresholdForm.FindStringSubmatch(expression)
	if parts == nil {
		return nil, errors.New("want such as p(95)<200")
	}
	t.aggregate, t.operator = parts[1], parts[2]
	if !aggregates[t.metric.kind](t.aggregate) {
		return nil, fmt.Errorf("a %s has no %s", t.metric.kind, t.aggregate)
	}
	var err error
	t.bound, err = strconv.ParseFloat(parts[3], 64)
	return t, err
}

// parseTags reads what stands between the braces of a submetric.
func parseTags(filter string) (map[string]string, error) {
	inner, closed := strings.CutSuffix(filter, "}")
	tags := map[string]string{}
	for pair := range strings.SplitSeq(inner, ",") {
		name, value, ok := strings.Cut(pair, ":")
		if !ok || !closed {
			return nil, errors.New("want tags such as {name:value}")
		}
		tags[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return tags, nil
}

// judge decides whether it holds.
func (t *threshold) judge(elapsed time.Duration) {
	of := &t.metric.sums
	if t.sub != nil {
		of = &t.sub.sums
	}
	if t.metric.kind == rate && of.count == 0 {
		t.holds = true // as in k6: a script that fails without samples needs a counter for that
		return
	}
	v := of.value(t.metric.kind, t.aggregate, elapsed)
	switch t.operator {
	case "<":
		t.holds = v < t.bound
	case "<=":
		t.holds = v <= t.bound
	case ">":
		t.holds = v > t.bound
	case ">=":
		t.holds = v >= t.bound
	case "!=":
		t.holds = v != t.bound
	default:
		t.holds = v == t.bound
	}
}
