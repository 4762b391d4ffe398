package task

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/place"
	"sluice/core/text"
)

// Handler does a task. Its context ends with its time. An error means another attempt, unless it is Permanent or the last
// one.
type Handler func(context.Context, Task) error

// Permanent makes an error the last one: further attempts could not help.
func Permanent(err error) error { return permanent{err} }

type permanent struct{ error }

// Unwrap returns the error itself.
func (p permanent) Unwrap() error { return p.error }

// Config says what a worker does, and how patiently.
type Config struct {
	Owner    string
	Places   []place.Place
	Handlers map[string]Handler // by kind. A task of another kind waits for a process that knows it
	// Slots is how many tasks of each kind run at once in each database. Defaults to 4. More of them need more connections. A kind
	// that is slow keeps back no other one, and a database that is, no tasks of another.
	Slots int
	// SlotsOf has the kinds that run more at once, because they wait for others, who are slow, without a connection.
	SlotsOf map[string]int
	// Timeout is the time of an attempt. Defaults to a minute. After a crash others take its task that much later.
	Timeout time.Duration
	// TimeoutOf has the kinds that have less time, because somebody waits for what they do.
	TimeoutOf map[string]time.Duration
	// AttemptsMax is how often a task is tried. Defaults to 12, which takes about an hour.
	AttemptsMax int
	// PauseFirst and PauseMax bound the time between attempts, which doubles. Default to 2 s and an hour.
	PauseFirst, PauseMax time.Duration
	// Every is the time between looks. Defaults to 500 ms.
	Every   time.Duration
	Metrics *metrics.Set
	Log     *slog.Logger
}

const (
	// leaseMargin is how much longer than its time an attempt has its task: a handler that ends in time can still note its end.
	leaseMargin = 10 * time.Second

	standEvery = 5 * time.Second
	standMax   = 100_000 // tasks that are counted
)

// Worker does the tasks of an owner. Every process runs one.
type Worker struct {
	cfg       Config
	parts     []*part
	databases []*database
	at        func(step string, task Task)

	outcomes map[string]*metrics.Counter
}

// database is the work in one database: nothing in it waits for another one.
type database struct {
	parts []*part
	kinds []*kind
	wake  chan struct{}
}

// part is the work in one place.
type part struct {
	place.Place
	tasks Tasks

	waiting, dead atomic.Int64
	late          atomic.Int64 // microseconds
}

// kind is the work of one kind in one database.
type kind struct {
	name    string
	handle  Handler
	timeout time.Duration
	free    chan struct{} // has a token for each free slot
}

// take takes all slots that are free.
func (k *kind) take() (slots int) {
	for {
		select {
		case <-k.free:
			slots++
		default:
			return slots
		}
	}
}

func (k *kind) give(slots int) {
	for range slots {
		k.free <- struct{}{}
	}
}

var outcomes = []string{"done", "retried", "died", "returned", "lost"}

// NewWorker makes a worker and its metrics.
func NewWorker(cfg Config) *Worker {
	cfg.Slots = cmp.Or(cfg.Slots, 4)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.AttemptsMax = cmp.Or(cfg.AttemptsMax, 12)
	cfg.PauseFirst = cmp.Or(cfg.PauseFirst, 2*time.Second)
	cfg.PauseMax = cmp.Or(cfg.PauseMax, time.Hour)
	cfg.Every = cmp.Or(cfg.Every, 500*time.Millisecond)
	w := &Worker{cfg: cfg, at: func(string, Task) {}, outcomes: map[string]*metrics.Counter{}}
	of := map[*db.Copies]*database{}
	for _, p := range cfg.Places {
		d := of[p.Copies]
		if d == nil {
			d = newDatabase(cfg)
			of[p.Copies], w.databases = d, append(w.databases, d)
		}
		here := &part{Place: p, tasks: Of(cfg.Owner, p.Suffix)}
		d.parts, w.parts = append(d.parts, here), append(w.parts, here)
	}
	label := fmt.Sprintf("owner=%q", cfg.Owner)
	for _, outcome := range outcomes {
		w.outcomes[outcome] = cfg.Metrics.NewCounter(fmt.Sprintf("sluice_catalog_task_attempts_total{%s,outcome=%q}", label, outcome))
	}
	sum := func(of func(*part) int64) func() float64 {
		return func() (sum float64) {
			for _, p := range w.parts {
				sum += float64(of(p))
			}
			return sum
		}
	}
	cfg.Metrics.NewGauge("sluice_catalog_task_waiting_tasks{"+label+"}", sum(func(p *part) int64 { return p.waiting.Load() }))
	cfg.Metrics.NewGauge("sluice_catalog_task_dead_tasks{"+label+"}", sum(func(p *part) int64 { return p.dead.Load() }))
	cfg.Metrics.NewGauge("sluice_catalog_task_late_seconds{"+label+"}", func() (latest float64) {
		for _, p := range w.parts {
			latest = max(latest, time.Duration(p.late.Load()*1000).Seconds())
		}
		return latest
	})
	return w
}

