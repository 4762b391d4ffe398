package seller_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/catalog/seller"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/shard"
)

// TestReceiversThatFail has all that a receiver can do to who sends.
func TestReceiversThatFail(t *testing.T) {
	t.Parallel()
	s := newSellersTo(t, "", webhook.Config{Networks: loopback, Timeout: 3 * time.Second})
	id := s.opened(1)
	elsewhere := newReceiver(t, httptest.NewServer)
	away := newReceiver(t, httptest.NewServer)
	away.Close()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	drip := func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for _, b := range []byte("HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 500)) {
			if _, err := conn.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond) // it drips
		}
	}
	type end struct {
		outcome string
		status  int
		rest    time.Duration // at least
	}
	cases := []struct {
		name   string
		answer http.HandlerFunc
		want   end
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, end{"refused", 500, 4 * time.Second}},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, end{"refused", 307, 4 * time.Second}},
		{"429", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "600")
			w.WriteHeader(http.StatusTooManyRequests)
		}, end{"refused", 429, 500 * time.Second}},
		{"429 for years", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999")
			w.WriteHeader(http.StatusTooManyRequests)
		}, end{"refused", 429, 10 * time.Hour}},
		{"503 until", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, end{"refused", 503, 50 * time.Minute}},
		{"hang", hang, end{"timeout", 0, 4 * time.Second}},
		{"drip", drip, end{"timeout", 0, 4 * time.Second}},
		{"giant", func(w http.ResponseWriter, _ *http.Request) {
			for range 1 << 10 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil { // the shop has read enough
					return
				}
			}
			t.Error("all of a giant body was read")
		}, end{"delivered", 0, 0}},
		{"away", nil, end{"unreachable", 0, 4 * time.Second}},
	}
	hooks := map[string]seller.Webhook{}
	for _, c := range cases {
		system := away
		if c.answer != nil {
			system = newReceiver(t, httptest.NewServer)
			system.answers(c.answer)
		}
		hooks[c.name], _ = s.hook(id, 1, system.URL)
	}
	s.run()
	s.move(id, seller.StateSuspended)
	s.awaits(id, 1, 0, "")
	for _, c := range cases {
		all, _, err := s.Deliveries(t.Context(), 1, id, hooks[c.name].ID, 0, 10)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		d := all[0]
		if d.Outcome != c.want.outcome || d.Status != c.want.status || d.Attempts < 1 || c.want.rest > 0 && (d.State != "waiting" || d.DueAt.Sub(d.TriedAt) < c.want.rest || d.DueAt.Sub(d.TriedAt) > 14*time.Hour) {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	if len(elsewhere.got()) > 0 {
		t.Error("a redirect was followed")
	}
}

// TestDeliveriesEnd has the last attempt of a delivery fail, by its number and by its age, and an owner have it sent again.
func TestDeliveriesEnd(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	system := newReceiver(t, httptest.NewServer)
	system.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	id := s.opened(1)
	w, _ := s.hook(id, 1, system.URL)
	s.move(id, seller.StateSuspended)
	s.exec(id, "UPDATE seller_deliveries__ SET attempts = 11")
	s.move(id, seller.StateOpen)
	s.exec(id, "UPDATE seller_deliveries__ SET wanted_at = NOW(3) - INTERVAL 73 HOUR WHERE attempts = 0")
	s.exec(id, "UPDATE seller_deliveries__ SET asked = TRUE") // else the second waits while the webhook rests
	s.run()
	failed := s.awaits(id, 1, 2, "refused")
	for _, d := range failed {
		if d.State != "failed" || !d.DueAt.IsZero() {
			t.Errorf("%+v", d)
		}
	}
	system.answers(func(http.ResponseWriter, *http.Request) {})
	by := s.by(1)
	for range 2 {
		d, err := s.Redeliver(ctx, by, id, w.ID, failed[0].Event)
		if err != nil || d.State != "waiting" || d.Attempts != 0 {
			t.Errorf("%+v, %v", d, err)
		}
	}
	s.awaits(id, 1, 1, "delivered") // although it rests
	if got, err := s.Webhook(ctx, 1, id, w.ID); err != nil || !got.FailingSince.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	s.exec(id, "UPDATE seller_deliveries__ SET wanted_at = NOW(3) - INTERVAL 31 DAY WHERE event_id = ?", failed[1].Event)
	s.done("forget_deliveries", id)
	if all, _, err := s.Deliveries(ctx, 1, id, w.ID, 0, 10); err != nil || len(all) != 1 || all[0].Event != failed[0].Event {
		t.Errorf("after 31 days: %+v, %v", all, err)
	}
	_, err := s.Redeliver(ctx, s.by(1), id, w.ID, 77)
	refused(t, "no such event", err, "unknown_delivery")
	_, err = s.Redeliver(ctx, s.by(1), id, 77, failed[0].Event)
	refused(t, "no such webhook", err, "unknown_webhook")
}

// TestRedeliveryDuringAnAttempt has an owner ask while the event is on its way: it is sent once more.
func TestRedeliveryDuringAnAttempt(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	begins, ends := make(chan struct{}, 10), make(chan struct{}, 10)
	system := newReceiver(t, httptest.NewServer)
	system.answers(func(http.ResponseWriter, *http.Request) { begins <- struct{}{}; <-ends })
	id := s.opened(1)
	w, _ := s.hook(id, 1, system.URL)
	s.run()
	s.move(id, seller.StateSuspended)
	<-begins
	all, _, err := s.Deliveries(ctx, 1, id, w.ID, 0, 10)
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if _, err := s.Redeliver(ctx, s.by(1), id, w.ID, all[0].Event); err != nil {
		t.Fatal(err)
	}
	ends <- struct{}{}
	ends <- struct{}{}
	<-begins
	s.awaits(id, 1, 1, "delivered")
}

// TestWebhooksThatFailAreDisabled has one that has failed for days, and one that wants no more. Their owners are told.
func TestWebhooksThatFailAreDisabled(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	failing, gone := newReceiver(t, httptest.NewServer), newReceiver(t, httptest.NewServer)
	failing.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	gone.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) })
	id := s.opened(1)
	w, _ := s.hook(id, 1, failing.URL)
	g, _ := s.hook(id, 1, gone.URL)
	s.exec(id, "UPDATE seller_webhooks__ SET failures = 9, failing_since = NOW(3) - INTERVAL 71 HOUR WHERE webhook_id = ?", w.ID)
	s.run()
	disabledFor := func(of ids.Webhook, want string) (now seller.Webhook) {
		t.Helper()
		err := lifecycle.Poll(ctx, 10*time.Millisecond, func() (err error) {
			if now, err = s.Webhook(ctx, 1, id, of); err == nil && now.DisabledFor != want {
				err = fmt.Errorf("disabled for %q, want %q", now.DisabledFor, want)
			}
			return err
		}, func(error) bool { return false })
		if err != nil {
			t.Fatal(err)
		}
		return now
	}
	s.move(id, seller.StateSuspended)
	disabledFor(g.ID, "gone")
	s.awaits(id, 1, 1, "refused")
	disabledFor(w.ID, "") // it is not three days
	s.exec(id, "UPDATE seller_webhooks__ SET failing_since = NOW(3) - INTERVAL 73 HOUR, rests_until = NULL WHERE webhook_id = ?", w.ID)
	s.move(id, seller.StateOpen)
	now := disabledFor(w.ID, "failures")
	s.move(id, seller.StateSuspended) // nobody wants to hear of it
	s.exec(id, "UPDATE seller_tasks__ SET due_at = NOW(3) WHERE claim = 0")
	s.awaits(id, 1, 3, "disabled")
	if all, _, err := s.Deliveries(ctx, 1, id, w.ID, 0, 10); err != nil || len(all) != 2 {
		t.Errorf("%+v, %v", all, err)
	}
	_, err := s.TestWebhook(ctx, s.by(1), id, w.ID)
	refused(t, "a test of one that is disabled", err, "wrong_state")
	failing.answers(func(http.ResponseWriter, *http.Request) {})
	_, err = s.ChangeWebhook(ctx, s.by(1), id, w.ID, web.Version(now.Version-1), seller.WebhookWish{URL: failing.URL})
	refused(t, "a change of an older version", err, "changed_since")
	now, err = s.ChangeWebhook(ctx, s.by(1), id, w.ID, web.Version(now.Version), seller.WebhookWish{URL: failing.URL})
	if err != nil || now.State != "active" || !now.FailingSince.IsZero() {
		t.Errorf("%+v, %v", now, err)
	}
	if _, err := s.TestWebhook(ctx, s.by(1), id, w.ID); err != nil {
		t.Error(err)
	}
	s.awaits(id, 1, 1, "delivered")
	s.work()
	s.others.mu.Lock()
	defer s.others.mu.Unlock()
	told := map[string]int{}
	for _, line := range s.others.told {
		told[line]++
	}
	if told["webhook_disabled 1"] != 2 || told["webhook_set 1"] != 2 {
		t.Errorf("told: %v", told)
	}
}

