package task

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

// dsnEnv makes the test binary a worker that ends itself at a step.
const dsnEnv, stepEnv = "SLUICE_TEST_TASK_DSN", "SLUICE_TEST_TASK_STEP"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(dsnEnv); dsn != "" {
		killedWorker(dsn, os.Getenv(stepEnv))
	}
	os.Exit(servicetest.Main(m).Run())
}

var discard = slog.New(slog.DiscardHandler)

// world is a place with tasks, and a table for their effects.
type world struct {
	*testing.T
	dsn string
	place.Place
	Tasks
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldIn(t, servicetest.MariaDB(t))
}

func newWorldIn(t *testing.T, dsn string) *world {
	t.Helper()
	w := &world{t, dsn, openPlace(dsn), Of("thing", "")}
	t.Cleanup(func() { _ = w.Close() })
	w.exec(strings.ReplaceAll(Table("thing"), "__", ""))
	w.exec("CREATE TABLE effects (name VARCHAR(100), attempt INT)")
	return w
}

func openPlace(dsn string) place.Place {
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		panic(err)
	}
	return place.Place{Copies: db.NewCopies("shop", pool, nil, 0, discard), Name: "shop"}
}

func (w *world) exec(statement string, values ...any) {
	w.Helper()
	if _, err := w.Writer().ExecContext(w.Context(), statement, values...); err != nil {
		w.Fatal(statement, err)
	}
}

func (w *world) count(query string) (n int) {
	w.Helper()
	if err := w.Writer().QueryRowContext(w.Context(), query).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) add(kind, name string, data any, after time.Duration) {
	w.Helper()
	if err := db.Write(w.Context(), w.Writer(), "a task", func(tx *sql.Tx) error { return w.Add(w.Context(), tx, kind, name, data, after) }); err != nil {
		w.Fatal(err)
	}
}

// start runs a worker until the test ends, or until stop.
func (w *world) start(cfg Config) (worker *Worker, stop func()) {
	w.Helper()
	cfg.Owner, cfg.Places, cfg.Metrics, cfg.Log = "thing", []place.Place{w.Place}, metrics.NewSet(), discard
	cfg.Every = 20 * time.Millisecond
	if cfg.PauseFirst == 0 {
		cfg.PauseFirst = time.Millisecond
	}
	worker = NewWorker(cfg)
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.Cleanup(stop)
	return worker, stop
}

func (w *world) await(what, query string, want int) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); w.count(query) != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s", what)
		}
	}
}

const waiting = "SELECT COUNT(*) FROM thing_tasks"

func TestTasksAreDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("greet", "ann", map[string]int{"n": 7}, 0)
	w.add("greet", "ann", map[string]int{"n": 8}, 0) // there is one
	w.add("greet", "bob", map[string]int{"n": 1}, time.Hour)
	w.add("other", "ann", nil, 0)
	got := make(chan Task, 10)
	w.start(Config{Handlers: map[string]Handler{"greet": func(_ context.Context, task Task) error {
		var data struct {
			N int `json:"n"`
		}
		if err := task.Into(&data); err != nil || data.N != 7 {
			t.Errorf("the data are %+v, %v", data, err)
		}
		got <- task
		return nil
	}}})
	if task := <-got; task.Name != "ann" || task.Kind != "greet" || task.Attempt != 1 {
		t.Errorf("the task is %+v", task)
	}
	w.await("the task goes", waiting, 2)
	if n := w.count("SELECT COUNT(*) FROM thing_tasks WHERE (kind = 'other' OR name = 'bob') AND attempts = 0"); n != 2 {
		t.Errorf("%d tasks wait untouched, want the one that is not due and the one of another kind", n)
	}
}

func TestWhatIsNoTask(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := db.Write(t.Context(), w.Writer(), "tasks", func(tx *sql.Tx) error {
		for _, c := range []struct {
			kind, name string
			data       any
			after      time.Duration
		}{
			{"", "n", nil, 0},
			{"Kind", "n", nil, 0},
			{"k", "ü", nil, 0},
			{"k", strings.Repeat("n", 101), nil, 0},
			{"k", "n", nil, -1},
			{"k", "n", strings.Repeat("x", 65<<10), 0},
			{"k", "n", make(chan int), 0},
		} {
			if w.Add(t.Context(), tx, c.kind, c.name, c.data, c.after) == nil {
				t.Errorf("%q %q was added", c.kind, c.name)
			}
		}
		return w.Add(t.Context(), tx, "k", "", nil, 0)
	})
	if n := w.count("SELECT COUNT(*) FROM thing_tasks WHERE LENGTH(name) = 32"); err != nil || n != 1 {
		t.Errorf("a task without a name: %d, %v", n, err)
	}
}

