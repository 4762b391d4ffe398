package telemetry

import "github.com/VictoriaMetrics/metrics"

// The library's own histograms choose their bounds by themselves, but Prometheus cannot read them.

// seconds are the bounds between which durations are counted.
var seconds = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2.5, 10}

// Seconds finds or makes the histogram of that name for durations in seconds.
func Seconds(set *metrics.Set, name string) *metrics.PrometheusHistogram {
	return set.GetOrCreatePrometheusHistogramExt(name, seconds)
}

// Sizes finds or makes the histogram of that name for sizes: its bounds are the powers of two up to
// largest.
func Sizes(set *metrics.Set, name string, largest int) *metrics.PrometheusHistogram {
	var bounds []float64
	for bound := 1; bound <= largest; bound *= 2 {
		bounds = append(bounds, float64(bound))
	}
	return set.GetOrCreatePrometheusHistogramExt(name, bounds)
}
