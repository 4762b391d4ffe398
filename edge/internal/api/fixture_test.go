package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/auth"
	"sluice/core/ledger"
	"sluice/core/problem"
	"sluice/core/registry"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/edge/batch"
	"sluice/edge/internal/conns"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"), // one per process, never ends
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

const partitions = 4

// noon is the time of the tests, for tokens and for stock.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is an API over the model of stock, behind the real HTTP server.
type fixture struct {
	t     *testing.T
	set   *metrics.Set
	store *memstock.Store
	sales *fakeSales
	api   *API
	keys  *auth.Keys
	addr  string
	http  *http.Client
	nowMS atomic.Int64
	// decide, if set, stands in for the model.
	decide atomic.Pointer[func(op stock.Op, r stock.Request) (batch.Result, error)]
	// part, if set, stands in for the model that decides parts.
	part func(op stock.Op, requests []stock.Request) ([]batch.Result, error)

	silent  map[int]error // partitions from which nobody can take
	full    error         // whatever is asked for
	fullFor map[stock.Cell]error
	// readErr, if set, is the error of all reads.
	readErr atomic.Pointer[error]

	mu             sync.Mutex
	missed         []stock.Cell
	added          []stock.Cell
	sawSold        []stock.Cell
	soldOut        map[stock.Cell]bool
	unknown        map[stock.Cell]bool
	shut           map[int][][]stock.CellState // by partition
	shutTakes      time.Duration               // of each step
	replicaWarning string
	// doubtful are cells. MayExist gives an error for each.
	doubtful map[stock.Cell]error
	// strangers are users whom the screen knows not to be registered.
	strangers map[int64]bool
	mistaken  []int64 // who passed, though not registered
	// ages are how old the states may be that were asked for.
	ages []time.Duration
}

// registeredBefore is how many users a sale has without those who are registered in a test.
const registeredBefore = 10

// Register answers as if every user were new.
func (f *fixture) Register(ctx context.Context, id uint32, users []int64) (registry.Result, error) {
	if _, ok := f.sales.sales[id]; !ok {
		return registry.Result{}, sale.ErrNotFound
	}
	for p := range partitions {
		if _, err := f.store.Register(ctx, p, id, users); err != nil {
			return registry.Result{}, err
		}
	}
	return registry.Result{Added: int64(len(users)), Registered: registeredBefore + int64(len(users))}, nil
}

// registeredUsers implements Registered.
type registeredUsers struct{ *fixture }

// May knows strangers.
func (f registeredUsers) May(_ uint32, user int64) bool { return !f.strangers[user] }

// Missed notes a user.
func (f registeredUsers) Missed(_ uint32, user int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mistaken = append(f.mistaken, user)
}

func newFixture(t *testing.T, edit ...func(*Parts)) *fixture {
	t.Helper()
	f := &fixture{t: t, set: metrics.NewSet(), soldOut: map[stock.Cell]bool{}, unknown: map[stock.Cell]bool{}, doubtful: map[stock.Cell]error{}}
	f.nowMS.Store(noon.UnixMilli())
	f.store = memstock.New(partitions, f.nowMS.Load)
	f.sales = &fakeSales{sales: map[uint32]sale.Sale{}, calls: map[sale.Call]bool{}, nowMS: f.nowMS.Load}
	var err error
	f.keys, err = auth.NewKeys(auth.Key{
		ID: "k", Algorithm: auth.HS256, Secret: base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte("s"), 32)),
	})
	if err != nil {
		t.Fatal(err)
	}
	parts := Parts{
		Decider: f, Reader: f, Cells: f, Known: f, SoldOut: f, Serves: f.serving, Sales: f.sales, Books: emptyBooks{},
		Registrations: f, Registered: registeredUsers{f},
		Transfer: func(ctx context.Context, r stock.TransferRequest) (bool, error) {
			return stock.Transfer(ctx, f.store, r)
		},
		Tokens: auth.NewVerifier(f.keys, auth.VerifierConfig{Issuer: "iss", Audience: "aud", CacheMax: 1000}),

		Retention: stock.RetentionDefault, ReadTimeout: time.Second, AdminTimeout: time.Second,
		Metrics: f.set, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return time.UnixMilli(f.nowMS.Load()) },
	}
	for _, e := range edit {
		e(&parts)
	}
	f.serve(New(parts))
	return f
}

// count returns the value of a counter.
func (f *fixture) count(name string) uint64 { return f.set.GetOrCreateCounter(name).Get() }

