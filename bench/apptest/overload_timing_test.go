package apptest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"sluice/bench/stack"
)

// BenchmarkOverloadOfItsCores offers an edge 1.5 times what its cores carry, with nothing that caps the capacity. It compares the
// goodput, the reservations within a second of each shopper's coming, with that of the best rate, in turn. Run it with -benchtime 1x on
// a quiet machine. Edge, Redis and Kafka share all cores with the generator, or they have the first core and the generator has the
// second.
//
// What a shopper costs the generator counts against the goodput: one who gives up closes a connection, and the next one opens it again.
// docs/performance.md says what no edge could surpass here, because refusals and the generator take CPU too.
func BenchmarkOverloadOfItsCores(b *testing.B) {
	b.Run("shared", func(b *testing.B) { overloadCores(b, func(string) {}) })
	b.Run("apart", func(b *testing.B) {
		overloadCores(b, func(core string) { // of this process, and of those that it starts from then on
			out, err := exec.CommandContext(b.Context(), "taskset", "-a", "-c", "-p", core, strconv.Itoa(os.Getpid())).CombinedOutput()
			if err != nil {
				b.Fatalf("taskset: %v: %s", err, out)
			}
		})
	})
}

func overloadCores(b *testing.B, move func(core string)) {
	b.Helper()
	const sku, rounds, round = 1001, 3, 5 * time.Second
	move("0")
	s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_OUTBOX_ENTRIES_MAX=10000000")
	s.LoadCSV("sku_id,quantity,limit", fmt.Sprintf("%d,1000000000,", sku))
	edge := s.StartEdge()
	move("1")
	offer := func(perSecond float64, lasting time.Duration) offered {
		o := offer(b, s, edge, sku, perSecond, lasting)
		b.Logf("%.0f/s offered: %v", perSecond, o)
		return o
	}
	for b.Loop() {
		best := 0.0
		for rate, missed := 2000.0, 0; missed < 2; rate *= 1.25 { // one miss may be a moment of the machine
			got := offer(rate, round/2).goodput
			if best = max(best, got); got < 0.9*rate {
				missed++
			}
		}
		var at, over, back, acceptedP99, refusedP99 []float64
		for range rounds {
			at = append(at, offer(best, round).goodput/best)
			o := offer(1.5*best, round)
			over = append(over, o.goodput/best)
			acceptedP99, refusedP99 = append(acceptedP99, milliseconds(o.acceptedP99)), append(refusedP99, milliseconds(o.refusedP99))
			back = append(back, offer(0.9*best, 2*time.Second).goodput/(0.9*best))
		}
		b.ReportMetric(best, "best/s")
		b.ReportMetric(median(at), "goodput-at-1.0")
		b.ReportMetric(median(over), "goodput-at-1.5")
		b.ReportMetric(slices.Min(over), "goodput-at-1.5-min")
		b.ReportMetric(median(back), "goodput-after")
		b.ReportMetric(median(acceptedP99), "accepted-p99-ms")
		b.ReportMetric(median(refusedP99), "refused-p99-ms")
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
