package task

import (
	"context"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/place"
)

// A database that hangs, or whose tasks do, keeps back no tasks of another one.
func TestADatabaseThatHangs(t *testing.T) {
	t.Parallel()
	sick, well := newWorld(t), newWorld(t)
	sick.Name = "sick"
	begun := make(chan struct{}, 100)
	worker := NewWorker(Config{
		Owner: "thing", Places: []place.Place{sick.Place, well.Place}, Slots: 1, Every: 20 * time.Millisecond, Metrics: metrics.NewSet(), Log: discard,
		Handlers: map[string]Handler{"work": func(ctx context.Context, task Task) error {
			if task.Place.Name == "sick" {
				begun <- struct{}{}
				<-ctx.Done()
			}
			return ctx.Err()
		}},
	})
	sick.add("work", "s", nil, 0)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	<-begun
	well.add("work", "beside_a_task", nil, 0)
	well.await("it is done", waiting, 0)

	sick.Writer().SetMaxOpenConns(1) // whoever asks it waits
	held, err := sick.Writer().Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	for sick.Writer().Stats().WaitCount == 0 {
		time.Sleep(time.Millisecond)
	}
	well.add("work", "beside_a_database", nil, 0)
	well.await("it is done", waiting, 0)
	_ = held.Close()
}
