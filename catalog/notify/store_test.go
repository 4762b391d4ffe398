package notify

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/schedule"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/work"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

func TestMigrationsMakeTheSharedTables(t *testing.T) {
	t.Parallel()
	for _, statements := range []string{task.Table(owner), schedule.Table(owner)} {
		if err := Schema().Makes(statements); err != nil {
			t.Error(err)
		}
	}
}

// A message is there once per event, user, template and channel, and goes out once its transaction has committed.
func TestMessagesAreAddedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cancelled := errors.New("no")
	if err := db.Write(t.Context(), w.Writer(), "nothing", func(tx *sql.Tx) error {
		return errors.Join(w.Add(t.Context(), tx, w.Place, theCode("rolled_back")), cancelled)
	}); !errors.Is(err, cancelled) {
		t.Fatal(err)
	}
	other := theCode("one")
	other.To, other.Values = "+4915100088888", map[string]string{"code": "other000", "minutes": "5"}
	another := theCode("one")
	another.User = 8
	w.mustAdd(theCode("one"), other, theCode("two"), another)
	var group errgroup.Group
	for range 10 {
		group.Go(func() error { return w.add(theCode("one"), theCode("three")) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.await("all are sent", "SELECT COUNT(*) FROM notify_messages WHERE state = 'sent' AND personal IS NULL", 4)
	w.await("no task is left", "SELECT COUNT(*) FROM notify_tasks", 0)
	w.mustAdd(theCode("one")) // it was sent
	if n := w.count("SELECT COUNT(*) FROM notify_tasks"); n != 0 {
		t.Errorf("%d tasks of messages that were sent", n)
	}
	if len(w.inbox.kept) != 4 {
		t.Errorf("the inbox has %+v", w.inbox.kept)
	}
	for _, k := range w.inbox.kept {
		if k.To != "+4915100077777" || k.Locale != "de" || !strings.HasPrefix(k.Text, "canary99 ist Ihr Code für Shop") {
			t.Errorf("a letter: %+v", k)
		}
	}
	w.hasMetric(`sluice_catalog_notify_ended_messages_total{channel="sms",outcome="sent"} 4`)
	w.hasNoCanary()
}

// A message that cannot be sent while it is of use is given up, and so are those of erased users.
func TestMessagesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Senders[Email] = failing{&Failure{PutOff, "it rains"}} })
	late, erased, forgotten := theCode("late"), theCode("erased"), theCode("forgotten")
	erased.User, forgotten.User = 8, 9
	w.mustAdd(late, erased, forgotten, theReset("put_off"))
	w.exec("UPDATE notify_messages SET until_at = NOW(3) WHERE event = 'late'")
	w.key.erased[8] = true
	if err := w.Forget(t.Context(), w.Place, 9); err != nil {
		t.Fatal(err)
	}
	w.start()
	w.await("two end", "SELECT COUNT(*) FROM notify_messages WHERE state = 'expired' AND event = 'late' OR state = 'erased' AND event = 'erased'", 2)
	w.await("one is tried again", "SELECT COUNT(*) FROM notify_tasks WHERE attempts > 3", 1)
	if n := w.count("SELECT COUNT(*) FROM notify_messages"); n != 3 || len(w.inbox.kept) > 0 {
		t.Errorf("%d messages are left, the inbox has %+v", n, w.inbox.kept)
	}
	w.exec("UPDATE notify_messages SET until_at = NOW(3) WHERE event = 'put_off'")
	w.await("no task is left", "SELECT COUNT(*) FROM notify_tasks", 0)
	for _, line := range []string{
		`sluice_catalog_notify_ended_messages_total{channel="sms",outcome="expired"} 1`,
		`sluice_catalog_notify_ended_messages_total{channel="sms",outcome="erased"} 1`,
		`sluice_catalog_notify_ended_messages_total{channel="email",outcome="expired"} 1`,
	} {
		w.hasMetric(line)
	}
	w.hasNoCanary()
}

// failing is a channel that always fails.
type failing struct{ err error }

func (f failing) Send(context.Context, Letter) error { return f.err }

// A channel whose error says what it should not keeps its words to itself.
func TestErrorsOfChannelsAreNotTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Senders[Email] = failing{errors.New("no such canary@example.com")} })
	w.mustAdd(theReset("one"))
	w.start()
	w.await("it dies", "SELECT COUNT(*) FROM notify_tasks WHERE state = 'dead'", 1)
	w.hasNoCanary()
}

