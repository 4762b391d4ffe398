package schedule

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/catalog/internal/task"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

func TestMain(m *testing.M) { os.Exit(servicetest.Main(m).Run()) }

func TestDueTimes(t *testing.T) {
	t.Parallel()
	f := func(every, at time.Duration, now, want string) {
		t.Helper()
		moment, err := time.Parse(time.DateTime, now)
		if err != nil {
			t.Fatal(err)
		}
		item := Item{Name: "n", Every: every, At: at}
		if got := item.last(moment).Format(time.DateTime); got != want || item.Check() != nil {
			t.Errorf("every %v at %v, the last due time before %s is %s, want %s", every, at, now, got, want)
		}
	}
	f(24*time.Hour, 3*time.Hour, "2026-11-28 07:00:00", "2026-11-28 03:00:00")
	f(24*time.Hour, 3*time.Hour, "2026-11-28 03:00:00", "2026-11-28 03:00:00")
	f(24*time.Hour, 3*time.Hour, "2026-11-28 02:59:59", "2026-11-27 03:00:00")
	f(time.Minute, 0, "2026-11-28 02:59:59", "2026-11-28 02:59:00")
	f(7*24*time.Hour, 0, "2026-11-28 02:59:59", "2026-11-23 00:00:00") // weeks begin on Monday
	for _, item := range []Item{{}, {Every: time.Millisecond}, {Every: time.Minute, At: time.Minute}, {Every: time.Minute, At: -1}, {Every: 1500 * time.Millisecond}} {
		if item.Check() == nil {
			t.Errorf("%+v has due times", item)
		}
	}
}

// world is a place with a schedule and its tasks.
type world struct {
	*testing.T
	place.Place
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool, err := db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, place.Place{Copies: db.NewCopies("shop", pool, nil, 0, slog.Default()), Name: "shop_3", Suffix: "_3"}}
	t.Cleanup(func() { _ = w.Close() })
	for _, statement := range []string{Table("thing"), task.Table("thing")} {
		w.exec(strings.ReplaceAll(statement, "__", "_3"))
	}
	return w
}

func (w *world) exec(statement string) {
	w.Helper()
	if _, err := w.Writer().ExecContext(w.Context(), statement); err != nil {
		w.Fatal(statement, err)
	}
}

func (w *world) tasks() (n int) {
	w.Helper()
	if err := w.Writer().QueryRowContext(w.Context(), "SELECT COUNT(*) FROM thing_tasks_3").Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) schedule(items ...Item) *Schedule {
	return &Schedule{Owner: "thing", Place: w.Place, Items: items, Log: slog.New(slog.DiscardHandler)}
}

// TestOnceOverAllProcesses has many processes look at once, again and again, while due times pass and tasks are done.
func TestOnceOverAllProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all sync.WaitGroup
	var mu sync.Mutex
	added := 0
	end := time.Now().Add(3 * time.Second)
	for range 8 {
		all.Go(func() {
			s := w.schedule(Item{Name: "tick", Every: time.Second}, Item{Name: "day", Every: 24 * time.Hour})
			for time.Now().Before(end) {
				n, err := s.look(t.Context())
				if err != nil && db.FailureOf(err) != db.FailureDeadlock {
					t.Error(err)
				}
				mu.Lock()
				added += n
				mu.Unlock()
			}
		})
	}
	done := 0
	for time.Now().Before(end) { // a worker
		ended, err := w.Writer().ExecContext(t.Context(), "DELETE FROM thing_tasks_3 WHERE kind = 'tick'")
		if err != nil {
			if db.FailureOf(err) != db.FailureDeadlock {
				t.Fatal(err)
			}
			continue
		}
		n, err := ended.RowsAffected()
		if err != nil || n > 1 {
			t.Fatalf("%d ticks waited at once, %v", n, err)
		}
		done += int(n)
	}
	all.Wait()
	var ticks, days int
	if err := w.Writer().QueryRowContext(t.Context(), "SELECT COALESCE(SUM(kind = 'tick'), 0), SUM(kind = 'day') FROM thing_tasks_3").Scan(&ticks, &days); err != nil {
		t.Fatal(err)
	}
	ticks += done
	// Seconds begin 3 or 4 times in 3 s, and at the beginning one is due already.
	if ticks < 3 || ticks > 6 || days < 1 || days > 2 || added != ticks+days {
		t.Errorf("%d ticks and %d days, %d were added", ticks, days, added)
	}
}

// While a task waits, later times of the thing add none. The last of them is due as soon as the task is done.
func TestTasksDoNotPileUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := Item{Name: "day", Every: 24 * time.Hour}
	look := func(want int) {
		t.Helper()
		if n, err := w.schedule(day).look(t.Context()); n != want || err != nil {
			t.Errorf("added %d, %v, want %d", n, err, want)
		}
	}
	look(1)
	w.exec("UPDATE thing_schedule_3 SET due_at = due_at - INTERVAL 3 DAY") // days go by
	w.exec("UPDATE thing_tasks_3 SET name = 'of the first day'")
	look(0)
	w.exec("UPDATE thing_tasks_3 SET claim = 7, due_at = NOW(3) + INTERVAL 1 MINUTE") // somebody works at it
	look(0)
	if n := w.tasks(); n != 1 {
		t.Errorf("%d tasks", n)
	}
	w.exec("UPDATE thing_tasks_3 SET state = 'dead'") // which waits for a person, and the thing goes on
	look(1)
	look(0)
	w.exec("DELETE FROM thing_tasks_3")
	look(0) // that was for the last day
	w.exec("UPDATE thing_schedule_3 SET due_at = due_at - INTERVAL 1 DAY")
	look(1)
}

// After an outage what was missed is done once.
func TestAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := Item{Name: "day", Every: 24 * time.Hour}
	look := func(want int) {
		t.Helper()
		s := w.schedule(day) // a new process
		for i, want := range []int{want, 0} {
			if n, err := s.look(t.Context()); n != want || err != nil {
				t.Errorf("look %d added %d, %v, want %d", i+1, n, err, want)
			}
		}
	}
	look(1) // a new item
	look(0)
	w.exec("UPDATE thing_schedule_3 SET due_at = due_at - INTERVAL 10 DAY") // all processes were away
	w.exec("DELETE FROM thing_tasks_3")
	look(1)
	if n := w.tasks(); n != 1 {
		t.Errorf("%d tasks for ten missed days", n)
	}
	// A process whose look began before a later due time was added adds nothing.
	late := w.schedule()
	if first, err := late.add(t.Context(), day, day.last(time.Now().UTC()).Add(-48*time.Hour)); first || err != nil {
		t.Errorf("an earlier due time: %v, %v", first, err)
	}
}

// A due time and its task are there together, or neither is.
func TestTaskAndTimeAreOneStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("RENAME TABLE thing_tasks_3 TO away")
	s := w.schedule(Item{Name: "day", Every: 24 * time.Hour})
	if n, err := s.look(t.Context()); n != 0 || err == nil {
		t.Errorf("without a table of tasks: %d, %v", n, err)
	}
	w.exec("RENAME TABLE away TO thing_tasks_3")
	if n, err := s.look(t.Context()); n != 1 || err != nil {
		t.Errorf("with it: %d, %v", n, err)
	}
}
