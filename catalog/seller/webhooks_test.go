package seller_test

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/internal/outbox"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/webhook"
	"sluice/catalog/seller"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/shard"
)

// run does the tasks of sellers for the rest of the test.
func (s *sellers) run() {
	s.t.Helper()
	worker := task.NewWorker(task.Config{
		Owner: "seller", Places: s.databases.All(shard.Values), Handlers: s.Work().Tasks, SlotsOf: s.Work().SlotsOf, Every: 20 * time.Millisecond,
		Metrics: s.metrics, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	s.t.Cleanup(func() { cancel(); <-ended })
}

// hook makes a webhook of a seller for some types of events; none: all.
func (s *sellers) hook(of ids.Seller, by ids.User, url string, types ...string) (seller.Webhook, config.Secret) {
	s.t.Helper()
	secret, w, err := s.MakeWebhook(s.t.Context(), s.by(by), of, seller.WebhookWish{URL: url, Types: types})
	if err != nil {
		s.t.Fatal(err)
	}
	return w, secret
}

// awaits waits until all webhooks of a seller have so many deliveries with an outcome, and returns them, the newest first.
func (s *sellers) awaits(of ids.Seller, by ids.User, want int, outcome string) (found []seller.Delivery) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var all []seller.Delivery
	err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		all, found = nil, nil
		hooks, err := s.Webhooks(ctx, by, of)
		for _, w := range hooks {
			of, _, deliveryErr := s.Deliveries(ctx, by, of, w.ID, 0, 100)
			all, err = append(all, of...), errors.Join(err, deliveryErr)
		}
		for _, d := range all {
			if d.Outcome == outcome {
				found = append(found, d)
			}
		}
		if err == nil && len(found) != want {
			err = fmt.Errorf("%d are %s, want %d", len(found), outcome, want)
		}
		return err
	}, func(error) bool { return false })
	if err != nil {
		s.t.Fatalf("%v: %+v", err, all)
	}
	return found
}