func (f *fixture) serve(a *API) {
	f.api = a
	l, err := conns.Listen(f.t.Context(), "127.0.0.1:0", conns.Config{
		Max: 1000, Full: RefusedConnection(false), Crowded: RefusedConnection(true),
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
		Timeouts: conns.Timeouts{Read: 2 * time.Second, Write: 5 * time.Second, Idle: 5 * time.Second},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	server := a.Server(l, 1000)
	server.MaxIdleWorkerDuration = 10 * time.Millisecond
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	f.addr = l.Addr().String()
	transport := &http.Transport{}
	f.http = &http.Client{Transport: transport}
	f.t.Cleanup(func() {
		transport.CloseIdleConnections()
		a.Drain()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := l.Drain(ctx); err != nil {
			f.t.Error(err)
		}
		if err := <-done; err != nil {
			f.t.Error(err)
		}
	})
}

func (f *fixture) Room() error { return f.full }

func (f *fixture) RoomFor(cell stock.Cell) error { return f.fullFor[cell] }

func (f *fixture) serving(partition int) error { return f.silent[partition] }

func (f *fixture) DoPart(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
	if f.part != nil {
		return f.part(op, requests)
	}
	return f.parts(op, requests)
}

// parts lets the model decide a part.
func (f *fixture) parts(op stock.Op, requests []stock.Request) ([]batch.Result, error) {
	v := &stock.Vector{Op: op, Partition: requests[0].ID.Partition(), Requests: requests}
	if f.store.Do(context.Background(), v); v.Err != nil {
		return nil, v.Err
	}
	results := make([]batch.Result, len(requests))
	for i := range results {
		results[i] = batch.Result{Outcome: v.Outcomes[i], TimeMS: v.TimeMS}
		for _, c := range v.Cells {
			if c.Cell == requests[i].Cell {
				results[i].Cell = c
			}
		}
	}
	return results, nil
}

func (f *fixture) Do(op stock.Op, r stock.Request) (batch.Result, error) {
	if decide := f.decide.Load(); decide != nil {
		return (*decide)(op, r)
	}
	v := stock.Vector{Op: op, Partition: r.ID.Partition(), Requests: []stock.Request{r}}
	f.store.Do(context.Background(), &v)
	if v.Err != nil {
		return batch.Result{}, v.Err
	}
	res := batch.Result{Outcome: v.Outcomes[0], TimeMS: v.TimeMS}
	if len(v.Cells) > 0 {
		res.Cell = v.Cells[0]
	}
	return res, nil
}

func (f *fixture) Cells(ctx context.Context, cells []stock.Cell) ([]stock.CellState, int64, error) {
	if err := f.readErr.Load(); err != nil {
		return nil, 0, *err
	}
	return f.store.Cells(ctx, cells)
}

func (f *fixture) Reservations(ctx context.Context, ids []stock.ReservationID) ([]stock.Reservation, int64, error) {
	if err := f.readErr.Load(); err != nil {
		return nil, 0, *err
	}
	return f.store.Reservations(ctx, ids)
}

func (f *fixture) Partitions() int { return partitions }

func (f *fixture) ReplicaWarning(context.Context) (string, error) { return f.replicaWarning, nil }

func (f *fixture) Now(context.Context) (int64, error) {
	if err := f.readErr.Load(); err != nil {
		return 0, *err
	}
	return f.nowMS.Load(), nil
}

// ShutCells takes as many steps for a partition as it has lists of shut cells.
func (f *fixture) ShutCells(_ context.Context, partition int, cursor uint64) ([]stock.CellState, uint64, error) {
	if err := f.readErr.Load(); err != nil {
		return nil, 0, *err
	}
	time.Sleep(f.shutTakes)
	steps := f.shut[partition]
	if len(steps) == 0 {
		return nil, 0, nil
	}
	return steps[cursor], (cursor + 1) % uint64(len(steps)), nil
}

func (f *fixture) State(ctx context.Context, cell stock.Cell, maxAge time.Duration) (stock.CellState, time.Time, error) {
	f.mu.Lock()
	f.ages = append(f.ages, maxAge)
	f.mu.Unlock()
	states, nowMS, err := f.Cells(ctx, []stock.Cell{cell})
	if err != nil {
		return stock.CellState{}, time.Time{}, err
	}
	return states[0], time.UnixMilli(nowMS), nil
}

func (f *fixture) MayExist(_ context.Context, cell stock.Cell, _ bool) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.unknown[cell] && f.doubtful[cell] == nil, f.doubtful[cell]
}

func (f *fixture) Missed(cell stock.Cell) { f.note(&f.missed, cell) }
func (f *fixture) Add(cell stock.Cell)    { f.note(&f.added, cell) }
func (f *fixture) Saw(cell stock.Cell)    { f.note(&f.sawSold, cell) }

func (f *fixture) note(list *[]stock.Cell, cell stock.Cell) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*list = append(*list, cell)
}

func (f *fixture) noted(list *[]stock.Cell) []stock.Cell {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]stock.Cell(nil), *list...)
}

func (f *fixture) Any() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.soldOut) > 0
}

func (f *fixture) Maybe(cell stock.Cell) bool { return f.Certain(cell, stock.ReservationID{}) }

