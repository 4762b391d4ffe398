package apptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
	"sluice/core/redis"
	"sluice/core/registry"
	"sluice/core/stock"
	"sluice/core/stock/redisstock"
)

const (
	clubSale  = 7
	clubSKUs  = 3 // each in a partition of its own
	clubUnits = 2000
	buyers    = 10 // at once

	// Users, by how they are registered.
	fromFile  = 1             // before the sale opens
	oneByOne  = 1_000_000     // by a service
	late      = 2_000_000     // by files, while the sale is open
	strangers = 1_000_000_000 // nobody registers them

	fileUsers = 2_000
	lateUsers = 40_000
)

// TestRegisteredUsersUnderFaults sells a sale for registered users only at two edges, while users are registered from
// files and one by one. A load and edges are killed, Redis loses its tail twice, and then everything. A user whose
// registration was answered never gets not_registered, nobody else ever holds a unit, and every request keeps its
// answer.
func TestRegisteredUsersUnderFaults(t *testing.T) {
	t.Parallel()
	c := newClub(t)
	for range 3 { // every edge knows all registered users at once, before the sale can open
		user := c.registerOne(t.Context(), 0)
		for edge := range c.edges {
			refused(c.as(edge, user).Reserve(t.Context(), client.Take{SKU: c.skus[0], Sale: clubSale, Quantity: 1}))(t, client.CodeNotOpen)
			refused(c.as(edge, strangers).Reserve(t.Context(), client.Take{SKU: c.skus[0], Sale: clubSale, Quantity: 1}))(t, client.CodeNotRegistered)
		}
	}
	c.s.Run("", "sale", "open", "7", "--yes")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for n := range buyers {
		all.Go(func() { c.shop(ctx, n) })
	}
	for n := range 3 {
		all.Go(func() {
			for i := n; ctx.Err() == nil; i++ {
				edge := i % len(c.edges)
				c.visit(ctx, &visit{user: c.registerOne(ctx, edge), member: true, key: "first", items: c.someItems(), first: 2 - edge})
			}
		})
	}
	c.goOn("at the opening", 0, 1)

	load := c.startLoad(late)
	within(t, time.Minute, func() bool { return c.rows(late) > 0 })
	must(t, load.Kill())
	must(t, c.edges[0].Kill())
	c.goOn("while one edge and a load are dead", 1)
	must(t, c.edges[0].Restart(t.Context()))
	c.load(late)
	c.goOn("after that", 0, 1)

	load = c.startLoad(late + lateUsers)
	c.loseTail()
	<-load.Done()
	c.load(late + lateUsers)
	c.goOn("after Redis lost its tail", 0, 1)

	must(t, c.edges[1].Kill())
	c.loseTail()
	c.goOn("after another loss, with one edge", 0)
	must(t, c.edges[1].Restart(t.Context()))
	c.goOn("with both", 0, 1)

	must(t, c.s.Redis.Kill())
	must(t, os.RemoveAll(filepath.Join(c.s.Redis.Dir, "appendonlydir")))
	must(t, c.s.Redis.Restart(t.Context()))
	c.goOn("after Redis was emptied and restored", 0, 1)

	c.deleteUsers()
	c.goOn("after somebody deleted all users from Redis", 0, 1)

	stop()
	all.Wait()
	settle(t, c.s, time.Now())
	c.askAgain()
	c.s.Drained(t, 30*time.Second)
	c.compare()
	c.s.Run("", "reconcile")
}

// club is a sale for registered users only.
type club struct {
	*testing.T

	s       *stack.Stack
	edges   []*stack.Process
	clients []*client.Client
	skus    []int64
	dir     string

	next          atomic.Int64 // of those who are registered one by one
	held, refused [2]atomic.Int64

	mu      sync.Mutex
	members []int64 // whose registration was acknowledged
	visits  []*visit
}

// visit is a request for units, with its answer.
type visit struct {
	user   int64
	member bool
	key    string
	items  []client.Item // one: a single reservation
	first  int           // the edge that is asked first, plus 1; 0: any

	held  bool
	state stock.State // of its reservations
}

