package batch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/core/event"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/cells"
	"sluice/edge/internal/storetest"
)

// kept is a publisher that keeps what it is given.
type kept struct {
	mu      sync.Mutex
	entries []stock.Entry
}

func (k *kept) Publish(e stock.Entry) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.entries = append(k.entries, e)
	return true
}

func (k *kept) PublishWait(e stock.Entry, done func(error)) bool {
	k.Publish(e)
	go done(nil)
	return true
}

func newBatcher(t testing.TB, store batch.Store, pub batch.Publisher, cfg batch.Config) *batch.Batcher {
	t.Helper()
	known := cells.New(store.(cells.Store), cells.Config{}, metrics.NewSet())
	if cfg.CallTimeout == 0 {
		cfg.CallTimeout = 20 * time.Second // tests share a machine
	}
	b := batch.New(store, known, pub, cfg, metrics.NewSet())
	t.Cleanup(func() {
		if err := b.Drain(context.Background()); err != nil {
			t.Error(err)
		}
		known.Close()
	})
	return b
}

func testSale(t *testing.T, server *storetest.Server) {
	t.Helper()
	const (
		units    = 100
		shoppers = 150
		skus     = 20
		limit    = 2
	)
	var list []stock.Cell
	for n := range skus {
		list = append(list, stock.Cell{SKU: int64(1 + n)})
	}
	storetest.Load(t, server, units, stock.Settings{Limit: limit}, list...)
	pub := &kept{}
	b := newBatcher(t, server, pub, batch.Config{})

	// Every shopper tries three units of every SKU, each twice under one key.
	var accepted, replayed, refused [skus]atomic.Int64
	var wg sync.WaitGroup
	for user := range int64(shoppers) {
		wg.Go(func() {
			for i := range skus {
				sku := (i + int(user)) % skus
				for try := range 6 {
					r := storetest.Take(list[sku], 1+user, fmt.Sprint(try/2), stock.PartitionsDefault)
					res, err := b.Do(stock.OpReserve, *r)
					if err != nil {
						t.Error(err)
						return
					}
					switch res.Verdict {
					case stock.VerdictOK:
						accepted[sku].Add(1)
					case stock.VerdictReplayed:
						replayed[sku].Add(1)
					case stock.VerdictSoldOut, stock.VerdictLimitReached:
						refused[sku].Add(1)
					default:
						t.Errorf("verdict %v", res.Verdict)
					}
				}
			}
		})
	}
	wg.Wait()

	states, _, err := server.Cells(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range states {
		if s.Held != units || accepted[i].Load() != units || replayed[i].Load() != units {
			t.Errorf("%v: %d held, %d accepted, %d replayed; want %d of each",
				s.Cell, s.Held, accepted[i].Load(), replayed[i].Load(), units)
		}
		if got := refused[i].Load(); got != shoppers*6-2*units {
			t.Errorf("%v: %d refused, want %d", s.Cell, got, shoppers*6-2*units)
		}
	}
	if err := b.Drain(t.Context()); err != nil { // shoppers have their answers before it is published
		t.Fatal(err)
	}
	seqs := map[stock.Cell]map[uint64]int{}
	for _, e := range pub.entries {
		events, err := event.Decode(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events.Events {
			if seqs[e.Cell] == nil {
				seqs[e.Cell] = map[uint64]int{}
			}
			seqs[e.Cell][e.Seq]++
		}
	}
	for _, cell := range list {
		for seq := uint64(2); seq < 2+units; seq++ { // 1 is the load
			if seqs[cell][seq] != 1 {
				t.Errorf("%v: event %d was published %d times", cell, seq, seqs[cell][seq])
			}
		}
	}
}

func TestSaleOnRedis(t *testing.T) {
	t.Parallel()
	testSale(t, storetest.Start(t, stock.PartitionsDefault))
}

func TestSaleOnCluster(t *testing.T) {
	t.Parallel()
	testSale(t, storetest.StartCluster(t, stock.PartitionsDefault))
}

// Scripts are missing after a restart: nothing is executed, and the edge hears of it.
func TestServerThatIsShut(t *testing.T) {
	t.Parallel()
	server := storetest.Start(t, stock.PartitionsDefault)
	cell := stock.Cell{SKU: 1}
	storetest.Load(t, server, 10, stock.Settings{}, cell)
	var shut atomic.Int32
	b := newBatcher(t, server, &kept{}, batch.Config{OnShut: func() { shut.Add(1) }})
	client := server.Client
	if err := client.Do(t.Context(), client.B().ScriptFlush().Build()).Error(); err != nil {
		t.Fatal(err)
	}
	_, err := b.Do(stock.OpReserve, *storetest.Take(cell, 1, "k", stock.PartitionsDefault))
	if !errors.Is(err, stock.ErrShut) || shut.Load() == 0 {
		t.Errorf("Do = %v, and the hook was called %d times", err, shut.Load())
	}
	states, _, err := server.Cells(t.Context(), []stock.Cell{cell})
	if err != nil {
		// Reading may need a script too; then nothing can have been executed.
		if !errors.Is(err, stock.ErrShut) {
			t.Fatal(err)
		}
		return
	}
	if states[0].Held != 0 {
		t.Errorf("%d units held by a server that is shut", states[0].Held)
	}
}

// An effect that no replica has is not acknowledged. Its replay is acknowledged as soon as a replica has it. When the
// replica is known to be gone, no more units are reserved.
func TestLevelReplicaOnRedis(t *testing.T) {
	t.Parallel()
	server := storetest.Start(t, stock.PartitionsDefault)
	replica := servicetest.RedisWith(t, local.RedisOptions{ReplicaOf: server.Redis.Addr})
	cell := stock.Cell{SKU: 1}
	storetest.Load(t, server, 1000, stock.Settings{Ack: stock.AckReplica}, cell)
	held := func() int64 {
		t.Helper()
		states, _, err := server.Cells(t.Context(), []stock.Cell{cell})
		if err != nil {
			t.Fatal(err)
		}
		return states[0].Held
	}
	reserve := func(b *batch.Batcher, user int64) (stock.Verdict, error) {
		t.Helper()
		res, err := b.Do(stock.OpReserve, *storetest.Take(cell, user, "k", stock.PartitionsDefault))
		if err != nil && !errors.Is(err, stock.ErrUnknown) {
			t.Fatal(err)
		}
		return res.Verdict, err
	}
	b := newBatcher(t, server, &kept{}, batch.Config{})
	// acknowledged repeats a request until a replica has it, which may take a while on a busy machine.
	acknowledged := func(b *batch.Batcher, user int64) {
		t.Helper()
		verdict, err := reserve(b, user)
		for giveUp := time.Now().Add(20 * time.Second); err != nil || verdict == stock.VerdictReplicaMissing; verdict, err = reserve(b, user) {
			if time.Now().After(giveUp) {
				t.Fatalf("with a replica: %v, %v", verdict, err)
			}
		}
	}
	for user := range int64(3) { // the first finds out too late, the others know
		acknowledged(b, 1+user)
	}
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	raced := held()
	user := int64(10)
	for _, err := reserve(b, user); err != nil; _, err = reserve(b, user) {
		if _, err := reserve(b, user); err == nil {
			t.Errorf("the replay of user %d without a replica is acknowledged", user)
		}
		raced++
		user++
	}
	fresh := newBatcher(t, server, &kept{}, batch.Config{}) // knows no level yet
	for i, b := range []*batch.Batcher{fresh, fresh, b} {
		if verdict, err := reserve(b, user+int64(i)); verdict != stock.VerdictReplicaMissing || err != nil {
			t.Errorf("without a replica: %v, %v, want replica_missing", verdict, err)
		}
	}
	if got := held(); got != raced {
		t.Errorf("%d units are held, want %d: what was refused has taken some", got, raced)
	}
	if err := replica.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for user := range user - 9 { // those whose outcome was unknown, and one that was refused
		acknowledged(b, 10+user)
	}
}
