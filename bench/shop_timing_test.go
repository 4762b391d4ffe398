package bench

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"sluice/bench/load"
	"sluice/bench/stack"
	"sluice/core/config"
	"sluice/core/db"
)

const (
	shopConnections = 32 // of clients, each with a session of its own
	shopPool        = 8
	shopHashes      = 4 // sign-ins at once: as many passwords as the shop hashes at once by default
	shopPassword    = "correct horse battery staple"
)

// BenchmarkShop has what the shop answers in a second, beside an empty handler of net/http and beside what its MariaDB does at the same
// concurrency with nothing in front: a SELECT of a row by its key, and an UPDATE of one row with its commit; and how many passwords the
// cores hash. All take turns in one run.
// The clients keep their connections, and share the cores with the shop and MariaDB. Run it with -benchtime 1x.
//
//	go test -run '^$' -bench BenchmarkShop -benchtime 1x ./bench
func BenchmarkShop(b *testing.B) {
	s := stack.New(b, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_TRUSTED_PROXIES=127.0.0.1/32", "SLUICE_MYSQL_CONNS_MAX="+strconv.Itoa(shopPool),
		"SLUICE_WRITE_TIMEOUT=30s") // on a busy machine a password takes long
	s.OpenShop()
	shop := s.StartCatalog()
	visitors := newCustomers(b, shop, 0, shopConnections)
	// Sign-ins end the oldest sessions of who signs in, so they are those of others.
	signers := newCustomers(b, shop, shopConnections, shopHashes)
	empty := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(empty.Close)
	walls := newWalls(b, s)
	hash := func(context.Context, int) error {
		argon2.IDKey([]byte(shopPassword), make([]byte, 16), 2, 19<<10, 1, 32) // as much as the shop takes for a password
		return nil
	}
	of := func(name, addr string, who *customers, status int, next func(c *customer, buf []byte) []byte, got func(c *customer, r load.Response)) shopWork {
		return shopWork{name, func(length time.Duration) float64 { return who.run(addr, length, status, next, got) }}
	}
	work := []shopWork{
		of("empty", empty.Listener.Addr().String(), visitors, http.StatusOK, (*customer).me, nil),
		{"select", func(length time.Duration) float64 { return walls.run(length, shopConnections, walls.read) }},
		{"update", func(length time.Duration) float64 { return walls.run(length, shopConnections, walls.write) }},
		{"argon2", func(length time.Duration) float64 { return walls.run(length, shopHashes, hash) }},
		of("refresh", shop.Addr(), visitors, http.StatusOK, (*customer).refresh, (*customer).refreshed),
		of("me", shop.Addr(), visitors, http.StatusOK, (*customer).me, nil),
		of("permission", shop.Addr(), visitors, http.StatusForbidden, (*customer).forbidden, nil),
		of("sign-in", shop.Addr(), signers, http.StatusCreated, (*customer).signIn, nil),
	}
	for b.Loop() {
		for _, w := range work {
			w.run(roundTime())
		}
		rates, shopCPU, mariaCPU := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
		used := func() (of, maria time.Duration) {
			of, err1 := shop.CPU()
			maria, err2 := cpuOf(s.MariaDB.PID())()
			if err := errors.Join(err1, err2); err != nil {
				b.Fatal(err)
			}
			return of, maria
		}
		for range rounds() {
			for _, w := range work {
				shopBefore, mariaBefore := used()
				began := time.Now()
				rate := w.run(roundTime())
				items := rate * time.Since(began).Seconds()
				shopAfter, mariaAfter := used()
				rates[w.name] = append(rates[w.name], rate)
				shopCPU[w.name] = append(shopCPU[w.name], float64((shopAfter-shopBefore).Microseconds())/items)
				mariaCPU[w.name] = append(mariaCPU[w.name], float64((mariaAfter-mariaBefore).Microseconds())/items)
			}
		}
		for _, w := range work {
			b.ReportMetric(median(rates[w.name]), w.name+"/s")
			if !slices.Contains([]string{"argon2", "empty"}, w.name) {
				b.ReportMetric(median(mariaCPU[w.name]), w.name+"-mariadb-cpu-us")
			}
			if !slices.Contains([]string{"select", "update", "argon2", "empty"}, w.name) {
				b.ReportMetric(median(shopCPU[w.name]), w.name+"-shop-cpu-us")
				b.ReportMetric(median(ratios(rates[w.name], rates["empty"])), w.name+"-of-empty")
			}
		}
		b.ReportMetric(median(ratios(rates["refresh"], rates["update"])), "refresh-of-update")
		b.ReportMetric(median(ratios(rates["me"], rates["select"])), "me-of-select")
		b.ReportMetric(median(ratios(rates["sign-in"], rates["argon2"])), "sign-in-of-argon2")
	}
}

