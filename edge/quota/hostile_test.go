package quota_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/limit"
	"sluice/core/stock/redisstock"
	"sluice/edge/quota"
)

// garbled is a seal of other keys: nothing opens but what it has sealed.
type garbled struct{}

func (garbled) Seal(text []byte) []byte { return append([]byte("garbled "), text...) }

func (garbled) Open(sealed []byte) ([]byte, error) {
	text, own := bytes.CutPrefix(sealed, []byte("garbled "))
	if !own {
		return nil, errors.New("sealed with another key")
	}
	return text, nil
}

func TestUnreadableNoticesAreLoggedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 1, shopper)
	var lines bytes.Buffer
	set := metrics.NewSet()
	deaf := quota.New(quota.Config{
		Board: &w.board, Seal: garbled{}, Policies: []quota.Policy{(*limit.Limiter[int64])(nil)},
		Metrics: set, Log: slog.New(slog.NewTextHandler(&lines, nil)), Now: func() time.Time { return w.now },
	})
	for range 30 {
		if err := deaf.Exchange(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			w.pass(t)
		}
	}
	if n := strings.Count(lines.String(), "all edges need the same keys"); n != 1 {
		t.Errorf("%d lines about keys: %s", n, lines.String())
	}
	var page bytes.Buffer
	set.WritePrometheus(&page)
	if strings.Contains(page.String(), "sluice_edge_limit_unreadable_messages_total 0\n") {
		t.Error("no message was counted as unreadable")
	}
}

// TestRepeatedNoticesCountOnce has somebody who may write to the stream repeat what an edge has told, at once and later: to edges
// that have heard it, to one that has just started, and when its sender has gone.
func TestRepeatedNoticesCountOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	w.board.trim()
	w.send(w.edges[0], 7, 20)
	for range 200 {
		w.pass(t)
	}
	overheard := append([]redisstock.Notice(nil), w.board.notices...)
	repeat := func(when string, other *edge) {
		t.Helper()
		for range 5 {
			for _, n := range overheard {
				w.board.give(n.Text)
			}
			for range 200 {
				w.pass(t)
			}
		}
		if passed := w.send(other, 7, 40); passed < 25 { // it flows in for 1 s
			t.Errorf("%s: %d requests passed, want about 40: the other edge let 20 pass long ago", when, passed)
		}
	}
	repeat("at once", w.edges[1])
	if n := w.edges[1].metric(t, "sluice_edge_limit_repeated_messages_total"); n == "0" {
		t.Error("no repetition was counted")
	}
	gone := w.edges[0]
	w.edges = w.edges[1:]
	for range 4000 {
		w.pass(t)
	}
	repeat("when its edge has gone", w.edges[0])
	if n := w.edges[0].metric(t, "sluice_edge_limit_edges"); n != "1" {
		t.Errorf("an edge counts for %s edges, and there is one", n)
	}
	w.edges = append(w.edges, gone)
	started := w.join(shopper)
	w.meet(t)
	repeat("to an edge that has started since", started)
}

// TestHostileEntriesAreSkipped puts what no edge has written between the notices of edges.
func TestHostileEntriesAreSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	w.send(w.edges[0], 7, 40)
	for range 100 {
		for _, text := range [][]byte{nil, {}, []byte("hostile"), bytes.Repeat([]byte{2}, 1000)} {
			w.board.give(text)
		}
		w.pass(t)
	}
	if passed := w.send(w.edges[1], 7, 40); passed > 10 {
		t.Errorf("%d requests passed: an edge does not hear others any more", passed)
	}
	if n := w.edges[1].metric(t, "sluice_edge_limit_unreadable_messages_total"); n == "0" {
		t.Error("nothing was counted as unreadable")
	}
}

// TestFloodIsSkipped has somebody write more to the stream than an edge may hear in one exchange. It goes on with what comes next.
func TestFloodIsSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(1, 2, shopper)
	w.meet(t)
	for range 3000 {
		w.board.give([]byte("flood"))
	}
	calls := w.board.calls
	for range 300 {
		w.pass(t)
	}
	if n := w.board.calls - calls; n > 2*(8+8) {
		t.Errorf("two edges made %d calls in 0.3 s", n)
	}
	w.send(w.edges[0], 7, 40)
	for range 200 {
		w.pass(t)
	}
	if passed := w.send(w.edges[1], 7, 40); passed > 10 {
		t.Errorf("%d requests passed: an edge does not hear others any more", passed)
	}
}
