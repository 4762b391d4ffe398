package persister

import (
	"context"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// TestFaultsAreCounted breaks a cell and leaves a dead letter: the gauges tell while that is so.
func TestFaultsAreCounted(t *testing.T) {
	t.Parallel()
	s := newShop(t, servicetest.Broker(t))
	n := s.start()
	figures := func() string {
		var some []string
		for line := range strings.Lines(get(t, n, "metrics")) {
			for _, name := range []string{"shut_cells{", `unresolved_dead_letters{reason="fork"}`, `unresolved_dead_letters{reason="other"}`} {
				if strings.HasPrefix(line, "sluice_persister_"+name) {
					some = append(some, strings.TrimSpace(strings.TrimPrefix(line, "sluice_persister_")))
				}
			}
		}
		return strings.Join(some, "; ")
	}
	s.eventually(`shut_cells{kind="breached"} 0; shut_cells{kind="fenced"} 0; `+
		`unresolved_dead_letters{reason="fork"} 0; unresolved_dead_letters{reason="other"} 0`, figures)

	breached, fenced := s.cells[0], s.cells[1]
	before := s.value(breached)
	after := []byte(before)
	after[5]++ // the last byte of avail
	s.setValue(breached, string(after))
	v := &stock.Vector{Op: stock.OpReserve, Partition: fenced.Partition(testPartitions), Requests: []stock.Request{{
		ID: stock.Identity{User: 1, Route: stock.OpReserve, Cell: fenced, Key: "a"}.ID(testPartitions), Cell: fenced, User: 1,
		Quantity: 1, Fence: stock.Position{Epoch: 9},
	}}}
	if s.store.Do(t.Context(), v); v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictFenced {
		t.Fatalf("fence: %v %v", v.Err, v.Outcomes)
	}
	if _, err := s.db.ExecContext(t.Context(), "INSERT INTO dead_letters (letter_id, reason, detail, data) "+
		"VALUES (REPEAT('a', 32), 'fork', '', ''), (REPEAT('b', 32), 'of tomorrow', '', '')"); err != nil {
		t.Fatal(err)
	}
	s.eventually(`shut_cells{kind="breached"} 1; shut_cells{kind="fenced"} 1; `+
		`unresolved_dead_letters{reason="fork"} 1; unresolved_dead_letters{reason="other"} 1`, figures)

	s.setValue(breached, before)
	if _, err := s.db.ExecContext(t.Context(), "UPDATE dead_letters SET resolved_at = NOW()"); err != nil {
		t.Fatal(err)
	}
	s.eventually(`shut_cells{kind="breached"} 0; shut_cells{kind="fenced"} 1; `+
		`unresolved_dead_letters{reason="fork"} 0; unresolved_dead_letters{reason="other"} 0`, figures)
}

// TestStateOfRedisIsShown makes Redis forget its scripts, as a restart does.
func TestStateOfRedisIsShown(t *testing.T) {
	t.Parallel()
	s := newShop(t, servicetest.Broker(t))
	n := s.start()
	state := func() string {
		for line := range strings.Lines(get(t, n, "metrics")) {
			if word, ok := strings.CutPrefix(line, "sluice_core_redis_state_info{state="); ok && strings.HasSuffix(line, " 1\n") {
				return word
			}
		}
		return ""
	}
	s.eventually("\"open\"} 1\n", state)
	if err := s.redis.Do(t.Context(), s.redis.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	s.eventually("\"shut\"} 1\n", state)
}

func cellsKey(c stock.Cell) string {
	return "{p" + strconv.Itoa(c.Partition(testPartitions)) + "}:cells"
}

// value is a cell as it is packed.
func (s *shop) value(c stock.Cell) string {
	s.t.Helper()
	value, err := s.redis.Do(s.t.Context(), s.redis.B().Hget().Key(cellsKey(c)).Field(string(c.Append(nil))).Build()).ToString()
	if err != nil {
		s.t.Fatal(err)
	}
	return value
}

func (s *shop) setValue(c stock.Cell, value string) {
	s.t.Helper()
	err := s.redis.Do(s.t.Context(), s.redis.B().Hset().Key(cellsKey(c)).FieldValue().
		FieldValue(string(c.Append(nil)), value).Build()).Error()
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestShutCellsOfOthers looks at the partitions of this persister only, and has no figure before that.
func TestShutCellsOfOthers(t *testing.T) {
	t.Parallel()
	const kafka = 4
	m := newTestMeters()
	store := finder{}
	w := newShutWatch(store, kafka, m, metrics.NewSet(), slog.New(slog.DiscardHandler))
	all := func(shutCells) int64 { return 1 }
	if sum, age := w.sum(all), w.age(); !math.IsNaN(sum) || !math.IsNaN(age) {
		t.Errorf("before it is a member: %v, %v s old", sum, age)
	}
	m.progress.Store(newProgress(map[int]int64{1: 0, 3: 0}))
	if sum, age := w.sum(all), w.age(); !math.IsNaN(sum) || !math.IsNaN(age) {
		t.Errorf("before it has looked: %v, %v s old", sum, age)
	}
	if err := w.round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sum, age := w.sum(all), w.age(); sum != testPartitions/2 || age > 60 {
		t.Errorf("it sums %v partitions, %v s old", sum, age)
	}
	for p := range testPartitions {
		if want := 2 * (p % 2); store[p] != want {
			t.Errorf("%d looks at partition %d, want %d", store[p], p, want)
		}
	}
}

// finder counts the looks at each partition. A look takes two steps.
type finder map[int]int

func (f finder) Partitions() int { return testPartitions }

func (f finder) ShutCells(_ context.Context, partition int, cursor uint64) ([]stock.CellState, uint64, error) {
	f[partition]++
	return nil, 1 - cursor, nil
}