// shopWork is one of the things that take turns. It returns how many were done in a second.
type shopWork struct {
	name string
	run  func(length time.Duration) float64
}

// ratios are those of pairs of one round.
func ratios(of, to []float64) []float64 {
	all := make([]float64, len(of))
	for i := range of {
		all[i] = of[i] / to[i]
	}
	return all
}

// customer is a user with a session, at a connection.
type customer struct {
	number         int
	email          string
	access, device string
	token          string // that refreshes
	asks           int
}

type customers struct {
	b    *testing.B
	shop *stack.Process
	http *http.Client
	all  []*customer
}

// newCustomers registers and signs in so many customers, from a number on.
func newCustomers(b *testing.B, shop *stack.Process, first, n int) *customers {
	b.Helper()
	c := &customers{b: b, shop: shop, http: &http.Client{Transport: &http.Transport{}}}
	b.Cleanup(c.http.CloseIdleConnections)
	for i := first; i < first+n; i++ {
		of := &customer{number: i, email: fmt.Sprintf("customer%d@example.org", i)}
		c.all = append(c.all, of)
		asked := c.want(of, "/v1/users", fmt.Sprintf(`{"email":%q,"password":%q,"region":"eu","locale":"en"}`, of.email, shopPassword))
		c.want(of, fmt.Sprintf("/v1/verifications/%v", asked["challenge_id"]), fmt.Sprintf(`{"code":%q}`, c.code(of.email)))
		in := c.want(of, "/v1/sessions", fmt.Sprintf(`{"email":%q,"password":%q}`, of.email, shopPassword))
		of.access, of.token, of.device = fmt.Sprint(in["access_token"]), fmt.Sprint(in["refresh_token"]), fmt.Sprint(in["device_token"])
	}
	return c
}

// want posts what has to succeed.
func (c *customers) want(of *customer, path, body string) (answer map[string]any) {
	c.b.Helper()
	conn, err := load.Dial(c.shop.Addr(), 20*time.Second)
	if err != nil {
		c.b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	r, err := conn.Do(of.post(nil, path, body))
	if err != nil || r.Status >= http.StatusMultipleChoices {
		c.b.Fatalf("%s: %d %s, %v", path, r.Status, r.Body, err)
	}
	if err := json.Unmarshal(r.Body, &answer); err != nil {
		c.b.Fatal(err)
	}
	return answer
}

var shopCode = regexp.MustCompile(`\b[0-9]{8}\b`)

// code is what a message to an address has, once it is there.
func (c *customers) code(email string) string {
	c.b.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := c.http.Get("http://" + c.shop.Addrs[1] + "/messages?to=" + url.QueryEscape(email))
		if err != nil {
			c.b.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			c.b.Fatal(err)
		}
		if code := shopCode.Find(text); code != nil {
			return string(code)
		}
	}
	c.b.Fatal("no message came to " + email)
	return ""
}

// run has each customer send a request after the other, and returns how many were answered in a second.
func (c *customers) run(addr string, length time.Duration, status int, next func(*customer, []byte) []byte, got func(*customer, load.Response)) float64 {
	c.b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	plan := load.Plan{
		Addr: addr, Connections: len(c.all), Timeout: 40 * time.Second,
		Next: func(conn, _ int, buf []byte) []byte { return next(c.all[conn], buf) },
	}
	if got != nil {
		plan.Got = func(conn, _ int, r load.Response) { got(c.all[conn], r) }
	}
	report, err := load.Run(ctx, plan)
	if err != nil {
		c.b.Fatal(err)
	}
	if report.Errors > 0 || len(report.Answers) != 1 || report.Answers[status] == 0 {
		c.b.Fatalf("not every answer was a %d: %v", status, report)
	}
	return report.PerSecond(status)
}

