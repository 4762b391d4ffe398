// Package work runs what the packages of the shop do besides answering: it publishes their events, does their tasks, and has
// things done at their times. A package says what that is by an Owner. This package knows none of them.
package work

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/replay"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/core/place"
	"sluice/core/shard"
)

// Owner is a package of the shop that has books: outbox, versions, tasks, schedule and replays, in each place of a kind.
type Owner struct {
	Name   string
	Kind   shard.Kind
	Topics []string                // of its events
	Tasks  map[string]task.Handler // by kind
	Times  []Time
	// TasksOnly says that its books are tasks and a schedule alone: it has no events, and answers nobody.
	TasksOnly bool
	// AttemptsMax is how often a task is tried. Defaults to that of package task.
	AttemptsMax int
	// SlotsOf has the kinds of tasks of which more run at once, as that of package task.
	SlotsOf map[string]int
	// TimeoutOf has the kinds of tasks that have less time, as that of package task.
	TimeoutOf map[string]time.Duration
}

// Time is a thing that is done again and again.
type Time struct {
	schedule.Item // its name is the kind of its tasks

	Do task.Handler
	// Everywhere has it done in each place. Otherwise it is done once, in the first one.
	Everywhere bool
}

// Config says whose work it is.
type Config struct {
	Owners  []Owner
	Places  func(shard.Kind) []place.Place
	Kafka   *outbox.Kafka
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Work is the work of a process.
type Work struct {
	relay     *outbox.Relay
	workers   []*task.Worker
	schedules []*schedule.Schedule
}

// New makes the work and its metrics. It fails if an owner says of two things that they are one.
func New(cfg Config) (*Work, error) {
	w := &Work{}
	var sources []outbox.Source
	for _, o := range cfg.Owners {
		places := cfg.Places(o.Kind)
		handlers := maps.Clone(o.Tasks)
		if handlers == nil {
			handlers = map[string]task.Handler{}
		}
		var once, everywhere []schedule.Item
		times := o.Times
		if !o.TasksOnly {
			times = slices.Concat(times, []Time{cleaning(o.Name)})
			sources = append(sources, outbox.Source{Owner: o.Name, Topics: o.Topics, Places: places})
		}
		for _, t := range times {
			if err := t.Check(); err != nil {
				return nil, fmt.Errorf("work of %s: %w", o.Name, err)
			}
			if handlers[t.Name] != nil {
				return nil, fmt.Errorf("work of %s: two kinds of tasks are called %s", o.Name, t.Name)
			}
			handlers[t.Name] = t.Do
			if t.Everywhere {
				everywhere = append(everywhere, t.Item)
			} else {
				once = append(once, t.Item)
			}
		}
		for i, p := range places {
			items := everywhere
			if i == 0 {
				items = slices.Concat(once, everywhere)
			}
			w.schedules = append(w.schedules, &schedule.Schedule{Owner: o.Name, Place: p, Items: items, Log: cfg.Log})
		}
		w.workers = append(w.workers, task.NewWorker(task.Config{
			Owner: o.Name, Places: places, Handlers: handlers, AttemptsMax: o.AttemptsMax, SlotsOf: o.SlotsOf, TimeoutOf: o.TimeoutOf,
			Metrics: cfg.Metrics, Log: cfg.Log,
		}))
	}
	w.relay = outbox.NewRelay(outbox.Config{Sources: sources, Kafka: cfg.Kafka, Metrics: cfg.Metrics, Log: cfg.Log})
	return w, nil
}

// cleaning removes the answers whose time is over, which nobody else does.
func cleaning(owner string) Time {
	return Time{
		Item: schedule.Item{Name: "clean_replays", Every: time.Hour, At: 11 * time.Minute}, Everywhere: true,
		Do: func(ctx context.Context, t task.Task) error {
			_, err := replay.Of(owner, t.Place.Suffix).Clean(ctx, t.Place.Writer())
			return err
		},
	}
}

// Run works until ctx ends.
func (w *Work) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { w.relay.Run(ctx) })
	for _, worker := range w.workers {
		running.Go(func() { worker.Run(ctx) })
	}
	for _, s := range w.schedules {
		running.Go(func() { s.Run(ctx) })
	}
	running.Wait()
}