func newClub(t *testing.T) *club {
	t.Helper()
	s := stack.New(t, "SLUICE_RATE_PER_ADDRESS=0", "SLUICE_RATE_PER_USER=0", "SLUICE_ACK=log", "SLUICE_RESTORE=auto")
	c := &club{T: t, s: s, dir: t.TempDir()}
	seen := map[int]bool{}
	lines, create := []string{"sku_id,quantity"}, []string{"sale", "create", "7", "--name", "club", "--registered-only", "--yes"}
	for sku := int64(1000); len(c.skus) < clubSKUs; sku++ {
		if p := (stock.Cell{SKU: sku, Pool: clubSale}).Partition(s.Store.Partitions()); !seen[p] {
			seen[p] = true
			c.skus = append(c.skus, sku)
			lines = append(lines, fmt.Sprintf("%d,%d", sku, 2*clubUnits))
			create = append(create, "--item", fmt.Sprintf("%d:%d", sku, clubUnits))
		}
	}
	s.LoadCSV(lines...)
	s.Run("", create...)
	s.Run(c.file(fromFile, fileUsers), "sale", "register", "7", "--yes", "--file", "-")
	c.join(fromFile, fileUsers)
	c.edges = []*stack.Process{s.StartEdge(), s.StartEdge()}
	s.StartPersister()
	for _, edge := range c.edges {
		cl, err := client.New(client.Config{URL: "http://" + edge.Addr(), Attempts: 1})
		must(t, err)
		t.Cleanup(cl.Close)
		c.clients = append(c.clients, cl)
	}
	return c
}

func (c *club) as(edge int, user int64) *client.Client {
	return c.clients[edge].As(c.s.Token(user, "shopper"))
}

func (c *club) file(from, users int64) string {
	var b strings.Builder
	for user := range users {
		fmt.Fprintln(&b, from+user)
	}
	return b.String()
}

// join notes that users are registered.
func (c *club) join(from, users int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for user := range users {
		c.members = append(c.members, from+user)
	}
}

func (c *club) anyMember() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.members[rand.IntN(len(c.members))]
}

