package redisstock_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

// TestStateIsShown takes a server through all that it can be, and compares what one look finds with the gauges.
func TestStateIsShown(t *testing.T) {
	t.Parallel()
	server, set := servicetest.Redis(t), metrics.NewSet()
	client := connect(t, server.Addr)
	s := newShop(t, client, redisstock.Config{Metrics: set})
	shows := func(want redisstock.State) {
		t.Helper()
		for state, word := range map[redisstock.State]string{
			redisstock.StateUnknown: "unknown", redisstock.StateOpen: "open", redisstock.StateShut: "shut", redisstock.StatePartly: "partly_shut",
		} {
			figure := set.GetOrCreateGauge(fmt.Sprintf("sluice_core_redis_state_info{state=%q}", word), nil).Get()
			if (figure == 1) != (state == want) || state.String() != word {
				t.Errorf("state %s is %v, want %v", word, figure, want)
			}
		}
	}
	look := func(want redisstock.State) {
		t.Helper()
		if state, err := s.State(t.Context()); state != want || (err != nil) != (want == redisstock.StateUnknown) {
			t.Errorf("state is %v (%v), want %v", state, err, want)
		}
		shows(want)
	}
	shows(redisstock.StateUnknown)
	look(redisstock.StateShut)
	s.open()
	look(redisstock.StateOpen)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.State(ended); err == nil {
		t.Error("it answers somebody who has no time")
	}
	shows(redisstock.StateOpen)
	lost := fmt.Sprintf("{p%d}:mark", partition(stock.Cell{SKU: 1}))
	if n, err := client.Do(t.Context(), client.B().Del().Key(lost).Build()).AsInt64(); err != nil || n != 1 {
		t.Fatalf("deleted %d marks, error %v", n, err)
	}
	look(redisstock.StatePartly)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	look(redisstock.StateUnknown)
}