func newDatabase(cfg Config) *database {
	d := &database{wake: make(chan struct{}, 1)}
	for _, name := range slices.Sorted(maps.Keys(cfg.Handlers)) {
		slots := cmp.Or(cfg.SlotsOf[name], cfg.Slots)
		k := &kind{name: name, handle: cfg.Handlers[name], timeout: cmp.Or(cfg.TimeoutOf[name], cfg.Timeout), free: make(chan struct{}, slots)}
		k.give(slots)
		d.kinds = append(d.kinds, k)
	}
	return d
}

// Wake makes the worker look at once. Whoever has committed a task may call it.
func (w *Worker) Wake() {
	for _, d := range w.databases {
		d.look()
	}
}

// look makes the worker look at a database at once.
func (d *database) look() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run does tasks until ctx ends, and returns when the handlers have. Their contexts end with ctx, and unfinished tasks go
// back.
func (w *Worker) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, d := range w.databases {
		running.Go(func() {
			lifecycle.Repeat(ctx, w.cfg.Log, "look at the tasks of "+w.cfg.Owner+" in "+d.parts[0].Name, standEvery, d.stand)
		})
		running.Go(func() { w.work(ctx, d, &running) })
	}
}

// work does the tasks of a database until ctx ends.
func (w *Worker) work(ctx context.Context, d *database, running *sync.WaitGroup) {
	troubles := make([]*lifecycle.Trouble, len(d.parts))
	for i, p := range d.parts {
		troubles[i] = lifecycle.NewTrouble(w.cfg.Log, "do tasks of "+w.cfg.Owner+" in "+p.Name)
	}
	for first := 0; ctx.Err() == nil; first++ {
		more := false
		for i := range d.parts { // each place begins once, so that none is always the last one
			n := (first + i) % len(d.parts)
			found, err := w.look(ctx, d, d.parts[n], running)
			if ctx.Err() == nil {
				troubles[n].Saw(err)
			}
			more = more || found
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.wake:
		case <-time.After(w.cfg.Every/2 + rand.N(w.cfg.Every)): //nolint:gosec // G404: needs no secrecy
		}
	}
}

// stand notes how many tasks there are.
func (d *database) stand(ctx context.Context) error {
	var faults []error
	for _, p := range d.parts {
		var waiting, dead, late int64
		if err := p.Writer().QueryRowContext(ctx, p.tasks.stand, standMax, standMax).Scan(&waiting, &dead, &late); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", p.Name, err))
			continue
		}
		p.waiting.Store(waiting)
		p.dead.Store(dead)
		p.late.Store(max(0, late))
	}
	return errors.Join(faults...)
}

// look starts the tasks that are due in a place, of each kind as many as have a slot, and reports whether there may be more.
func (w *Worker) look(ctx context.Context, d *database, p *part, running *sync.WaitGroup) (more bool, err error) {
	kinds, err := d.due(ctx, p)
	for _, k := range kinds {
		slots := k.take()
		tasks, claimErr := w.claim(ctx, p, k, slots)
		k.give(slots - len(tasks))
		for _, task := range tasks {
			running.Go(func() {
				defer d.look() // for those that waited for the slot
				defer k.give(1)
				w.do(ctx, p, k, task)
			})
		}
		more, err = more || slots > 0 && len(tasks) == slots, errors.Join(err, claimErr)
	}
	return more, err
}

// due returns the kinds that have a free slot, and a task in a place that is due.
func (d *database) due(ctx context.Context, p *part) (kinds []*kind, err error) {
	var free []*kind
	var parts []string
	var names, into []any
	for _, k := range d.kinds {
		if len(k.free) > 0 {
			free, parts, names, into = append(free, k), append(parts, p.tasks.due), append(names, k.name), append(into, new(bool))
		}
	}
	if len(free) == 0 {
		return nil, nil
	}
	if err := p.Writer().QueryRowContext(ctx, "SELECT "+strings.Join(parts, ", "), names...).Scan(into...); err != nil {
		return nil, fmt.Errorf("look for tasks: %w", err)
	}
	for i, k := range free {
		if *into[i].(*bool) {
			kinds = append(kinds, k)
		}
	}
	return kinds, nil
}

