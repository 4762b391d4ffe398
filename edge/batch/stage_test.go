package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/core/stock"
	"sluice/core/stock/memstock"
	"sluice/edge/cells"
)

func TestMain(m *testing.M) {
	// The client of a cluster waits for some seconds before it closes a connection it no longer needs, and
	// for one before it looks at the cluster again.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*clusterClient)._refresh.func2"),
		goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

const partitions = 4

// store is the model with a hook before every call and a list of what was sent.
type store struct {
	*memstock.Store
	before func(call int, vectors []*stock.Vector) // may block, panic, or set Err of vectors
	after  func(vectors []*stock.Vector)
	node   func(partition int) (string, error)
	read   func() error // asked before an outbox is read
	has    func() error // whether effects are still there; nil: they are

	mu    sync.Mutex
	calls [][]int // sizes of vectors
}

func (s *store) Do(ctx context.Context, vectors ...*stock.Vector) {
	s.mu.Lock()
	call := len(s.calls)
	sizes := make([]int, len(vectors))
	for i, v := range vectors {
		sizes[i] = len(v.Requests)
	}
	s.calls = append(s.calls, sizes)
	s.mu.Unlock()
	if s.before != nil {
		s.before(call, vectors)
	}
	for _, v := range vectors {
		if v.Err == nil {
			s.Store.Do(ctx, v)
		}
	}
	if s.after != nil {
		s.after(vectors)
	}
}

func (s *store) NodeOf(partition int) (string, error) {
	if s.node == nil {
		return "", nil
	}
	return s.node(partition)
}

func (s *store) OutboxAfter(ctx context.Context, partition int, after string, limit int) ([]stock.Entry, error) {
	if s.read != nil {
		if err := s.read(); err != nil {
			return nil, err
		}
	}
	return s.Store.OutboxAfter(ctx, partition, after, limit)
}

func (s *store) StillHas(context.Context, int, stock.Mark) error {
	if s.has == nil {
		return nil
	}
	return s.has()
}

func (s *store) sizes() [][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]int(nil), s.calls...)
}

// publisher accepts everything; PublishWait answers what answer says, or never where it is nil.
type publisher struct {
	answer func(e stock.Entry) error
	refuse bool

	mu        sync.Mutex
	published []stock.Entry
}

func (p *publisher) accept(e stock.Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.refuse {
		p.published = append(p.published, e)
	}
	return !p.refuse
}

func (p *publisher) Publish(e stock.Entry) bool { return p.accept(e) }

func (p *publisher) PublishWait(e stock.Entry, done func(error)) bool {
	if !p.accept(e) {
		return false
	}
	if answer := p.answer; answer != nil {
		go func() { done(answer(e)) }()
	}
	return true
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.published)
}

// stage is a batcher on the model.
type stage struct {
	*Batcher
	t     testing.TB
	store *store
	pub   *publisher
	set   *metrics.Set
}

func newStage(t testing.TB, cfg Config) *stage {
	t.Helper()
	st := &stage{
		t:     t,
		store: &store{Store: memstock.New(partitions, func() int64 { return time.Now().UnixMilli() })},
		pub:   &publisher{answer: func(stock.Entry) error { return nil }},
	}
	st.start(cfg)
	return st
}

// stall holds up all calls of the store until release is called.
func (st *stage) stall() (release func()) {
	stalled := make(chan struct{})
	st.store.before = func(int, []*stock.Vector) { <-stalled }
	return func() { close(stalled) }
}

// newLogStage is a stage at the level log, with 100 units in a cell.
func newLogStage(t testing.TB) (*stage, stock.Cell) {
	t.Helper()
	st, cell := newStage(t, Config{Ack: stock.AckLog}), sku(0)
	st.load(cell, 100, stock.Settings{})
	return st, cell
}

