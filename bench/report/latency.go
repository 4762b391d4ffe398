package report

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// latencyMax is the longest time that a histogram tells apart. What took longer counts as this.
const latencyMax = time.Hour

// NewHistogram returns a histogram of microseconds, with three digits.
func NewHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, latencyMax.Microseconds(), 3)
}

// Record adds a duration to a histogram.
func Record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Microseconds(), 1), latencyMax.Microseconds())) // it is within the range
}

// Latency is how long requests took, from the time at which they were to be sent.
type Latency struct {
	P50MS  float64 `json:"p50_ms"`
	P90MS  float64 `json:"p90_ms"`
	P99MS  float64 `json:"p99_ms"`
	P999MS float64 `json:"p99_9_ms"`
	MaxMS  float64 `json:"max_ms"`
	// Histogram has all of them in microseconds, in HdrHistogram's compressed form (V2, base64); empty: none.
	Histogram string `json:"histogram,omitempty"`
}

// Summary sums up a histogram of microseconds, and leaves the histogram itself out.
func Summary(h *hdrhistogram.Histogram) Latency {
	return Latency{P50MS: Quantile(h, 50), P90MS: Quantile(h, 90), P99MS: Quantile(h, 99), P999MS: Quantile(h, 99.9), MaxMS: ms(h.Max())}
}

// LatencyOf sums up a histogram of microseconds.
func LatencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	l := Summary(h)
	encoded, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		panic(fmt.Errorf("encode histogram: %w", err)) // it writes into memory
	}
	l.Histogram = string(encoded)
	return l
}

// Quantile returns a percentile of a histogram of microseconds, in milliseconds.
func Quantile(h *hdrhistogram.Histogram, percent float64) float64 {
	if h.TotalCount() == 0 {
		return 0
	}
	return ms(h.ValueAtQuantile(percent))
}

func ms(us int64) float64 { return float64(us) / 1e3 }

// Decode returns the histogram. It is empty if there is none.
func (l Latency) Decode() (*hdrhistogram.Histogram, error) {
	if l.Histogram == "" {
		return NewHistogram(), nil
	}
	h, err := hdrhistogram.Decode([]byte(l.Histogram))
	if err != nil {
		return nil, fmt.Errorf("histogram: %w", err)
	}
	if h.HighestTrackableValue() > latencyMax.Microseconds() || h.SignificantFigures() > 3 {
		return nil, fmt.Errorf("histogram: up to %d us with %d digits: want at most %d us with 3",
			h.HighestTrackableValue(), h.SignificantFigures(), latencyMax.Microseconds())
	}
	return h, nil
}

// Together returns one histogram of several outcomes.
func Together(outcomes []Outcome) (*hdrhistogram.Histogram, error) {
	all := NewHistogram()
	for i := range outcomes {
		h, err := outcomes[i].Latency.Decode()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", outcomes[i].Name, err)
		}
		all.Merge(h)
	}
	return all, nil
}