func (f *fixture) Certain(cell stock.Cell, _ stock.ReservationID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.soldOut[cell]
}

// emptyBooks have nothing in them: the real ones need MySQL.
type emptyBooks struct{ Books }

func (emptyBooks) Resolve(context.Context, ledger.LetterID, ledger.Decision) (l ledger.Letter, already bool, err error) {
	return l, false, ledger.ErrNoLetter
}

func (b emptyBooks) AskReplay(ctx context.Context, id ledger.LetterID, d ledger.Decision) (l ledger.Letter, already bool, err error) {
	return b.Resolve(ctx, id, d)
}

// load makes a cell.
func (f *fixture) load(cell stock.Cell, units int64, edit func(*stock.Settings)) {
	f.t.Helper()
	settings := stock.Settings{Hold: 15 * time.Minute}
	if edit != nil {
		edit(&settings)
	}
	r := stock.Request{
		ID: stock.Identity{Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions), Cell: cell,
		Adjustment: &stock.Adjustment{Kind: stock.AdjustPlain, Create: true, Delta: units, Settings: settings, Reason: "test"},
	}
	if res, err := f.Do(stock.OpAdjust, r); err != nil || res.Verdict != stock.VerdictOK {
		f.t.Fatalf("load %v: %v, %v", cell, res.Verdict, err)
	}
}

func (f *fixture) state(cell stock.Cell) stock.CellState {
	f.t.Helper()
	states, _, err := f.store.Cells(f.t.Context(), []stock.Cell{cell})
	if err != nil {
		f.t.Fatal(err)
	}
	return states[0]
}

func (f *fixture) token(user int64, role auth.Role, words ...string) string {
	f.t.Helper()
	scopes, err := auth.ParseScopes(words...)
	if err != nil {
		f.t.Fatal(err)
	}
	token, err := f.keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: user, Role: role, Scopes: scopes}, Issuer: "iss", Audience: "aud",
		NotBefore: noon, Expires: noon.Add(time.Hour),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// call is one request to make.
type call struct {
	method, path string
	token        string
	key          string // "-": none
	body         string
	header       http.Header
}

// answer is the answer to a request.
type answer struct {
	status int
	last   bool // the server closes the connection after it
	header http.Header
	body   string
	json   map[string]any
}

var keyNumber atomic.Int64

func (f *fixture) do(c call) answer {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), c.method, "http://"+f.addr+c.path, strings.NewReader(c.body))
	if err != nil {
		f.t.Fatal(err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.key == "" {
		c.key = "k-" + strconv.FormatInt(keyNumber.Add(1), 10)
	}
	if c.method != http.MethodGet && c.key != "-" {
		req.Header.Set("Idempotency-Key", c.key)
	}
	if c.body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	resp, err := f.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.read(resp)
}

func (f *fixture) read(resp *http.Response) answer {
	f.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	got := answer{status: resp.StatusCode, last: resp.Close, header: resp.Header, body: string(body)}
	if err := json.Unmarshal(body, &got.json); err != nil {
		f.t.Errorf("status %d: body is not JSON: %q", resp.StatusCode, body)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		f.t.Errorf("status %d: no X-Request-Id", resp.StatusCode)
	}
	if resp.StatusCode >= 400 {
		f.checkProblem(got)
	}
	return got
}

// checkProblem holds a refusal to RFC 9457 and to its kind.
func (f *fixture) checkProblem(got answer) {
	f.t.Helper()
	word, _ := got.json["code"].(string)
	for _, k := range problem.Kinds() {
		if k.Code != word {
			continue
		}
		retryable := k.Retryable && got.json["detail"] != detailSpent
		if got.status != k.Status || got.json["status"] != float64(k.Status) || got.json["retryable"] != retryable ||
			got.json["title"] != k.Title || got.json["type"] != "urn:sluice:problem:"+word ||
			got.header.Get("Content-Type") != "application/problem+json" ||
			got.json["request_id"] != got.header.Get("X-Request-Id") ||
			(got.header.Get("Retry-After") != "") != (k.RetryAfter > 0 && (retryable || k == problem.NotOpen)) {
			f.t.Errorf("not the problem document of %s: %d %v %s", word, got.status, got.header, got.body)
		}
		return
	}
	f.t.Errorf("no code of ours: %d %s", got.status, got.body)
}

func (a answer) code() string {
	word, _ := a.json["code"].(string)
	return word
}

// raw sends bytes as they are on a connection of their own and reads all that comes back.
func (f *fixture) raw(request string) []answer {
	f.t.Helper()
	c, err := net.Dial("tcp", f.addr)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		f.t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		f.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	var all []answer
	for {
		if _, err := r.Peek(1); err != nil {
			return all
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			f.t.Fatalf("%q: %v", request, err)
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		all = append(all, f.read(resp))
	}
}