// What fails is tried again, under the same name, and dies at last. A person repeats it or drops it.
func TestFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var attempts atomic.Int64
	var works atomic.Bool
	w.start(Config{AttemptsMax: 3, Handlers: map[string]Handler{
		"fail": func(_ context.Context, task Task) error {
			attempts.Add(1)
			if works.Load() {
				return nil
			}
			if task.Name != "f" {
				t.Errorf("attempt %d has the name %q", task.Attempt, task.Name)
			}
			return fmt.Errorf("attempt %d: it rains \x1b", task.Attempt)
		},
		"never": func(context.Context, Task) error { return Permanent(errors.New("cannot be")) },
		"panic": func(context.Context, Task) error { panic("a canary") },
	}})
	w.add("fail", "f", nil, 0)
	w.add("never", "n", nil, 0)
	w.add("panic", "p", nil, 0)
	w.await("three die", "SELECT COUNT(*) FROM thing_tasks WHERE state = 'dead'", 3)
	dead, err := w.Dead(t.Context(), w.Writer(), 0, 10)
	if err != nil || len(dead) != 3 {
		t.Fatalf("the dead are %+v, %v", dead, err)
	}
	for i, want := range []Dead{{Kind: "fail", Attempts: 3, Error: `attempt 3: it rains \u001b`}, {Kind: "never", Attempts: 1, Error: "cannot be"}, {Kind: "panic", Attempts: 3}} {
		got := dead[i]
		if want.Kind == "panic" && (!strings.HasPrefix(got.Error, "the handler panicked: a string") || strings.Contains(got.Error, "canary")) {
			t.Errorf("a panic is told as %s", got.Error)
		}
		if got.Kind != want.Kind || got.Attempts != want.Attempts || want.Error != "" && got.Error != want.Error {
			t.Errorf("dead is %+v, want %+v", got, want)
		}
	}
	if page, err := w.Dead(t.Context(), w.Writer(), dead[1].ID, 10); err != nil || len(page) != 1 {
		t.Errorf("the last page is %+v, %v", page, err)
	}
	if attempts.Load() != 3 {
		t.Errorf("%d attempts", attempts.Load())
	}
	works.Store(true)
	act := func(what string, do decision, id int64, want bool) {
		t.Helper()
		if done, err := w.decide(do, id); done != want || err != nil {
			t.Errorf("%s %d: %v, %v", what, id, done, err)
		}
	}
	act("repeat", w.Repeat, dead[0].ID, true)
	act("drop", w.Drop, dead[1].ID, true)
	act("drop again", w.Drop, dead[1].ID, false)
	w.await("one is left", waiting, 1)
	act("repeat what is done", w.Repeat, dead[0].ID, false)
}

// decision is what can be decided about a dead task.
type decision func(context.Context, *sql.Tx, int64) (bool, error)

func (w *world) decide(do decision, id int64) (done bool, err error) {
	err = db.Write(w.Context(), w.Writer(), "decide", func(tx *sql.Tx) (err error) {
		done, err = do(w.Context(), tx, id)
		return err
	})
	return done, err
}

// Many workers do each task once, while none of them ends.
func TestManyWorkers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const tasks = 200
	if err := db.Write(t.Context(), w.Writer(), "tasks", func(tx *sql.Tx) error {
		for i := range tasks {
			if err := w.Add(t.Context(), tx, "work", fmt.Sprint(i), nil, 0); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		w.start(Config{Slots: 4, Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error {
			_, err := w.Writer().ExecContext(ctx, "INSERT INTO effects VALUES (?, ?)", task.Name, task.Attempt)
			return err
		}}})
	}
	w.await("all are done", waiting, 0)
	if n := w.count("SELECT COUNT(*) FROM effects"); n != tasks {
		t.Errorf("%d effects", n)
	}
}

