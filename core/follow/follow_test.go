package follow

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/local/servicetest"
	"sluice/core/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(servicetest.Main(m)) }

// A reader that begins again later than it begins with messages of has left some out, and says so. One that begins in time does not.
func TestReadingThatBeginsAgainTooLate(t *testing.T) {
	t.Parallel()
	for name, since := range map[string]time.Duration{"too late": time.Microsecond, "in time": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			brokers := servicetest.Broker(t)
			if err := outbox.CreateTopic(t.Context(), brokers, "words", 1, 1); err != nil {
				t.Fatal(err)
			}
			var lost atomic.Int64
			f := New(Config{
				Brokers: brokers, Topic: "words", Since: since,
				Take:   func([]byte) error { return nil },
				Lost:   func() { lost.Add(1) },
				Metric: func(thing string) string { return thing }, Metrics: metrics.NewSet(),
				Goal: "read words", Until: "nothing is said", Log: slog.New(slog.DiscardHandler),
			})
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() {
				defer close(done)
				f.Run(ctx)
			}()
			t.Cleanup(func() {
				stop()
				<-done
			})
			until(t, f.Knows)
			if n := lost.Load(); n != 0 {
				t.Fatalf("messages were lost %d times before anybody read", n)
			}
			servicetest.GrowTopic(t, brokers, "words", 2)
			until(t, func() bool {
				f.mu.Lock()
				defer f.mu.Unlock()
				return len(f.ends) == 2 && !f.ends[0].IsZero() && !f.ends[1].IsZero()
			})
			if n := lost.Load(); (n != 0) != (since < time.Second) {
				t.Errorf("with %v, messages were lost %d times", since, n)
			}
		})
	}
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not hold within a minute")
		}
	}
}