// claim takes tasks that are due. While others have them locked, it passes them by. Their due time becomes the end of the
// lease: if this process ends, they are due again.
func (w *Worker) claim(ctx context.Context, p *part, k *kind, limit int) (tasks []Task, err error) {
	lease := k.timeout + leaseMargin
	err = db.Write(ctx, p.Writer(), "claims of tasks", func(tx *sql.Tx) error {
		if err := db.Rows(ctx, tx, func(row *sql.Rows) error {
			t := Task{Kind: k.name, Place: p.Place, claim: 1 + rand.Int64N(math.MaxInt64), done: p.tasks.done, later: p.tasks.later} //nolint:gosec // G404: needs no secrecy
			err := row.Scan(&t.ID, &t.Name, &t.Data, &t.Attempt)
			t.Attempt++
			tasks = append(tasks, t)
			return err
		}, p.tasks.pick, k.name, limit); err != nil {
			return fmt.Errorf("look for tasks: %w", err)
		}
		for _, t := range tasks {
			if _, err := tx.ExecContext(ctx, p.tasks.claim, t.claim, lease.Microseconds(), t.ID); err != nil {
				return fmt.Errorf("claim a task: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err // if it has committed after all, the tasks are due again when their lease ends
	}
	return tasks, nil
}

// do makes an attempt, and notes its end.
func (w *Worker) do(ctx context.Context, p *part, k *kind, task Task) {
	w.at("claimed", task)
	var err error
	if task.Attempt > w.cfg.AttemptsMax { // only a process that ended in the middle leaves such a task
		err = Permanent(errors.New("each process that tried it ended, or took too long"))
	} else {
		bounded, cancel := context.WithTimeout(ctx, k.timeout)
		err = attempt(bounded, k.handle, task)
		cancel()
	}
	w.at("handled", task)
	// The end is noted although ctx may have ended meanwhile.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseMargin)
	defer cancel()
	outcome, noteErr := w.note(noting, p, task, err, ctx.Err() != nil)
	w.outcomes[outcome].Inc()
	switch {
	case noteErr != nil:
		w.cfg.Log.WarnContext(ctx, "cannot note the end of a task: it is tried again", "owner", w.cfg.Owner, "kind", task.Kind, "id", task.ID, "error", noteErr)
	case outcome == "died":
		w.cfg.Log.ErrorContext(ctx, "a task is dead: somebody must look at it", "owner", w.cfg.Owner, "kind", task.Kind, "id", task.ID, "attempts", task.Attempt, "error", err)
	}
}

// attempt calls a handler. A panic is an error, for the other tasks go on.
func attempt(ctx context.Context, handler Handler, task Task) (err error) {
	defer func() {
		if said := recover(); said != nil {
			err = fmt.Errorf("the handler panicked: %s\n%s", text.Panic(said), debug.Stack())
		}
	}()
	return handler(ctx, task)
}

// note writes down how an attempt has ended.
func (w *Worker) note(ctx context.Context, p *part, task Task, err error, stopping bool) (outcome string, noteErr error) {
	exec := func(statement string, values ...any) error {
		return changed(p.Writer().ExecContext(ctx, statement, append(values, task.ID, task.claim)...))
	}
	var last permanent
	switch {
	case errors.Is(err, ErrLost):
		return "lost", nil
	case err == nil:
		outcome, noteErr = "done", exec(p.tasks.done)
		if errors.Is(noteErr, ErrLost) { // the handler has called Finish, or was too slow
			return "done", nil
		}
		return outcome, noteErr
	case stopping:
		outcome, noteErr = "returned", exec(p.tasks.back)
	case errors.As(err, &last) || task.Attempt >= w.cfg.AttemptsMax:
		outcome, noteErr = "died", exec(p.tasks.kill, told(err))
	default:
		outcome, noteErr = "retried", exec(p.tasks.again, w.pause(task.Attempt).Microseconds(), told(err))
	}
	if errors.Is(noteErr, ErrLost) {
		return "lost", nil
	}
	return outcome, noteErr
}

// pause is the time until the next attempt. It doubles with each, and is different for tasks that failed together.
func (w *Worker) pause(attempt int) time.Duration {
	pause := w.cfg.PauseFirst
	for i := 1; i < attempt && pause < w.cfg.PauseMax; i++ {
		pause *= 2
	}
	pause = min(pause, w.cfg.PauseMax)
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // G404: needs no secrecy
}

// told is an error as its column takes it.
func told(err error) string {
	said := text.Escape(err.Error())
	for i, n := 0, 0; i < len(said); n++ {
		if n == errorMax {
			return said[:i]
		}
		_, size := utf8.DecodeRuneInString(said[i:])
		i += size
	}
	return said
}