// A kind that is slow has slots of its own, and keeps back no other one.
func TestSlowKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const slots = 2
	for i := range 10 * slots { // all are due before the quick ones
		w.add("slow", fmt.Sprint(i), nil, 0)
	}
	for i := range 10 * slots {
		w.add("quick", fmt.Sprint(i), nil, 0)
	}
	begun, end := make(chan struct{}, 100), make(chan struct{})
	w.start(Config{Slots: slots, Handlers: map[string]Handler{
		"quick": func(context.Context, Task) error { return nil },
		"slow": func(context.Context, Task) error {
			begun <- struct{}{}
			<-end
			return nil
		},
	}})
	w.await("the quick ones are done", "SELECT COUNT(*) FROM thing_tasks WHERE kind = 'quick'", 0)
	if n := w.count(waiting); n != 10*slots || len(begun) != slots {
		t.Errorf("%d slow ones are there and %d have begun, want %d and %d", n, len(begun), 10*slots, slots)
	}
	close(end)
	w.await("all are done", waiting, 0)
}

// A kind that people wait for has less time, and is due again sooner after a crash.
func TestTimesOfKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	left := func(ctx context.Context, task Task) error {
		deadline, _ := ctx.Deadline()
		var lease int64
		if err := w.Writer().QueryRowContext(ctx, "SELECT TIMESTAMPDIFF(SECOND, NOW(3), due_at) FROM thing_tasks WHERE id = ?", task.ID).Scan(&lease); err != nil {
			return err
		}
		_, err := w.Writer().ExecContext(ctx, "INSERT INTO effects VALUES (?, ?), (?, ?)",
			task.Name+" attempt", int64(time.Until(deadline).Minutes()), task.Name+" lease", lease/60)
		return err
	}
	w.start(Config{
		Handlers: map[string]Handler{"short": left, "usual": left}, Timeout: 30 * time.Minute, TimeoutOf: map[string]time.Duration{"short": 10 * time.Minute},
	})
	w.add("short", "short", nil, 0)
	w.add("usual", "usual", nil, 0)
	w.await("both are done", waiting, 0)
	for name, want := range map[string][2]int{"short": {8, 10}, "usual": {28, 30}} {
		for _, of := range []string{"attempt", "lease"} {
			if minutes := w.count(fmt.Sprintf("SELECT attempt FROM effects WHERE name = '%s %s'", name, of)); minutes < want[0] || minutes > want[1] {
				t.Errorf("the %s of the %s kind takes %d minutes, want %d to %d", of, name, minutes, want[0], want[1])
			}
		}
	}
}

// A worker that stops gives its tasks back, and their attempts do not count.
func TestStopping(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	begun := make(chan struct{})
	_, stop := w.start(Config{Handlers: map[string]Handler{"wait": func(ctx context.Context, _ Task) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	}}})
	w.add("wait", "w", nil, 0)
	<-begun
	stop()
	if n := w.count("SELECT COUNT(*) FROM thing_tasks WHERE attempts = 0 AND claim = 0 AND due_at <= NOW(3)"); n != 1 {
		t.Error("the task is not back")
	}
}

// An attempt that took too long has lost its task: what it does in a transaction with Finish is rolled back.
func TestLostLease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("slow", "s", nil, 0)
	var attempts atomic.Int64
	w.start(Config{Handlers: map[string]Handler{"slow": func(ctx context.Context, task Task) error {
		if attempts.Add(1) == 1 { // somebody else takes it
			if _, err := w.Writer().ExecContext(ctx, "UPDATE thing_tasks SET claim = claim - 1, due_at = NOW(3)"); err != nil {
				return err
			}
		}
		return db.Write(ctx, w.Writer(), "the effect", func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?, ?)", task.Name, task.Attempt); err != nil {
				return err
			}
			return task.Finish(ctx, tx)
		})
	}}})
	w.await("it is done", waiting, 0)
	if n := w.count("SELECT SUM(attempt) FROM effects"); n != 2 {
		t.Errorf("the effects are of attempts that add up to %d, want the second one alone", n)
	}
}

// killedWorker works at a step of a task, and ends the process there by SIGKILL.
func killedWorker(dsn, step string) {
	p := openPlace(dsn)
	worker := NewWorker(Config{
		Owner: "thing", Places: []place.Place{p}, Every: 10 * time.Millisecond, Metrics: metrics.NewSet(), Log: discard,
		Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error { return effect(ctx, p.Writer(), task) }},
	})
	worker.at = func(at string, _ Task) {
		if at == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	worker.Run(context.Background())
}

