package monitoring

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"

	"sluice/core/telemetry"
)

// series describes all series of one name.
type series struct {
	kind   telemetry.Kind
	labels []string
}

// target are the labels that Prometheus adds.
var target = []string{"job", "instance"}

// exported are all names that Prometheus knows of sluice, as the program declares them.
func exported() map[string]series {
	all := map[string]series{
		"up": {telemetry.Gauge, target},
		// The runtime's; the test on a running stack finds them.
		"process_cpu_seconds_total": {telemetry.Counter, target}, "process_resident_memory_bytes": {telemetry.Gauge, target},
		"process_open_fds": {telemetry.Gauge, target}, "go_goroutines": {telemetry.Gauge, target},
	}
	for _, f := range telemetry.Families() {
		labels := append(strings.Fields(f.Labels), target...)
		if f.Kind != telemetry.Histogram {
			all[f.Name] = series{f.Kind, labels}
			continue
		}
		all[f.Name+"_sum"], all[f.Name+"_count"] = series{telemetry.Counter, labels}, series{telemetry.Counter, labels}
		all[f.Name+"_bucket"] = series{telemetry.Counter, append(slices.Clone(labels), "le")}
	}
	return all
}

// known are the names that an expression may use: what is exported and what rules record.
func known(t *testing.T) map[string]series {
	t.Helper()
	all := exported()
	for _, r := range rules(t) {
		if r.Record != "" {
			all[r.Record] = series{telemetry.Gauge, nil}
		}
	}
	return all
}

// Functions of series over time: what they may be given.
var (
	ofCounters = []string{"rate", "irate", "increase"}
	ofGauges   = []string{"deriv", "delta", "predict_linear", "max_over_time", "min_over_time", "avg_over_time"}
)

// reader reads expressions and collects what is wrong with one.
type reader struct {
	known  map[string]series
	faults []error
}

func (r *reader) fault(format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf(format, args...))
}

// judge returns the labels that the result of an expression can have.
func judge(known map[string]series, expr string) (labels []string, err error) {
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return nil, err
	}
	r := &reader{known: known}
	labels = r.read(parsed, "")
	return labels, errors.Join(r.faults...)
}

// read returns the labels of a part of an expression, which stands in a function of that name, or none.
func (r *reader) read(expr metricsql.Expr, in string) (labels []string) {
	switch e := expr.(type) {
	case *metricsql.MetricExpr:
		return r.selector(e, in)
	case *metricsql.RollupExpr:
		return r.read(e.Expr, in)
	case *metricsql.FuncExpr:
		return r.function(e)
	case *metricsql.AggrFuncExpr:
		for _, arg := range e.Args {
			labels = append(labels, r.read(arg, "")...)
		}
		if e.Modifier.Op != "" && e.Modifier.Op != "by" {
			r.fault("%s %s: write by", e.Name, e.Modifier.Op)
		}
		r.has(labels, e.Modifier.Args)
		return e.Modifier.Args
	case *metricsql.BinaryOpExpr:
		left, right := r.read(e.Left, ""), r.read(e.Right, "")
		r.has(left, e.GroupModifier.Args)
		r.has(right, e.GroupModifier.Args)
		return append(left, right...)
	}
	return nil // a number
}

// has checks that labels are there.
func (r *reader) has(labels, wanted []string) {
	for _, label := range wanted {
		if !slices.Contains(labels, label) {
			r.fault("no label %s here, there are %v", label, labels)
		}
	}
}

func (r *reader) function(e *metricsql.FuncExpr) (labels []string) {
	for _, arg := range e.Args {
		labels = append(labels, r.read(arg, e.Name)...)
	}
	if e.Name == "histogram_quantile" {
		r.has(labels, []string{"le"})
		return slices.DeleteFunc(labels, func(label string) bool { return label == "le" })
	}
	return labels
}

func (r *reader) selector(e *metricsql.MetricExpr, in string) []string {
	if len(e.LabelFilterss) != 1 || e.LabelFilterss[0][0].Label != "__name__" {
		r.fault("%s: write the name of one metric", e.AppendString(nil))
		return nil
	}
	filters := e.LabelFilterss[0]
	name := filters[0].Value
	of, ok := r.known[name]
	if !ok {
		r.fault("there is no %s", name)
		return nil
	}
	for _, filter := range filters[1:] {
		r.has(of.labels, []string{filter.Label})
	}
	switch counter := of.kind == telemetry.Counter; {
	case counter && !slices.Contains(ofCounters, in):
		r.fault("%s counts since its process started: use one of %v", name, ofCounters)
	case !counter && slices.Contains(ofCounters, in):
		r.fault("%s is a gauge: %s is for counters", name, in)
	case in != "" && !slices.Contains(slices.Concat(ofCounters, ofGauges, []string{"absent", "clamp_min", "clamp_max"}), in):
		r.fault("%s of %s: not one of the functions known here", in, name)
	}
	return of.labels
}

// TestJudgeTellsWrongExpressions: what the other tests rely on.
func TestJudgeTellsWrongExpressions(t *testing.T) {
	t.Parallel()
	all := exported()
	for expr, want := range map[string]string{
		`sum by (state) (sluice_core_redis_state_info{job="a"})`:                                 "",
		`sum by (route) (rate(sluice_edge_http_requests_total{outcome="ok"}[5m])) > 1`:           "",
		`histogram_quantile(0.9, sum by (le) (rate(sluice_edge_batch_wait_seconds_bucket[5m])))`: "",
		`max(deriv(sluice_persister_unread_messages[10m])) > 0 or absent(up{job="x"})`:           "",
		`sluice_edge_outbox_entrys`:                                                     "there is no sluice_edge_outbox_entrys",
		`sluice_edge_batch_wait_seconds`:                                                "there is no sluice_edge_batch_wait_seconds",
		`sluice_edge_outbox_entries{sku="1"}`:                                           "no label sku",
		`sum by (route) (sluice_edge_outbox_entries)`:                                   "no label route",
		`sum(sluice_edge_http_requests_total)`:                                          "use one of",
		`sum(rate(sluice_edge_outbox_entries[5m]))`:                                     "is a gauge",
		`histogram_quantile(0.9, sum(rate(sluice_edge_batch_wait_seconds_bucket[5m])))`: "no label le",
		`sluice_edge_http_connections / on (route) sluice_edge_http_max_connections`:    "no label route",
		`{__name__=~"sluice_.*"}`:                                                       "there is no",
		`sum(rate(sluice_edge_http_requests_total[5m])) / sum(rate(sluice_edge_http_requests_total{route="a"}[5m])) > sum(nothing)`: "there is no nothing",
		`sum(up`: "unexpected",
	} {
		_, err := judge(all, expr)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", expr, err, want)
		}
	}
}

// expression is one that an operator sees, and the labels whose values stand beside it.
type expression struct {
	where, expr string
	shown       []string
}

// TestExpressionsNameWhatThereIs compares every expression of rules and dashboards with the declared metrics.
func TestExpressionsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	all := known(t)
	used := map[string]bool{}
	for _, e := range expressions(t) {
		labels, err := judge(all, e.expr)
		if err != nil {
			t.Errorf("%s: %v in\n%s", e.where, err, e.expr)
			continue
		}
		for _, label := range e.shown {
			if !slices.Contains(labels, label) {
				t.Errorf("%s shows the label %s, and %s has %v", e.where, label, e.expr, labels)
			}
		}
		for name := range all {
			used[name] = used[name] || strings.Contains(e.expr, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasPrefix(name, "sluice:") && !used[name] {
			t.Errorf("%s is recorded, and nothing uses it", name)
		}
	}
}