// Rows whose time is over are deleted, and what a dead task has left behind forgets what was personal.
func TestCleaning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, state := range []State{Waiting, Sent, Refused, Expired, Erased} {
		for _, days := range []int{-1, 1, 31} {
			message := theCode(fmt.Sprint(state, days))
			w.mustAdd(message)
			if state != Waiting {
				if err := w.end(t.Context(), w.Place, int64(w.count("SELECT message_id FROM notify_messages WHERE event = ?", message.Event)), SMS, state); err != nil {
					t.Fatal(err)
				}
			}
			w.exec("UPDATE notify_messages SET until_at = NOW(3) - INTERVAL ? DAY WHERE event = ?", days, message.Event)
		}
		w.exec("INSERT INTO notify_counts (value, count, ends_at) VALUES (?, 1, NOW(3) - INTERVAL ? HOUR)", fmt.Sprintf("%016d", i), 2*i-3)
	}
	for range 2 {
		if err := errors.Join(w.Clean(t.Context(), w.Place), w.CleanCounts(t.Context())); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.count("SELECT COUNT(*) FROM notify_messages WHERE state = 'waiting' AND event = 'waiting-1'"); n != 1 {
		t.Error("a message that is of use is gone")
	}
	if n := w.count("SELECT COUNT(*) FROM notify_messages"); n != 10 { // of each state one that is of use, and one of yesterday
		t.Errorf("%d messages are left", n)
	}
	if n := w.count("SELECT COUNT(*) FROM notify_counts"); n != 2 {
		t.Errorf("%d counts are left", n)
	}
	w.hasMetric(`sluice_catalog_notify_ended_messages_total{channel="sms",outcome="expired"} 5`) // 2 of them by cleaning
}

// A shop without a channel says so before anything is written.
func TestMissingChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { delete(o.Senders, SMS) })
	ask := Ask{Channel: SMS, To: "+4915100077777"}
	for what, err := range map[string]error{"add": w.add(theCode("one")), "ask": w.Allow(t.Context(), ask)} {
		var p *problem.Problem
		if !errors.As(err, &p) || p.Kind != noChannel {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := w.count("SELECT (SELECT COUNT(*) FROM notify_messages) + (SELECT COUNT(*) FROM notify_counts)"); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// Places with a suffix have messages of their own.
func TestPlaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := openPlace(w.dsn, "_07")
	t.Cleanup(func() { _ = other.Close() })
	if _, err := Schema().At("_07").Migrate(t.Context(), other.Writer(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(t.Context(), other.Writer(), "a message", func(tx *sql.Tx) error { return w.Add(t.Context(), tx, other, theCode("one")) }); err != nil {
		t.Fatal(err)
	}
	if n := w.count("SELECT (SELECT COUNT(*) FROM notify_messages) * 10 + (SELECT COUNT(*) FROM notify_messages_07 JOIN notify_tasks_07)"); n != 1 {
		t.Errorf("the message is elsewhere: %d", n)
	}
	if err := w.Clean(t.Context(), other); err != nil {
		t.Error(err)
	}
}

// Somebody without an account gets messages too, and a message is of use as long as it says.
func TestMessagesToStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := Message{Event: "inv_" + randomName(), User: ids.User(0), Template: "invitation", Channel: Email, Locale: "zh-CN", To: "wang@example.com", Values: map[string]string{"seller": "书店", "code": "abcd-1234", "days": "7"}, Within: time.Hour}
	long := m
	long.Event, long.Locale, long.Values = "long", strings.Repeat("x", 10_000), map[string]string{"seller": strings.Repeat("书\xff", 10_000), "code": "abcd-1234", "days": "7"}
	w.mustAdd(m, long)
	if n := w.count("SELECT TIMESTAMPDIFF(MINUTE, made_at, until_at) FROM notify_messages WHERE event = ?", m.Event); n != 60 {
		t.Errorf("it is of use for %d minutes", n)
	}
	w.start()
	w.await("they are sent", "SELECT COUNT(*) FROM notify_messages WHERE state = 'sent'", 2)
	i := slices.IndexFunc(w.inbox.kept, func(k Kept) bool { return k.ID == m.name() })
	if k := w.inbox.kept[max(i, 0)]; k.Subject != "书店邀请您加入Shop" || k.ID != m.name() {
		t.Errorf("%+v", k)
	}
}

// The work of a process sends messages and cleans up, by itself.
func TestWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Caps.PerDay = 1 })
	k := outbox.NewKafka([]string{"127.0.0.1:1"}) // nobody asks it
	t.Cleanup(k.Close)
	running, err := work.New(work.Config{
		Owners: []work.Owner{w.Work()}, Places: func(shard.Kind) []place.Place { return []place.Place{w.Place} },
		Kafka: k, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Allow(t.Context(), Ask{Channel: SMS, To: theCode("").To}); err != nil {
		t.Fatal(err)
	}
	w.exec("UPDATE notify_counts SET ends_at = NOW(3)")
	w.mustAdd(theCode("one"), theCode("old"))
	w.exec("UPDATE notify_messages SET state = 'sent', personal = NULL, ended_at = NOW(3), until_at = NOW(3) - INTERVAL 31 DAY WHERE event = 'old'")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { running.Run(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	w.await("one is sent, and the old one is gone", "SELECT COUNT(*) * 10 + SUM(state = 'sent') FROM notify_messages", 11)
	w.await("the count is gone", "SELECT COUNT(*) FROM notify_counts", 0)
	w.await("no task is left", "SELECT COUNT(*) FROM notify_tasks", 0)
}