// effect is one that happens once under its name.
func effect(ctx context.Context, in *sql.DB, task Task) error {
	_, err := in.ExecContext(ctx, "INSERT INTO effects SELECT ?, ? FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM effects WHERE name = ?)", task.Name, task.Attempt, task.Name)
	return err
}

// TestKills ends workers between all steps. Their tasks are done by the next one, and a task that kills each process that tries it
// dies by itself.
func TestKills(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"claimed", "handled"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.add("work", "once", nil, 0)
			kill := func() {
				t.Helper()
				killed := exec.CommandContext(t.Context(), os.Args[0])
				killed.Env = append(slices.Clone(os.Environ()), dsnEnv+"="+w.dsn, stepEnv+"="+step)
				if out, err := killed.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			kill()
			if n := w.count("SELECT COUNT(*) FROM thing_tasks WHERE attempts = 1 AND due_at > NOW(3)"); n != 1 {
				t.Error("its task is nobody's before the lease has ended")
			}
			w.exec("UPDATE thing_tasks SET due_at = NOW(3)") // the lease ends
			kill()
			w.exec("UPDATE thing_tasks SET due_at = NOW(3)")
			var tried atomic.Int64
			_, stop := w.start(Config{AttemptsMax: 2, Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error {
				tried.Add(1)
				return effect(ctx, w.Writer(), task)
			}}})
			w.await("it dies", "SELECT COUNT(*) FROM thing_tasks WHERE state = 'dead'", 1)
			stop()
			if tried.Load() != 0 {
				t.Error("it was tried once more")
			}
			dead, err := w.Dead(t.Context(), w.Writer(), 0, 1)
			if err != nil || len(dead) != 1 {
				t.Fatal(dead, err)
			}
			if done, err := w.decide(w.Repeat, dead[0].ID); !done || err != nil {
				t.Fatal(done, err)
			}
			w.start(Config{Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error { return effect(ctx, w.Writer(), task) }}})
			w.await("it is done", waiting, 0)
			if n := w.count("SELECT COUNT(*) FROM effects"); n != 1 {
				t.Errorf("%d effects", n)
			}
		})
	}
}

// MariaDB crashes while tasks are done. Each has its effect once, because it notes its end in the transaction of the effect.
func TestCrashOfTheDatabase(t *testing.T) {
	t.Parallel()
	server, dsn := servicetest.PrivateDatabase(t)
	w := newWorldIn(t, dsn)
	const tasks = 200
	if err := db.Write(t.Context(), w.Writer(), "tasks", func(tx *sql.Tx) error {
		for i := range tasks {
			if err := w.Add(t.Context(), tx, "work", fmt.Sprint(i), nil, 0); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	some := make(chan struct{}, tasks)
	w.start(Config{Timeout: 2 * time.Second, Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error {
		err := db.Write(ctx, task.Place.Writer(), "the effect", func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "INSERT INTO effects VALUES (?, ?)", task.Name, task.Attempt); err != nil {
				return err
			}
			return task.Finish(ctx, tx)
		})
		select {
		case some <- struct{}{}:
		default:
		}
		return err
	}}})
	for range tasks / 4 {
		<-some
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE thing_tasks SET due_at = NOW(3)") // leases of those that were under way end
	w.await("all are done", waiting, 0)
	if n := w.count("SELECT COUNT(*) FROM effects"); n != tasks || w.count("SELECT COUNT(DISTINCT name) FROM effects") != tasks {
		t.Errorf("%d effects of %d tasks", n, tasks)
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	w := NewWorker(Config{Owner: "thing", Metrics: metrics.NewSet()})
	var sum time.Duration
	for attempt := 1; attempt < 12; attempt++ {
		most := min(time.Hour, 2*time.Second<<(attempt-1))
		for range 50 {
			if pause := w.pause(attempt); pause < most/2 || pause > most {
				t.Errorf("after attempt %d: %v, want %v to %v", attempt, pause, most/2, most)
			}
		}
		sum += most
	}
	if sum < time.Hour || sum > 4*time.Hour {
		t.Errorf("all attempts take %v", sum)
	}
}

func TestLongErrorsFit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("long", "l", nil, 0)
	w.start(Config{Handlers: map[string]Handler{"long": func(context.Context, Task) error {
		return Permanent(errors.New(strings.Repeat("ü\xff", 1000)))
	}}})
	w.await("it dies", "SELECT COUNT(*) FROM thing_tasks WHERE state = 'dead' AND CHAR_LENGTH(last_error) = 500", 1)
}
