package cli

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/cli/command"
	"sluice/core/auth"
	"sluice/core/client"
	"sluice/core/local"
	"sluice/core/local/servicetest"
	"sluice/core/stock"
)

// sellsAgainWithin is how long stock may be shut after Redis has lost all its data, its restart included.
const sellsAgainWithin = 10 * time.Second

// buyer buys single units of a SKU, one after the other. It repeats each request until it is acknowledged.
type buyer struct {
	cell stock.Cell
	mu   sync.Mutex
	held []heldAt
}

// heldAt is an acknowledged reservation: when it was asked for, and when it was acknowledged.
type heldAt struct {
	id           stock.ReservationID
	asked, known time.Time
}

func (b *buyer) buy(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	for n := 0; ctx.Err() == nil; {
		asked := time.Now()
		got, err := c.Reserve(context.WithoutCancel(ctx), client.Take{SKU: b.cell.SKU, Quantity: 1, Key: strconv.Itoa(n)})
		if err == nil {
			id, err := stock.ParseReservationID(got.ID)
			if err != nil {
				t.Error(err)
				return
			}
			b.mu.Lock()
			b.held = append(b.held, heldAt{id, asked, time.Now()})
			b.mu.Unlock()
			n++
		}
		time.Sleep(50 * time.Millisecond) // a shopper's pace
	}
}

func (b *buyer) all() []heldAt {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.held)
}

// since returns when the first reservation was acknowledged that was asked for after a time; zero: there is none yet.
func (b *buyer) since(begun time.Time) time.Time {
	for _, h := range b.all() {
		if h.asked.After(begun) {
			return h.known
		}
	}
	return time.Time{}
}

// startEmpty kills a Redis, takes its disk away, and starts it again.
func startEmpty(t *testing.T, server *local.Redis) {
	t.Helper()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"appendonlydir", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(server.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Redis, or a node of it, loses all its data under sales at the level log. Two edges restore it by themselves, and sell again.
// Every unit that was acknowledged is held afterwards, and all stores agree.
func TestLostDataAreRestoredUnderSales(t *testing.T) {
	t.Parallel()
	t.Run("an empty Redis", func(t *testing.T) {
		t.Parallel()
		redis := servicetest.Redis(t)
		restoredUnderSales(t, []*local.Redis{redis}, redis.Addr)
	})
	t.Run("a lost node of a cluster", func(t *testing.T) {
		t.Parallel()
		cluster := servicetest.RedisCluster(t)
		restoredUnderSales(t, cluster.Nodes, cluster.Addrs...)
	})
}

// restoredUnderSales has the node that has most partitions lose its data.
func restoredUnderSales(t *testing.T, nodes []*local.Redis, addrs ...string) {
	t.Helper()
	const skus, partitions = 24, 8
	d := newDeploymentOn(t, addrs...)
	d.run("migrate").want(command.ExitDone)
	d.runWith(stockFile("sku_id,quantity,hold_seconds", skus, "1000000,3600"), "stock", "load", "--yes").want(command.ExitDone)
	defer d.persister()()
	d.settled() // a SKU whose settings only Redis had would come back frozen
	args := append(d.service("edge"), "--restore=auto", "--ack=log", "--rate-per-address=10000", "--burst-per-address=10000")
	keys, err := auth.ReadKeys(valueOf(args, "--token-key-file"))
	if err != nil {
		t.Fatal(err)
	}
	var edges []string
	for range 2 {
		p := startProgram(t, "", append(slices.Clone(args), "--data-dir="+t.TempDir())...)
		edges = append(edges, "http://"+addressIn(p.until("edge is up")))
		go p.drain()
	}
	var buyers []*buyer
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer running.Wait()
	defer stop()
	for sku := range int64(skus) {
		b := &buyer{cell: stock.Cell{SKU: sku + 1}}
		c, err := client.New(client.Config{URL: edges[sku%2], Attempts: 1, Token: func(context.Context) (string, error) {
			now := time.Now()
			return keys.Issue(auth.Claims{
				Identity: auth.Identity{Subject: b.cell.SKU, Role: auth.RoleShopper}, Issuer: "sluice", Audience: "sluice",
				NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
			})
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		buyers = append(buyers, b)
		running.Go(func() { b.buy(ctx, t, c) })
	}
	selling := func(since time.Time) func() bool {
		return func() bool {
			return !slices.ContainsFunc(buyers, func(b *buyer) bool { return b.since(since).IsZero() })
		}
	}
	d.await(selling(time.Now()))
	d.await(selling(time.Now())) // again: each has some
	lost := map[int]bool{}
	loses := nodes[0]
	for _, node := range nodes {
		if has := d.partitionsOf(node, len(nodes) == 1); len(has) > len(lost) {
			lost, loses = has, node
		}
	}

	begun := time.Now()
	startEmpty(t, loses)
	restarted := time.Since(begun)
	d.await(selling(time.Now()))
	again := map[int]time.Duration{} // by partition that was lost, when its first unit was sold
	for _, b := range buyers {
		if p := b.cell.Partition(partitions); lost[p] {
			took := b.since(begun.Add(restarted)).Sub(begun)
			again[p] = min(took, cmp.Or(again[p], took))
		}
	}
	var first, last time.Duration
	for _, took := range again {
		first, last = min(took, cmp.Or(first, took)), max(last, took)
	}
	stop()
	running.Wait()
	var ids []stock.ReservationID
	for _, b := range buyers {
		for _, h := range b.all() {
			ids = append(ids, h.id)
		}
	}
	records, _, err := d.store().Reservations(t.Context(), ids)
	if err != nil {
		t.Fatal(err)
	}
	atRisk := 0
	for i := range records {
		if records[i].State != stock.StateHeld {
			atRisk++
		}
	}
	t.Logf("%d of %d partitions lost: shut for %v until the first unit was sold, %v until each partition sold, restart of %v included; %d of %d acknowledged units are not held",
		len(again), partitions, first.Round(time.Millisecond), last.Round(time.Millisecond), restarted.Round(time.Millisecond), atRisk, len(ids))
	if len(again) == 0 || last > sellsAgainWithin {
		t.Errorf("shut for %v, want %v at the most", last, sellsAgainWithin)
	}
	if atRisk > 0 {
		t.Errorf("%d acknowledged units are not held", atRisk)
	}
	d.settled()
	if r := d.reconcile(command.ExitDone); r.Summary.Verdict != "clean" || r.Summary.InSync != skus {
		t.Errorf("%+v: %v", r.Summary, r.Findings)
	}
}

// partitionsOf returns the partitions that a node has.
func (d *deployment) partitionsOf(node *local.Redis, alone bool) map[int]bool {
	d.t.Helper()
	has, store := map[int]bool{}, d.store()
	for p := range store.Partitions() {
		at, err := store.NodeOf(p)
		if err != nil {
			d.t.Fatal(err)
		}
		if alone || at == node.Addr {
			has[p] = true
		}
	}
	return has
}

// valueOf is the value of a flag in arguments.
func valueOf(args []string, flag string) string {
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, flag+"="); ok {
			return value
		}
	}
	return ""
}
