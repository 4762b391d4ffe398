package telemetry

import (
	"bytes"
	"fmt"
	"io"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/build"
)

// writePage writes the answer of /metrics. The library writes HELP lines without a text. writePage fills in those of
// declared families and leaves out the others. readiness is the present answer of /readyz.
func writePage(w io.Writer, set *metrics.Set, readiness string) {
	var page bytes.Buffer
	built := build.Read()
	metrics.WriteGaugeUint64(&page, fmt.Sprintf("sluice_core_build_info{version=%q,commit=%q,go=%q}", built.Version, built.Commit, built.Go), 1)
	ready := metrics.NewSet()
	for _, status := range statuses {
		if gauge := ready.NewGauge(fmt.Sprintf("sluice_core_readiness_info{state=%q}", status), nil); status == readiness {
			gauge.Set(1)
		}
	}
	ready.WritePrometheus(&page)
	set.WritePrometheus(&page)
	metrics.WriteProcessMetrics(&page)

	help := map[string]string{}
	for _, f := range Families() {
		help[f.Name] = f.Help
	}
	for line := range bytes.Lines(page.Bytes()) {
		if name, ok := bytes.CutPrefix(line, []byte("# HELP ")); ok {
			name = bytes.TrimSpace(name)
			if text := help[string(name)]; text != "" {
				_, _ = fmt.Fprintf(w, "# HELP %s %s\n", name, text) // if the client has gone, there is nobody to tell
			}
			continue
		}
		_, _ = w.Write(line)
	}
}
