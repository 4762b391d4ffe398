package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/telemetry"
)

// Sender hands letters over to those who bring them to people. Its error is a *Failure. A letter may come again, with the
// same ID, after any error and after the end of a process.
type Sender interface {
	Send(ctx context.Context, letter Letter) error
}

// Failure says why a letter was not handed over, or may not have been. It has nothing of the letter, and nothing that the
// other side said but numbers: servers repeat addresses.
type Failure struct { //nolint:errname // as a problem, it is told by what it is
	Reason Reason
	Detail string
}

// Reason is the class of a failure.
type Reason string

// The reasons.
const (
	Unreachable Reason = "unreachable" // the other side does not answer, or not in a way that it should
	PutOff      Reason = "put_off"     // it takes the letter later
	Final       Reason = "refused"     // it never takes this letter, or its recipient
	Unknown     Reason = "unknown"     // it may have taken the letter, and did not say so
)

var reasons = []Reason{Unreachable, PutOff, Final, Unknown}

// Error implements error.
func (f *Failure) Error() string { return string(f.Reason) + ": " + f.Detail }

// Options say what messages need of the process.
type Options struct {
	Counts  place.Place // where messages are counted: the same place in all processes
	Sealer  Sealer
	Texts   *Texts
	Senders map[Channel]Sender // a channel without one is none of the shop's
	Caps    Caps
	Metrics *metrics.Set
	Log     *slog.Logger
}

// Messages has the messages of the shop. It is safe for concurrent use.
type Messages struct {
	o       Options
	metrics meter
	at      func(step string) // for tests
}

type meter struct {
	ended  map[Channel]map[State]*metrics.Counter
	failed map[Channel]map[Reason]*metrics.Counter
	capped map[string]*metrics.Counter
	took   map[Channel]*metrics.PrometheusHistogram
}

// New makes the messages and their metrics.
func New(o Options) *Messages {
	m := &Messages{o: o, at: func(string) {}, metrics: meter{
		ended: map[Channel]map[State]*metrics.Counter{}, failed: map[Channel]map[Reason]*metrics.Counter{},
		capped: map[string]*metrics.Counter{}, took: map[Channel]*metrics.PrometheusHistogram{},
	}}
	for _, channel := range channels {
		m.metrics.ended[channel], m.metrics.failed[channel] = map[State]*metrics.Counter{}, map[Reason]*metrics.Counter{}
		for _, state := range final {
			m.metrics.ended[channel][state] = o.Metrics.NewCounter(fmt.Sprintf("sluice_catalog_notify_ended_messages_total{channel=%q,outcome=%q}", channel, state))
		}
		for _, reason := range reasons {
			m.metrics.failed[channel][reason] = o.Metrics.NewCounter(fmt.Sprintf("sluice_catalog_notify_send_failures_total{channel=%q,reason=%q}", channel, reason))
		}
		m.metrics.took[channel] = telemetry.Seconds(o.Metrics, fmt.Sprintf("sluice_catalog_notify_send_seconds{channel=%q}", channel))
	}
	for _, name := range capNames {
		m.metrics.capped[name] = o.Metrics.NewCounter(fmt.Sprintf("sluice_catalog_notify_capped_messages_total{kind=%q}", name))
	}
	return m
}

// attemptsMax is above what the longest use of a message has room for: the message ends before its task dies, unless it cannot
// be written at all.
const attemptsMax = 1000

// Work is what messages need of a process beside the calls of others. Who only lists it needs no messages.
func (m *Messages) Work() work.Owner {
	tasks, timeouts := map[string]task.Handler{}, map[string]time.Duration{}
	for _, channel := range channels {
		// A process that ends in the middle of an attempt keeps the message for its time: somebody waits for a code.
		tasks[kindOf(channel)], timeouts[kindOf(channel)] = m.send, TimeoutMax
	}
	return work.Owner{
		Name: owner, Kind: shard.Users, TasksOnly: true, AttemptsMax: attemptsMax,
		Tasks: tasks, TimeoutOf: timeouts,
		Times: []work.Time{
			{Item: schedule.Item{Name: "clean", Every: 5 * time.Minute}, Everywhere: true, Do: func(ctx context.Context, t task.Task) error { return m.Clean(ctx, t.Place) }},
			{Item: schedule.Item{Name: "clean_counts", Every: time.Hour}, Do: func(ctx context.Context, _ task.Task) error { return m.CleanCounts(ctx) }},
		},
	}
}

// takes refuses a channel that the shop does not have.
func (m *Messages) takes(channel Channel) error {
	if m.o.Senders[channel] == nil {
		return &problem.Problem{Kind: noChannel}
	}
	return nil
}

// noteTimeout bounds the note of an end. It is shorter than what the lease of a task is longer than its time.
const noteTimeout = 5 * time.Second

// send is the task of a message. It comes again until it returns nil, and a message that has ended is not sent again.
func (m *Messages) send(ctx context.Context, t task.Task) error {
	at := t.Place
	var data sending
	if err := t.Into(&data); err != nil {
		return task.Permanent(err)
	}
	s, found, err := m.read(ctx, at, data.Message)
	if err != nil {
		return err
	}
	if !found || s.state != Waiting {
		return nil
	}
	end := func(state State) error {
		// The end is noted although ctx may have ended meanwhile: else the message would go again.
		noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
		defer cancel()
		err := m.end(noting, at, data.Message, s.Channel, state)
		m.at("ended")
		return err
	}
	if !s.ofUse {
		return end(Expired)
	}
	switch err := m.open(ctx, &s); {
	case errors.Is(err, ErrErased):
		return end(Erased)
	case err != nil:
		return err
	}
	letter, err := m.o.Texts.Letter(s.Message)
	if err != nil {
		return task.Permanent(err)
	}
	sender := m.o.Senders[s.Channel]
	if sender == nil { // another process of the shop has it
		return &Failure{Unreachable, "this process has no channel " + string(s.Channel)}
	}
	m.at("opened")
	began := time.Now()
	err = sender.Send(ctx, letter)
	m.metrics.took[s.Channel].Update(time.Since(began).Seconds())
	m.at("sent")
	if err == nil {
		return end(Sent)
	}
	failure := new(Failure)
	if !errors.As(err, &failure) {
		return task.Permanent(errors.New("the channel failed, and did not say how")) // its words may be personal
	}
	m.metrics.failed[s.Channel][failure.Reason].Inc()
	if failure.Reason == Final {
		return end(Refused)
	}
	return failure
}
