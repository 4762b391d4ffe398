package apptest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/outbox"
)

// visitor is a shopper who has an account in the shop.
type visitor struct {
	t    *testing.T
	shop *stack.Process
	http *http.Client
	asks int
}

func newVisitor(t *testing.T, shop *stack.Process) *visitor {
	t.Helper()
	v := &visitor{t: t, shop: shop, http: &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(v.http.CloseIdleConnections)
	return v
}

// ask sends a request and returns the status and the members of its answer.
func (v *visitor) ask(method, url, token, body string) (status int, answer map[string]any) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, url, strings.NewReader(body))
	must(v.t, err)
	v.asks++
	r.Header.Set("Idempotency-Key", strconv.Itoa(v.asks))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := v.http.Do(r)
	must(v.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(v.t, err)
	if len(bytes.TrimSpace(text)) > 0 && text[0] == '{' {
		must(v.t, json.Unmarshal(text, &answer))
	}
	return resp.StatusCode, answer
}

// want is ask of the shop for a request that has to succeed.
func (v *visitor) want(method, path, token, body string) map[string]any {
	v.t.Helper()
	status, answer := v.ask(method, "http://"+v.shop.Addr()+path, token, body)
	if status >= 300 {
		v.t.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	return answer
}

var mailedCode = regexp.MustCompile(`\b[0-9]{8}\b`)

const password = "correct horse battery staple"

// register makes an account for an address.
func (v *visitor) register(email string) {
	v.t.Helper()
	asked := v.want("POST", "/v1/users", "", fmt.Sprintf(`{"email":%q,"password":%q,"region":"eu","locale":"en"}`, email, password))
	code := ""
	within(v.t, 20*time.Second, func() bool {
		resp, err := v.http.Get("http://" + v.shop.Addrs[1] + "/messages?to=" + url.QueryEscape(email))
		must(v.t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		must(v.t, err)
		code = mailedCode.FindString(string(text))
		return code != ""
	})
	v.want("POST", fmt.Sprintf("/v1/verifications/%v", asked["challenge_id"]), "", fmt.Sprintf(`{"code":%q}`, code))
}

// signIn begins a session.
func (v *visitor) signIn(email string) (session, token string) {
	v.t.Helper()
	tokens := v.want("POST", "/v1/sessions", "", fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
	return fmt.Sprint(tokens["session_id"]), fmt.Sprint(tokens["access_token"])
}

// reserve asks an edge for a unit.
func (v *visitor) reserve(edge *stack.Process, token string) int {
	v.t.Helper()
	status, _ := v.ask("POST", "http://"+edge.Addr()+"/v1/reservations", token, `{"sku_id":"1","quantity":1}`)
	return status
}

// refusedWithin is the promise about the tokens of a session that has ended.
const refusedWithin = 5 * time.Second

// TestEdgesRefuseEndedSessions signs in at the shop and buys at edges. When the session ends, every edge refuses its token within
// five seconds: also after Kafka was away, and also one that starts later.
func TestEdgesRefuseEndedSessions(t *testing.T) {
	t.Parallel()
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0")
	s.OpenShop()
	s.LoadCSV("sku_id,quantity", "1,100000")
	shop := s.StartCatalog()
	follow := "SLUICE_SHOP_KEYS_URL=http://" + shop.Addr() + "/.well-known/jwks.json"
	edges := []*stack.Process{s.StartEdge(follow), s.StartEdge(follow)}
	careless := s.StartEdge(follow, "SLUICE_ENDED_SESSIONS=accept")
	v := newVisitor(t, shop)
	v.register("mia@example.org")
	signIn := func() (session, token string) {
		t.Helper()
		session, token = v.signIn("mia@example.org")
		for _, edge := range append(edges, careless) {
			within(t, 20*time.Second, func() bool { return v.reserve(edge, token) == http.StatusCreated })
		}
		return session, token
	}
	refused := func(what, token string, ended time.Time, edges ...*stack.Process) {
		t.Helper()
		for _, edge := range edges {
			within(t, time.Minute, func() bool { return v.reserve(edge, token) == http.StatusUnauthorized })
		}
		took := time.Since(ended)
		if t.Logf("%s: refused after %v", what, took.Round(time.Millisecond)); took > refusedWithin {
			t.Errorf("%s: a token was taken for %v", what, took)
		}
	}
	_, stays := signIn()
	session, token := signIn()
	v.want("DELETE", "/v1/me/sessions/"+session, token, "")
	refused("a session that its user ends", token, time.Now(), edges...)
	within(t, refusedWithin, func() bool {
		status, _ := v.ask("GET", "http://"+shop.Addr()+"/v1/me", token, "")
		return status == http.StatusUnauthorized
	})
	if got := v.reserve(careless, token); got != http.StatusCreated {
		t.Errorf("an edge that accepts ended sessions answers %d", got)
	}

	session, token = signIn()
	must(t, s.Kafka.Kill())
	v.want("DELETE", "/v1/me/sessions/"+session, token, "")
	unread := regexp.MustCompile(`sluice_edge_sessions_unread_seconds ([3-9]|[1-9][0-9])`)
	within(t, time.Minute, func() bool {
		return unread.MatchString(page(t, edges[0])) && strings.Contains(edges[0].Log(), "cannot read which sessions of shoppers have ended yet")
	})
	if status, answer := v.ask("PUT", "http://"+shop.Addr()+"/v1/me/password", token, fmt.Sprintf(`{"current_password":%q,"password":"x"}`, password)); status != http.StatusUnauthorized {
		t.Errorf("without Kafka the shop takes a write of a session that has ended: %d %v", status, answer)
	}
	if got := v.reserve(edges[0], token); got != http.StatusCreated {
		t.Errorf("without Kafka a token of a session that has ended gets %d: an edge works on", got)
	}
	must(t, s.Kafka.Restart(t.Context()))
	for _, edge := range edges {
		within(t, time.Minute, func() bool { return v.reserve(edge, token) == http.StatusUnauthorized })
	}

	late := s.StartEdge(follow)
	within(t, 20*time.Second, func() bool { return v.reserve(late, stays) == http.StatusCreated })
	refused("at an edge that starts later", token, time.Now(), late)
	for _, edge := range edges {
		if got := v.reserve(edge, stays); got != http.StatusCreated {
			t.Errorf("the token of another session gets %d", got)
		}
	}
}

// page is what a process shows as its metrics.
func page(t *testing.T, p *stack.Process) string {
	t.Helper()
	resp, err := http.Get("http://" + p.Addrs[1] + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(text)
}

// TestActsOnStockAreWrittenDownOnce has an admin who adjusts stock at an edge. Each adjustment is in the shop's audit log once, though
// processes of the shop are killed meanwhile, and though another group reads all events again.
func TestActsOnStockAreWrittenDownOnce(t *testing.T) {
	t.Parallel()
	s := stack.New(t)
	s.OpenShop()
	s.LoadCSV("sku_id,quantity", "1,10", "2,10")
	edge := s.StartEdge()
	admin := s.Token(3, "admin")
	v := newVisitor(t, edge)
	made := 0
	adjust := func(times int) {
		t.Helper()
		for range times {
			made++
			v.want("POST", fmt.Sprintf("/admin/v1/skus/%d/adjustments", 1+made%2), admin, fmt.Sprintf(`{"delta":1,"reason":"delivery %d"}`, made))
		}
	}
	found := func() (reasons []string) {
		t.Helper()
		var listed struct {
			Data []struct{ Act, Actor, Why string }
		}
		must(t, json.Unmarshal([]byte(s.Run("", "audit", "search", "--actor", "admin:3", "--limit", "500", "-o", "json")), &listed))
		for _, e := range listed.Data {
			if e.Act == "stock.adjust" {
				reasons = append(reasons, e.Why)
			}
		}
		slices.Sort(reasons)
		return reasons
	}
	all := func() bool {
		var n int
		must(t, s.DB.QueryRowContext(t.Context(), "SELECT COUNT(DISTINCT why) FROM audit_entries WHERE act = 'stock.adjust' AND actor = 'admin:3'").Scan(&n))
		return n == made
	}

	adjust(5)
	shop := s.StartCatalog() // it has what was before it
	within(t, time.Minute, all)
	for range 3 {
		adjust(10)
		must(t, shop.Kill())
		adjust(5)
		shop = s.StartCatalog()
	}
	within(t, 2*time.Minute, all)
	s.StartCatalog("SLUICE_KAFKA_AUDIT_GROUP=again")
	topic := outbox.NewTopic(s.Kafka.Addrs, "sluice.events.v1")
	defer topic.Close()
	within(t, time.Minute, func() bool {
		unread, err := topic.Unread(t.Context(), "again")
		return err == nil && !slices.ContainsFunc(unread, func(r outbox.Range) bool { return r.First < r.End })
	})
	adjust(1)
	within(t, time.Minute, all)
	if got := found(); len(got) != made {
		t.Errorf("%d entries of %d adjustments: %v", len(got), made, got)
	}
	s.Run("", "audit", "verify")
}