// done does what is done at times, in the place of a seller.
func (s *sellers) done(name string, of ids.Seller) {
	s.t.Helper()
	for _, at := range s.Work().Times {
		if at.Name == name {
			if err := at.Do(s.t.Context(), task.Task{Place: s.databases.At(shard.OfValue(of.String()))}); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// move moves a seller.
func (s *sellers) move(of ids.Seller, to seller.State) {
	s.t.Helper()
	r, err := s.Review(s.t.Context(), of)
	if err == nil {
		_, err = s.Move(s.t.Context(), s.by(903), of, web.Version(r.Version), to, "a test")
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// receiver is a system of a seller, which keeps what it gets.
type receiver struct {
	*httptest.Server

	t       *testing.T
	answer  atomic.Pointer[http.HandlerFunc] // nil: 200
	mu      sync.Mutex
	headers []http.Header
	bodies  []string
}

func newReceiver(t *testing.T, start func(http.Handler) *httptest.Server) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.Server = start(r)
	t.Cleanup(r.Close)
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, of *http.Request) {
	body, err := io.ReadAll(of.Body)
	if err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	r.headers, r.bodies = append(r.headers, of.Header), append(r.bodies, string(body))
	r.mu.Unlock()
	if answer := r.answer.Load(); answer != nil {
		(*answer)(w, of)
	}
}

func (r *receiver) answers(h http.HandlerFunc) { r.answer.Store(&h) }

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.bodies)
}

// verify returns the payloads, if a secret verifies all of them.
func (r *receiver) verify(secret config.Secret) (all []payload) {
	r.t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, body := range r.bodies {
		var p payload
		err := json.Unmarshal([]byte(body), &p, json.RejectUnknownMembers(true))
		if err := errors.Join(err, verifier.Verify([]byte(body), r.headers[i])); err != nil {
			r.t.Errorf("%s: %v", body, err)
		}
		p.ID = r.headers[i].Get("Webhook-Id")
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b payload) int { return int(a.Data.Version) - int(b.Data.Version) }) // they have no order
	return all
}

type payload struct {
	ID   string    `json:"-"`
	Type string    `json:"type"`
	At   time.Time `json:"timestamp"`
	Data struct {
		Seller    ids.Seller     `json:"seller_id"`
		Aggregate string         `json:"aggregate_id"`
		Version   uint64         `json:"version"`
		Event     map[string]any `json:"event"`
	} `json:"data"`
}

// TestEventsReachWebhooks has a receiver of all events, by TLS, and one of some. What they get is signed, is what Kafka gets, and has
// nothing personal.
func TestEventsReachWebhooks(t *testing.T) {
	t.Parallel()
	all := newReceiver(t, httptest.NewTLSServer)
	some := newReceiver(t, httptest.NewServer)
	others := newReceiver(t, httptest.NewServer)
	roots := x509.NewCertPool()
	roots.AddCert(all.Certificate())
	s := newSellersTo(t, "", webhook.Config{Networks: loopback, Timeout: 10 * time.Second, Roots: roots})
	id, other := s.opened(1), s.opened(7)
	_, secret := s.hook(id, 1, all.URL+"/hooks?token="+canary)
	_, someSecret := s.hook(id, 1, some.URL, "seller_member_set", "seller_key_revoked")
	s.hook(other, 7, others.URL)
	s.move(id, seller.StateSuspended)
	s.move(id, seller.StateOpen)
	s.hire(id, 1, 2, "member")
	_, key, err := s.MakeKey(t.Context(), s.by(1), id, seller.KeyWish{Name: "warehouse", Scopes: []string{"seller:read"}, Life: time.Hour})
	if err == nil {
		s.run()
		s.awaits(id, 1, 5, "delivered")
		err = s.RevokeKey(t.Context(), s.by(1), id, key.Prefix)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.awaits(id, 1, 7, "delivered")
	got := all.verify(secret)
	var types, events []string
	for _, p := range got {
		types, events = append(types, p.Type), append(events, p.ID)
		if p.Data.Seller != id || p.Data.Aggregate != id.String() || time.Since(p.At).Abs() > time.Hour {
			t.Errorf("%+v", p)
		}
	}
	if want := []string{"seller_moved", "seller_moved", "seller_member_set", "seller_key_made", "seller_key_revoked"}; !slices.Equal(types, want) {
		t.Errorf("%q, want %q", types, want)
	}
	if got[0].Data.Event["state"] != "suspended" || got[0].Data.Event["new_orders"] != false || got[2].Data.Event["user_id"] != "2" || got[3].Data.Event["prefix"] != key.Prefix {
		t.Errorf("%+v", got)
	}
	if got := some.verify(someSecret); len(got) != 2 || got[0].Type != "seller_member_set" || got[1].Type != "seller_key_revoked" {
		t.Errorf("of some types: %+v", got)
	}
	if len(others.got()) > 0 || strings.Contains(strings.Join(all.got(), ""), canary) {
		t.Errorf("another seller got %q, and this one %q", others.got(), all.got())
	}
	p := s.databases.At(shard.OfValue(id.String()))
	var published []string
	err = db.Rows(t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		var of ids.Event
		err := row.Scan(&of)
		published = append(published, of.String())
		return err
	}, "SELECT event_id FROM seller_outbox__ WHERE aggregate_id = ? ORDER BY version DESC LIMIT 5", id.String())
	if slices.Reverse(published); err != nil || !slices.Equal(published, events) {
		t.Errorf("Kafka gets %q, %v, and webhooks %q", published, err, events)
	}
	s.lacks(canary) // the address has it
	s.lacks(secret.Reveal())
}

// TestSecretsFollowEachOther has a repetition show a secret again, and both verify for a while after a rotation.
func TestSecretsFollowEachOther(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	system := newReceiver(t, httptest.NewServer)
	id, by := s.opened(1), s.by(1)
	wish := seller.WebhookWish{URL: system.URL}
	first, w, err1 := s.MakeWebhook(ctx, by, id, wish)
	again, _, err2 := s.MakeWebhook(ctx, by, id, wish)
	if err := errors.Join(err1, err2); err != nil || first != again || webhook.CheckSecret(first) != nil {
		t.Fatalf("made, and made again: %v", err)
	}
	wish.Types = []string{"seller_moved"}
	_, _, err := s.MakeWebhook(ctx, by, id, wish)
	refused(t, "another wish under the key", err, "mismatch")
	if all, err := s.Webhooks(ctx, 1, id); err != nil || len(all) != 1 || all[0].ID != w.ID || all[0].URL != system.URL {
		t.Errorf("%+v, %v", all, err)
	}
	rotation := s.by(1)
	second, now, err1 := s.RotateWebhook(ctx, rotation, id, w.ID)
	again, _, err2 = s.RotateWebhook(ctx, rotation, id, w.ID)
	if err := errors.Join(err1, err2); err != nil || second != again || second == first || time.Until(now.BeforeEndsAt) < 23*time.Hour {
		t.Fatalf("rotated: %+v, %v", now, err)
	}
	s.run()
	s.move(id, seller.StateSuspended)
	s.awaits(id, 1, 1, "delivered")
	system.verify(first)
	system.verify(second)
	s.exec(id, "UPDATE seller_webhooks__ SET before_ends_at = NOW(3) - INTERVAL 1 SECOND")
	s.move(id, seller.StateOpen)
	s.awaits(id, 1, 2, "delivered")
	system.verify(second)
	system.mu.Lock()
	defer system.mu.Unlock()
	if last := system.headers[1].Get("Webhook-Signature"); strings.Count(last, "v1,") != 1 {
		t.Errorf("when the first one has ended, the signatures are %s", last)
	}
}

// TestAnnounceOnce has an event of another package told twice.
func TestAnnounceOnce(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	system := newReceiver(t, httptest.NewServer)
	id := s.opened(1)
	_, secret := s.hook(id, 1, system.URL)
	event := outbox.Event{ID: 7, Type: "seller_moved", At: time.Now().Add(-time.Hour).Truncate(time.Millisecond), Aggregate: "prd_0000000000007", Version: 3, Data: []byte(`{"a":"b"}`)}
	for range 2 {
		if err := s.Announce(ctx, id, event); err != nil {
			t.Fatal(err)
		}
	}
	s.run()
	s.awaits(id, 1, 1, "delivered")
	if err := s.Announce(ctx, id, event); err != nil {
		t.Fatal(err)
	}
	if got := system.verify(secret); len(got) != 1 || !got[0].At.Equal(event.At) || got[0].Data.Aggregate != event.Aggregate || got[0].ID != event.ID.String() {
		t.Errorf("%+v", got)
	}
	event.Type = "unheard_of"
	if err := s.Announce(ctx, id, event); err == nil {
		t.Error("an unknown type is told")
	}
	refused(t, "of no seller", s.Announce(ctx, 77, outbox.Event{ID: 7, Type: "seller_moved"}), "unknown_seller")
}

// TestWebhooksOfASeller bounds them, and shows them to their owners alone.
func TestWebhooksOfASeller(t *testing.T) {
	t.Parallel()
	s, ctx := newSellers(t), t.Context()
	waiting := s.apply(1)
	wish := seller.WebhookWish{URL: "http://127.0.0.1:9/"}
	_, _, err := s.MakeWebhook(ctx, s.by(1), waiting, wish)
	refused(t, "of a seller that has not opened", err, "wrong_state")
	id, other := s.opened(1), s.opened(7)
	s.hire(id, 1, 2, "member")
	var made, over atomic.Int64
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			_, _, err := s.MakeWebhook(ctx, s.by(1), id, wish)
			switch {
			case err == nil:
				made.Add(1)
			case codeOf(err) == "wrong_state":
				over.Add(1)
			default:
				return err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil || made.Load() != 10 || over.Load() != 10 {
		t.Errorf("%d are made and %d refused, %v", made.Load(), over.Load(), err)
	}
	all, err := s.Webhooks(ctx, 1, id)
	if err != nil || len(all) != 10 {
		t.Fatal(all, err)
	}
	theirs, _ := s.hook(other, 7, wish.URL)
	for name, c := range map[string]struct {
		user ids.User
		of   ids.Seller
		id   ids.Webhook
		want string
	}{
		"a member":                 {2, id, all[0].ID, "forbidden"},
		"an owner of another one":  {7, id, all[0].ID, "unknown_seller"},
		"nobody":                   {9, id, all[0].ID, "unknown_seller"},
		"the webhook of another":   {1, id, theirs.ID, "unknown_webhook"},
		"another's, as that":       {7, other, all[0].ID, "unknown_webhook"},
		"of a seller that is none": {1, 77, all[0].ID, "unknown_seller"},
	} {
		_, err1 := s.Webhook(ctx, c.user, c.of, c.id)
		_, _, err2 := s.Deliveries(ctx, c.user, c.of, c.id, 0, 10)
		_, err3 := s.ChangeWebhook(ctx, s.by(c.user), c.of, c.id, 1, wish)
		_, _, err4 := s.RotateWebhook(ctx, s.by(c.user), c.of, c.id)
		_, err5 := s.TestWebhook(ctx, s.by(c.user), c.of, c.id)
		err6 := s.RemoveWebhook(ctx, s.by(c.user), c.of, c.id)
		_, err7 := s.Redeliver(ctx, s.by(c.user), c.of, c.id, 1)
		for _, err := range []error{err1, err2, err3, err4, err5, err6, err7} {
			refused(t, name, err, c.want)
		}
	}
	for range 10 {
		if _, err := s.TestWebhook(ctx, s.by(1), id, all[0].ID); err != nil {
			t.Error(err)
		}
	}
	_, err = s.TestWebhook(ctx, s.by(1), id, all[1].ID)
	refused(t, "one more test while ten wait", err, "wrong_state")
	by := s.by(1)
	for range 2 {
		if err := s.RemoveWebhook(ctx, by, id, all[0].ID); err != nil {
			t.Error(err)
		}
	}
	refused(t, "one that is removed", s.RemoveWebhook(ctx, s.by(1), id, all[0].ID), "unknown_webhook")
	s.work() // what it had to get is forgotten
	s.exec(id, "UPDATE seller_deliveries__ SET asked_at = asked_at - INTERVAL 1 MINUTE")
	if _, err := s.TestWebhook(ctx, s.by(1), id, all[1].ID); err != nil {
		t.Errorf("after a minute: %v", err)
	}
}

// TestAddressesOfWebhooks has all that no webhook may be at, where the shop has no networks of its own.
func TestAddressesOfWebhooks(t *testing.T) {
	t.Parallel()
	s, ctx := newSellersTo(t, "", webhook.Config{}), t.Context()
	id := s.opened(1)
	for _, url := range []string{
		"", "x", "http://systems.example/", "ftp://systems.example/", "https://user:pass@systems.example/", "https://systems.example/#x",
		"https://127.0.0.1/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
		"https://[::ffff:7f00:1]/", "https://169.254.169.254/latest/meta-data/", "https://10.0.0.1/", "https://[fe80::1]/", "https://[fd00::1]/", "https://0.0.0.0/",
		"https://localhost/", "https://LOCALHOST./", "https://x.localhost/", "https://db.internal/", "https://printer.local/", "https://intranet/",
		"https://systems.example:22/", "https://systems.example:80/", "https://systems.example:1023/", "https://systems.example:0/", "https://systems.example:65536/",
		"https://systems.example/" + strings.Repeat("x", 2048), "https://bücher.example/", "https://systems.example\r\nx: y/",
	} {
		_, _, err := s.MakeWebhook(ctx, s.by(1), id, seller.WebhookWish{URL: url})
		refused(t, url, err, "malformed")
		if err != nil && len(url) > 1 && strings.Contains(err.Error(), url) {
			t.Errorf("%s is quoted: %v", url, err)
		}
	}
	for _, types := range [][]string{{"unheard_of"}, {"webhook_test"}, {"seller_moved", "seller_moved"}, {""}, {"seller_moved,seller_key_made"}} {
		_, _, err := s.MakeWebhook(ctx, s.by(1), id, seller.WebhookWish{URL: "https://systems.example/", Types: types})
		refused(t, fmt.Sprint(types), err, "malformed")
	}
	for _, url := range []string{"https://systems.example/", "https://systems.example:443/x?y=z", "https://systems.example:8443/", "https://8.8.8.8/", "https://[2606:4700::1]/"} {
		s.hook(id, 1, url)
	}
}

// TestPrivateAddressesBehindNames has an address that was let in, and later leads to this machine: nothing is sent.
func TestPrivateAddressesBehindNames(t *testing.T) {
	t.Parallel()
	system := newReceiver(t, httptest.NewTLSServer)
	roots := x509.NewCertPool()
	roots.AddCert(system.Certificate())
	s := newSellersTo(t, "", webhook.Config{Roots: roots, Resolver: loopbackNames(t)})
	id := s.opened(1)
	s.hook(id, 1, "https://systems.example"+system.URL[strings.LastIndex(system.URL, ":"):]+"/")
	s.run()
	s.move(id, seller.StateSuspended)
	if d := s.awaits(id, 1, 1, "unreachable")[0]; d.State != "waiting" || len(system.got()) > 0 {
		t.Errorf("%+v, and %q came", d, system.got())
	}
}