// registerOne registers a user at an edge, or at the other one if that is down. It returns when an edge has said that it is done.
func (c *club) registerOne(ctx context.Context, edge int) int64 {
	user := oneByOne + c.next.Add(1)
	for ; ; edge = (edge + 1) % len(c.edges) {
		_, err := c.clients[edge].As(c.s.Token(1, "service")).RegisterUsers(context.WithoutCancel(ctx), clubSale, []int64{user})
		if p := new(client.Problem); errors.As(err, &p) && !p.Retryable {
			c.Errorf("user %d: %v", user, p)
			return user
		}
		if err == nil {
			c.join(user, 1)
			return user
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// startLoad begins to register users from a file.
func (c *club) startLoad(from int64) *stack.Process {
	c.Helper()
	path := filepath.Join(c.dir, fmt.Sprint(from))
	must(c.T, os.WriteFile(path, []byte(c.file(from, lateUsers)), 0o600))
	return stack.StartProcess(c.T, "load", c.s.Program("sale", "register", "7", "--yes", "--file", path))
}

// load registers users from a file, and repeats it until all of them are registered.
func (c *club) load(from int64) {
	c.Helper()
	within(c.T, time.Minute, func() bool {
		load := c.startLoad(from)
		<-load.Done()
		return load.ExitCode() == 0
	})
	c.join(from, lateUsers)
}

// rows returns how many users of a file MySQL has.
func (c *club) rows(from int64) int64 {
	c.Helper()
	return count(c.T, c.s, "SELECT COUNT(*) FROM registrations WHERE user_id BETWEEN ? AND ?", from, from+lateUsers-1)
}

func (c *club) someItems() (items []client.Item) {
	for _, i := range rand.Perm(clubSKUs)[:1+rand.IntN(2)] {
		items = append(items, client.Item{SKU: c.skus[i], Quantity: 1, Sale: clubSale})
	}
	if len(items) > 1 { // a basket, also with an item that anybody may take
		items = append(items, client.Item{SKU: c.skus[0], Quantity: 1})
	}
	return items
}

// goOn waits until members have got units, and others were refused, at each of some edges.
func (c *club) goOn(when string, edges ...int) {
	c.Helper()
	began := time.Now()
	var held, refused [2]int64
	for _, edge := range edges {
		held[edge], refused[edge] = c.held[edge].Load()+15, c.refused[edge].Load()+5
	}
	within(c.T, time.Minute, func() bool {
		for _, edge := range edges {
			if c.held[edge].Load() < held[edge] || c.refused[edge].Load() < refused[edge] {
				return false
			}
		}
		return true
	})
	c.Logf("%s: goes on after %v", when, time.Since(began).Round(time.Millisecond))
}

// loseTail kills Redis after somebody was registered and units were taken, and cuts the end of its append-only file off.
func (c *club) loseTail() {
	c.Helper()
	files, err := filepath.Glob(filepath.Join(c.s.Redis.Dir, "appendonlydir", "*.incr.aof"))
	if err != nil || len(files) != 1 {
		c.Fatal(files, err)
	}
	info, err := os.Stat(files[0])
	must(c.T, err)
	registered, held := c.next.Load(), c.held[0].Load()+c.held[1].Load()
	within(c.T, time.Minute, func() bool { return c.next.Load() > registered+3 && c.held[0].Load()+c.held[1].Load() > held+20 })
	must(c.T, c.s.Redis.Kill())
	must(c.T, os.Truncate(files[0], info.Size()))
	must(c.T, c.s.Redis.Restart(c.Context()))
}

// deleteUsers deletes the users of all partitions from Redis, as a wrong hand does.
func (c *club) deleteUsers() {
	c.Helper()
	cfg := redis.Config{Addrs: []string{c.s.Redis.Addr}, CallTimeout: time.Second}
	server, err := cfg.Client()
	must(c.T, err)
	defer server.Close()
	for _, of := range c.sets() {
		key := fmt.Sprintf("{p%d}:registered:%d", of.Partition, of.Sale)
		if n := one(server.Do(c.Context(), server.B().Unlink().Key(key).Build()).AsInt64())(c.T); n != 1 {
			c.Errorf("there is no %s", key)
		}
	}
}

// sets are those of the sale's users.
func (c *club) sets() (sets []redisstock.UserSet) {
	for _, sku := range c.skus {
		p := stock.Cell{SKU: sku, Pool: clubSale}.Partition(c.s.Store.Partitions())
		sets = append(sets, redisstock.UserSet{Partition: p, Sale: clubSale})
	}
	return sets
}

// askAgain repeats every request, each at one of the edges. The answers must be the same as before.
func (c *club) askAgain() {
	began := time.Now()
	visits := make(chan *visit)
	var all sync.WaitGroup
	for n := range buyers {
		all.Go(func() {
			for v := range visits {
				if _, answered := c.ask(c.Context(), n%len(c.edges), v); !answered {
					c.Errorf("request %s of user %d is not settled", v.key, v.user)
				}
			}
		})
	}
	for _, v := range c.visits {
		if keepsItsAnswer(v) {
			visits <- v
		}
	}
	close(visits)
	all.Wait()
	c.Logf("asked again within %v", time.Since(began).Round(time.Millisecond))
}

// keepsItsAnswer tells whether a request has the same answer at the end. A member who got no unit may get one by then. A basket
// that lost its record with Redis is decided anew: it is not held any more if its lines were released.
func keepsItsAnswer(v *visit) bool {
	if !v.held {
		return !v.member
	}
	return len(v.items) == 1 || v.state != stock.StateReleased
}

// compare compares all answers with Redis and MySQL.
func (c *club) compare() {
	c.Helper()
	want := map[stock.Cell]stock.Balances{}
	held, left := 0, 0
	for _, v := range c.visits {
		if v.held {
			held++
		}
		records, _, err := c.s.Store.Reservations(c.Context(), c.ids(v))
		must(c.T, err)
		for _, r := range records {
			b := want[r.Cell]
			switch r.State {
			case stock.StateHeld:
				b.Held += r.Quantity
			case stock.StateConfirmed:
				b.Sold += r.Quantity
			}
			want[r.Cell] = b
			switch {
			case v.held && r.State == v.state, !v.held && r.State != stock.StateHeld && r.State != stock.StateConfirmed:
			case !v.held && len(v.items) > 1 && r.State == stock.StateHeld && (v.member || r.Cell.Pool == 0):
				left++ // until its deadline: Redis lost the record of a refused basket before its lines were given back
			default:
				c.Errorf("request %s of user %d: held %v, to be %v, and is %+v", v.key, v.user, v.held, v.state, r)
			}
		}
	}
	var cells []stock.Cell
	for _, sku := range c.skus {
		cells = append(cells, stock.Cell{SKU: sku}, stock.Cell{SKU: sku, Pool: clubSale})
	}
	states, _, err := c.s.Store.Cells(c.Context(), cells)
	must(c.T, err)
	for _, s := range states {
		if b := want[s.Cell]; s.Held != b.Held || s.Sold != b.Sold || s.Total != clubUnits {
			c.Errorf("%v: %+v, and the requests have %d held and %d sold", s.Cell, s.Balances, b.Held, b.Sold)
		}
	}
	expect(c.T, c.s, "reservations of users who are not registered", 0, "SELECT COUNT(*) FROM reservations WHERE user_id >= ? AND pool = ?", strangers, clubSale)
	members := int64(len(c.members))
	expect(c.T, c.s, "registered users", members, "SELECT COUNT(*) FROM registrations WHERE sale_id = ?", clubSale)
	counts, err := c.s.Store.CountUsers(c.Context(), c.sets())
	must(c.T, err)
	for i, n := range counts {
		if n != members {
			c.Errorf("%+v has %d users of %d", c.sets()[i], n, members)
		}
	}
	if found, err := registry.New(c.s.DB, c.s.Store).Compare(c.Context(), 0); len(found) > 0 || err != nil {
		c.Errorf("registered users differ: %+v, error %v", found, err)
	}
	c.Logf("%d requests, %d of them held; %d lines of refused baskets are left; %d registered users, %d of them one by one", len(c.visits), held, left,
		members, c.next.Load())
}
