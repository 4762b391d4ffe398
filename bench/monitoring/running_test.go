package monitoring

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/VictoriaMetrics/metricsql"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"sluice/bench/stack"
	"sluice/catalog/account/provider"
	"sluice/catalog/assess"
	"sluice/catalog/notify"
	"sluice/catalog/seller"
	"sluice/core/problem"
)

// TestRunningStackShowsWhatIsWatched starts an edge and a persister, and looks for every word that an expression compares
// a label with: a word that no process says would make a rule silent for ever.
func TestRunningStackShowsWhatIsWatched(t *testing.T) {
	t.Parallel()
	s := stack.New(t)
	s.LoadCSV("sku_id,quantity", "1,10")
	words := map[string]map[string][]string{"up": {}} // values of a label, by metric and label
	for _, process := range []*stack.Process{s.StartEdge(), s.StartPersister()} {
		noteWords(t, words, scrape(t, process))
	}
	messages := metrics.NewSet() // those of the shop are there before it sends any
	notify.New(notify.Options{Metrics: messages})
	var page bytes.Buffer
	messages.WritePrometheus(&page)
	noteWords(t, words, parse(t, &page))
	words["sluice_catalog_queue_oldest_seconds"] = map[string][]string{"queue": slices.Concat(assess.Queues, seller.Queues)}
	words["sluice_catalog_provider_attempts_total"] = map[string][]string{"outcome": provider.Outcomes}
	words["sluice_catalog_webhook_attempts_total"] = map[string][]string{"outcome": seller.WebhookOutcomes}
	// Its outcomes show up when they first happen.
	requests := words["sluice_edge_http_request_duration_seconds"]
	words["sluice_edge_http_requests_total"] = map[string][]string{"route": requests["route"], "outcome": {"ok", "replayed"}}
	for _, kind := range problem.Kinds() {
		words["sluice_edge_http_requests_total"]["outcome"] = append(words["sluice_edge_http_requests_total"]["outcome"], kind.Code)
	}

	compared := 0
	for _, e := range expressions(t) {
		parsed, err := metricsql.Parse(e.expr)
		if err != nil {
			t.Error(err)
			continue
		}
		metricsql.VisitAll(parsed, func(part metricsql.Expr) {
			selector, ok := part.(*metricsql.MetricExpr)
			if !ok || len(selector.LabelFilterss) == 0 || strings.HasPrefix(selector.LabelFilterss[0][0].Value, "sluice:") {
				return
			}
			name := selector.LabelFilterss[0][0].Value
			if strings.HasPrefix(name, "sluice_catalog_") && len(selector.LabelFilterss[0]) == 1 {
				return // it is compared with no word, and the shop has a test that it shows all that is declared
			}
			of, ok := words[name]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(name, suffix); cut && !ok {
					of, ok = words[base]
				}
			}
			if !ok {
				t.Errorf("%s: no process shows %s", e.where, name)
			}
			for _, filter := range selector.LabelFilterss[0][1:] {
				if slices.Contains(target, filter.Label) {
					continue
				}
				for word := range strings.SplitSeq(filter.Value, "|") {
					if compared++; !slices.Contains(of[filter.Label], word) {
						t.Errorf("%s: no %s has %s=%q, only %q", e.where, name, filter.Label, word, of[filter.Label])
					}
				}
			}
		})
	}
	if compared < 50 {
		t.Errorf("only %d words were compared: they are not looked for right", compared)
	}
}

// scrape reads the metrics of a process.
func scrape(t *testing.T, p *stack.Process) map[string]*dto.MetricFamily {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Addrs[len(p.Addrs)-1]+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return parse(t, answer.Body)
}

// parse reads a page of metrics.
func parse(t *testing.T, page io.Reader) map[string]*dto.MetricFamily {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// noteWords adds the values of all labels, and the bounds of histograms as those of le.
func noteWords(t *testing.T, words map[string]map[string][]string, families map[string]*dto.MetricFamily) {
	t.Helper()
	for name, family := range families {
		if words[name] == nil {
			words[name] = map[string][]string{}
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				words[name][label.GetName()] = append(words[name][label.GetName()], label.GetValue())
			}
			for _, bucket := range m.GetHistogram().GetBucket() {
				words[name]["le"] = append(words[name]["le"], model.SampleValue(bucket.GetUpperBound()).String())
			}
		}
		for label := range words[name] {
			slices.Sort(words[name][label])
			words[name][label] = slices.Compact(words[name][label])
		}
	}
}
