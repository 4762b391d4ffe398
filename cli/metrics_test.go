package cli

import (
	"fmt"
	"strings"
	"testing"

	"sluice/core/telemetry"
)

// TestMetricsPage compares docs/metrics.md with the declared metrics.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(metricsIntro)
	for _, service := range []struct{ name, about string }{
		{"core", "Metrics of edges and persisters, some of the shop too. `job` and `instance`, which Prometheus adds, tell whose a figure is."},
		{"edge", "Metrics of edges."},
		{"persister", "Metrics of persisters."},
		{"catalog", "Metrics of the shop."},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n", service.name, service.about)
		for _, f := range telemetry.Families(service.name) {
			labels := "none"
			if f.Labels != "" {
				labels = "`" + strings.ReplaceAll(f.Labels, " ", "`, `") + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Kind, f.Unit(), labels, f.Help)
		}
	}
	golden(t, "../docs/metrics.md", b.String())
}

const metricsIntro = `# Metrics

Every edge, persister and catalog answers ` + "`/metrics`" + ` on its ops port (` + "`--ops-listen`" + `) in the text format of Prometheus, with HELP and TYPE.

A name is ` + "`sluice_<service>_<thing>_<unit>[_total]`" + `. The service is the directory of the package that has the metric:
` + "`edge`, `persister`, `catalog`" + `, or ` + "`core`" + ` for work of several, such as the relay and the sweeper. Counters, and nothing
else, end with ` + "`_total`" + `. Values of labels are words of fixed sets, addresses of servers or names of databases and providers, never a SKU or a user. Metrics that begin with ` + "`go_`" + ` and
` + "`process_`" + ` come from the runtime and the system.

This page is written by ` + "`go test ./cli -update`" + ` from the declarations in ` + "`core/telemetry`" + `.
`