// start makes the batcher; a test that hooks the store earlier calls it itself.
func (st *stage) start(cfg Config) {
	known := cells.New(st.store, cells.Config{}, metrics.NewSet())
	cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg.starved = never // however busy the machine is
	st.set = metrics.NewSet()
	st.Batcher = New(st.store, known, st.pub, cfg, st.set)
	b := st.Batcher
	st.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := b.Drain(ctx); err != nil {
			st.t.Error(err)
		}
		known.Close()
	})
}

// load makes a cell with so many units, behind the batcher's back.
func (st *stage) load(cell stock.Cell, units int64, settings stock.Settings) {
	st.t.Helper()
	if settings.Hold == 0 {
		settings.Hold = stock.HoldDefault
	}
	v := &stock.Vector{Op: stock.OpAdjust, Partition: cell.Partition(partitions), Requests: []stock.Request{{
		ID:   stock.Identity{User: 1, Route: stock.OpAdjust, Cell: cell, Key: "load"}.ID(partitions),
		Cell: cell,
		User: 1,
		Adjustment: &stock.Adjustment{
			Kind: stock.AdjustPlain, Create: true, Delta: units, Settings: settings, Reason: "test",
		},
	}}}
	st.store.Store.Do(context.Background(), v)
	if v.Err != nil || v.Outcomes[0].Verdict != stock.VerdictOK {
		st.t.Fatalf("load %v: %v, %v", cell, v.Outcomes, v.Err)
	}
}

func (st *stage) cell(cell stock.Cell) stock.CellState {
	states, _, err := st.store.Cells(context.Background(), []stock.Cell{cell})
	if err != nil {
		st.t.Fatal(err)
	}
	return states[0]
}

func take(cell stock.Cell, user int64, key string) *stock.Request {
	return &stock.Request{
		ID:          stock.Identity{User: user, Route: stock.OpReserve, Cell: cell, Key: key}.ID(partitions),
		Cell:        cell,
		User:        user,
		Quantity:    1,
		Fingerprint: stock.FingerprintOf(1),
	}
}

// answer is the answer to one request.
type answer struct {
	Result
	err error
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	return a.Verdict.String()
}

// kind is the verdict's word, or the error's.
func (a answer) kind() string {
	for _, err := range []error{
		ErrFull, ErrDraining, stock.ErrUnknown, stock.ErrShut, stock.ErrNotApplied, stock.ErrProtocol,
	} {
		if errors.Is(a.err, err) {
			return err.Error()
		}
	}
	return a.String()
}

func (st *stage) do(op stock.Op, r *stock.Request) answer {
	var a answer
	a.Result, a.err = st.Do(op, *r)
	return a
}

func (st *stage) reserve(r *stock.Request) answer { return st.do(stock.OpReserve, r) }

// reserveAll sends requests of so many users at once.
func (st *stage) reserveAll(cell stock.Cell, firstUser, users int64) *crowd {
	c := &crowd{}
	for user := firstUser; user < firstUser+users; user++ {
		c.wg.Go(func() {
			a := st.reserve(take(cell, user, "k"))
			c.mu.Lock()
			defer c.mu.Unlock()
			c.answers = append(c.answers, a)
		})
	}
	return c
}

// crowd is requests of many users.
type crowd struct {
	wg      sync.WaitGroup
	mu      sync.Mutex
	answers []answer
}

// kinds waits for all and counts their answers.
func (c *crowd) kinds() map[string]int {
	c.wg.Wait()
	return c.sofar()
}

func (c *crowd) sofar() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := map[string]int{}
	for _, a := range c.answers {
		kinds[a.kind()]++
	}
	return kinds
}

// skus are so many cells of one partition.
func skus(partition, n int) []stock.Cell {
	var found []stock.Cell
	for sku := int64(1); len(found) < n; sku++ {
		if c := (stock.Cell{SKU: sku}); c.Partition(partitions) == partition {
			found = append(found, c)
		}
	}
	return found
}

func sku(partition int) stock.Cell { return skus(partition, 1)[0] }

func errorOf(kind error) string { return fmt.Sprint(kind) }