// TestSlowReceiversKeepBackNobody has one that hangs get many events, and another seller's events arrive meanwhile.
func TestSlowReceiversKeepBackNobody(t *testing.T) {
	t.Parallel()
	s, ctx := newSellersTo(t, "", webhook.Config{Networks: loopback, Timeout: time.Minute}), t.Context()
	slow, quick := newReceiver(t, httptest.NewServer), newReceiver(t, httptest.NewServer)
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	defer free()
	slow.answers(func(http.ResponseWriter, *http.Request) { <-release })
	id := s.opened(1)
	other := s.opened(7)
	for s.databases.At(shard.OfValue(other.String())).Copies != s.databases.At(shard.OfValue(id.String())).Copies {
		other = s.opened(7)
	}
	s.hook(id, 1, slow.URL)
	s.hook(other, 7, quick.URL)
	for n := range 40 {
		event := outbox.Event{ID: ids.Event(n + 1), Type: "seller_moved", Aggregate: id.String(), Version: uint64(n + 1), Data: []byte("{}")}
		if err := s.Announce(ctx, id, event); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		if n := len(slow.got()); n != 8 {
			return fmt.Errorf("%d are at the slow receiver", n)
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		t.Fatal(err)
	}
	s.move(other, seller.StateSuspended)
	s.awaits(other, 7, 1, "delivered")
	if n := len(slow.got()); n > 8 {
		t.Errorf("%d are at the slow receiver at once", n)
	}
	free()
	s.exec(id, "UPDATE seller_tasks__ SET due_at = NOW(3) WHERE claim = 0")
	s.awaits(id, 1, 40, "delivered")
}
