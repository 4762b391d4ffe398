package notify

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/place"
)

// dsnEnv makes the test binary a shop that ends itself at a step. The other two have the step, and the gateway's address.
const dsnEnv, stepEnv, gatewayEnv = "SLUICE_TEST_NOTIFY_DSN", "SLUICE_TEST_NOTIFY_STEP", "SLUICE_TEST_NOTIFY_GATEWAY"

// killedShop adds a message, or sends those that are there, and ends the process by SIGKILL at a step.
func killedShop(dsn, step, address string) {
	channels, err := gatewayConfig(address).Open()
	if err != nil {
		panic(err)
	}
	texts, err := LoadTexts("Shop", "")
	if err != nil {
		panic(err)
	}
	at := openPlace(dsn, "")
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	m := New(Options{Counts: at, Sealer: new(key), Texts: texts, Senders: channels.Senders, Caps: Caps{PerDay: 100}, Metrics: metrics.NewSet(), Log: log})
	m.at = func(at string) {
		if at == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	if slices.Contains(addSteps, step) {
		if err := m.Allow(ctx, Ask{Channel: SMS, To: theCode("").To}); err != nil {
			panic(err)
		}
		m.at("counted")
		err := db.Write(ctx, at.Writer(), "a message", func(tx *sql.Tx) error {
			err := m.Add(ctx, tx, at, theCode("one"))
			m.at("added")
			return err
		})
		m.at("committed")
		panic(err)
	}
	task.NewWorker(task.Config{
		Owner: owner, Places: []place.Place{at}, Every: 10 * time.Millisecond, TimeoutOf: m.Work().TimeoutOf, Metrics: metrics.NewSet(), Log: log,
		Handlers: map[string]task.Handler{kindOf(SMS): func(ctx context.Context, t task.Task) error {
			m.at("claimed")
			return m.send(ctx, t)
		}},
	}).Run(ctx)
}

var (
	addSteps  = []string{"counted", "written", "added", "committed"}
	sendSteps = []string{"claimed", "opened", "sent", "ended"}
)

// TestKills ends the shop between all steps. The message is there once or not at all, and goes out at least once, always under
// one id.
func TestKills(t *testing.T) {
	t.Parallel()
	for _, step := range slices.Concat(addSteps, sendSteps) {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			server := newGateway(t)
			channels, err := gatewayConfig(server.URL).Open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(channels.Close)
			w.o.Senders = channels.Senders
			if slices.Contains(sendSteps, step) {
				w.mustAdd(theCode("one"))
			}
			killed := exec.CommandContext(t.Context(), os.Args[0])
			killed.Env = append(slices.Clone(os.Environ()), dsnEnv+"="+w.dsn, stepEnv+"="+step, gatewayEnv+"="+server.URL)
			out, err := killed.CombinedOutput()
			if err == nil || !strings.Contains(err.Error(), "killed") {
				t.Fatalf("%v\n%s", err, out)
			}
			w.hasNoCanary(string(out))
			there := 1
			if slices.Contains([]string{"counted", "written", "added"}, step) {
				there = 0 // nothing was committed
			}
			if n := w.count("SELECT COUNT(*) FROM notify_messages"); n != there {
				t.Errorf("%d messages, want %d", n, there)
			}
			w.mustAdd(theCode("one")) // the client repeats
			if n := w.count("SELECT COUNT(*) FROM notify_messages"); n != 1 {
				t.Errorf("%d messages, want one", n)
			}
			if n := w.count("SELECT COUNT(*) FROM notify_tasks WHERE due_at > NOW(3) + INTERVAL 40 SECOND"); n != 0 {
				t.Error("who waits for the message waits longer than the attempt and its margin")
			}
			w.exec("UPDATE notify_tasks SET due_at = NOW(3)") // the lease ends
			w.start()
			w.await("it is sent", "SELECT COUNT(*) FROM notify_messages WHERE state = 'sent'", 1)
			w.await("no task is left", "SELECT COUNT(*) FROM notify_tasks", 0)
			ids := map[string]int{}
			for _, r := range server.got() {
				ids[r.Header.Get("Webhook-Id")]++
			}
			times := 1
			if step == "sent" {
				times = 2 // nobody knew that it was
			}
			if len(ids) != 1 || ids[theCode("one").name()] != times {
				t.Errorf("the gateway has %v, want one id %d times", ids, times)
			}
			w.hasNoCanary()
		})
	}
}
