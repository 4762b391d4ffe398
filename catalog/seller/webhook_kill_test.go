package seller_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/account/audit"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/shard"
)

// These make the test binary a process of the same shop, which moves a seller and ends itself, or works until somebody kills it.
const dirEnv, stepEnv, sellerEnv = "SLUICE_TEST_SELLER_DIR", "SLUICE_TEST_SELLER_STEP", "SLUICE_TEST_SELLER_ID"

// beKilled is such a process.
func beKilled(dir, step string) {
	d, secret, err := openDir(dir)
	if err != nil {
		panic(err)
	}
	sender := webhook.NewSender(webhook.Config{Networks: loopback})
	s := seller.New(seller.Config{Databases: d, Sealer: secret, Accounts: &others{}, Sender: sender})
	if step == "work" {
		task.NewWorker(task.Config{
			Owner: "seller", Places: d.All(shard.Values), Handlers: s.Work().Tasks, SlotsOf: s.Work().SlotsOf, Every: 20 * time.Millisecond,
			Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		}).Run(context.Background())
	}
	n, err := strconv.ParseInt(os.Getenv(sellerEnv), 10, 64)
	if err != nil {
		panic(err)
	}
	by := seller.Caller{Author: audit.Author{Actor: "ops:903", Origin: "a test"}, User: 903, Key: step}
	r, err := s.Review(context.Background(), ids.Seller(n))
	if err == nil {
		_, err = s.Move(context.Background(), by, r.ID, web.Version(r.Version), seller.State(step), "a test")
	}
	if err != nil {
		panic(err)
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// process starts such a process.
func (s *sellers) process(id ids.Seller, step string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), dirEnv+"="+s.dir, stepEnv+"="+step, sellerEnv+"="+strconv.FormatInt(int64(id), 10))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return cmd
}

// TestKillsLoseNoEvent kills a process when the effect has committed and nothing is sent, and another one when the receiver has the event
// and has not answered. Each event arrives, with the same id and body each time.
func TestKillsLoseNoEvent(t *testing.T) {
	t.Parallel()
	s := newSellers(t)
	id := s.opened(1)
	var mu sync.Mutex
	var came []string
	worker := make(chan *exec.Cmd, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		came = append(came, r.Header.Get("Webhook-Id")+" "+string(body))
		first := len(came) == 1
		mu.Unlock()
		if first { // who sends it ends before it is answered
			_ = (<-worker).Process.Kill()
			<-r.Context().Done()
		}
	}))
	defer server.Close()
	s.hook(id, 1, server.URL)
	if err := s.process(id, "suspended").Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatal(err)
	}
	working := s.process(id, "work")
	worker <- working
	if err := working.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Fatal(err)
	}
	s.exec(id, "UPDATE seller_tasks__ SET due_at = NOW(3)") // else the lease of the one that was killed has to end
	s.run()
	s.awaits(id, 1, 1, "delivered")
	mu.Lock()
	defer mu.Unlock()
	if events := slices.Compact(slices.Clone(came)); len(came) != 2 || len(events) != 1 {
		t.Errorf("came: %q", came)
	}
}