// head begins a request. Each comes from another address, so that no limit of strangers is met.
func (of *customer) head(buf []byte, method, path string) []byte {
	of.asks++
	return fmt.Appendf(buf, "%s %s HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 10.%d.%d.%d\r\n", method, path, of.number, of.asks>>8&255, of.asks&255)
}

func (of *customer) get(buf []byte, path string) []byte {
	buf = of.head(buf, "GET", path)
	return fmt.Appendf(buf, "Authorization: Bearer %s\r\n\r\n", of.access)
}

func (of *customer) post(buf []byte, path, body string) []byte {
	buf = of.head(buf, "POST", path)
	return fmt.Appendf(buf, "Idempotency-Key: %d-%d\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", of.number, of.asks, len(body), body)
}

func (of *customer) me(buf []byte) []byte { return of.get(buf, "/v1/me") }

// forbidden is a request that the bearer of the token may not make.
func (of *customer) forbidden(buf []byte) []byte { return of.get(buf, "/v1/audit") }

func (of *customer) refresh(buf []byte) []byte {
	return of.post(buf, "/v1/tokens", `{"refresh_token":"`+of.token+`"}`)
}

var refreshToken = []byte(`"refresh_token":"`)

// refreshed takes the next token from an answer. Without one the next refresh fails.
func (of *customer) refreshed(r load.Response) {
	_, rest, _ := bytes.Cut(r.Body, refreshToken)
	token, _, _ := bytes.Cut(rest, []byte(`"`))
	of.token = string(token)
}

// signIn begins a session. With each the one ends that was unused for longest, once there are many.
func (of *customer) signIn(buf []byte) []byte {
	return of.post(buf, "/v1/sessions", fmt.Sprintf(`{"email":%q,"password":%q,"device_token":%q}`, of.email, shopPassword, of.device))
}

// walls do at MariaDB what the shop cannot do without.
type walls struct {
	b           *testing.B
	read, write func(ctx context.Context, key int) error
}

func newWalls(b *testing.B, s *stack.Stack) *walls {
	b.Helper()
	pool, err := db.Config{DSN: config.Secret(s.MariaDB.DSN("sluice")), ConnsMax: shopPool, Timeout: time.Minute}.Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	prepare := func(query string) *sql.Stmt {
		prepared, err := pool.PrepareContext(b.Context(), query)
		if err != nil {
			b.Fatal(err)
		}
		return prepared
	}
	for _, statement := range []string{
		"CREATE TABLE wall (id BIGINT NOT NULL, n BIGINT NOT NULL, text VARCHAR(100) NOT NULL, PRIMARY KEY (id)) ENGINE = InnoDB",
		"INSERT INTO wall SELECT seq, 0, REPEAT('x', 100) FROM seq_0_to_9999",
	} {
		if _, err := pool.ExecContext(b.Context(), statement); err != nil {
			b.Fatal(err)
		}
	}
	read, write := prepare("SELECT n, text FROM wall WHERE id = ?"), prepare("UPDATE wall SET n = n + 1 WHERE id = ?")
	b.Cleanup(func() {
		if err := errors.Join(read.Close(), write.Close(), pool.Close()); err != nil {
			b.Error(err)
		}
	})
	return &walls{
		b, func(ctx context.Context, key int) error {
			var n int64
			var text string
			return read.QueryRowContext(ctx, key).Scan(&n, &text)
		},
		func(ctx context.Context, key int) error {
			_, err := write.ExecContext(ctx, key)
			return err
		},
	}
}

// run does a thing at as many rows as there are customers, and returns how often in a second.
func (w *walls) run(length time.Duration, at int, do func(ctx context.Context, key int) error) float64 {
	w.b.Helper()
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for key := range at {
		all.Go(func() {
			for time.Since(began) < length {
				if err := do(w.b.Context(), key); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		w.b.Fatal(*err)
	}
	return float64(done.Load()) / time.Since(began).Seconds()
}
