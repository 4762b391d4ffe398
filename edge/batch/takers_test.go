package batch

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sluice/core/stock"
)

// never is an edge that never waits for its cores.
func never(time.Time) time.Duration { return 0 }

// heard is a call's group that takes units, with what it found when it came and how long it has waited.
func heard(found int64, waited time.Duration, ended time.Time) []*group {
	g := newGroup(1)
	g.open(stock.OpReserve, 0)
	g.found, g.since = found, ended.Add(-waited)
	return []*group{g}
}

func limited(limit int64) *takers {
	c := &takers{target: 100 * time.Millisecond, least: 256, most: 8192, starved: never}
	c.limit.Store(limit)
	return c
}

func TestLimitFollowsTheWait(t *testing.T) {
	t.Parallel()
	f := func(why string, limit, found int64, waited time.Duration, want int64) {
		t.Helper()
		c := limited(limit)
		now := time.Now()
		c.learn(heard(found, waited, now), now)
		if got := c.limit.Load(); got != want {
			t.Errorf("%s: from %d to %d, want %d", why, limit, got, want)
		}
	}
	f("twice the wait: half as many", 4000, 4000, 200*time.Millisecond, 2000)
	f("a little more", 4000, 4000, 125*time.Millisecond, 3200)
	f("a moment's stop costs half at most", 4000, 300, time.Second, 2000)
	f("a wait among few says nothing: so many get in anyway", 4000, 256, time.Second, 4000)
	f("vectors stay full", 300, 300, time.Second, 256)
	f("half the wait: twice as many", 1000, 1000, 50*time.Millisecond, 2000)
	f("and no more than that", 1000, 1000, time.Microsecond, 2000)
	f("few requests prove nothing", 1000, 10, time.Millisecond, 1000)
	f("nor does no time", 1000, 1000, 0, 2000)
	f("the queue has its own bound", 8000, 8000, time.Millisecond, 8192)
}

// A server that refuses everything at once, because it loads its data or has just become a replica, has decided nothing. If
// that counted as speed, all of the queue would be there when it works again. Calls that end without an answer still tell
// that it is slow.
func TestFailedCallsRaiseNoLimit(t *testing.T) {
	t.Parallel()
	f := func(why string, err error, waited time.Duration, want int64) {
		t.Helper()
		c := limited(1000)
		now := time.Now()
		call := heard(1000, waited, now)
		call[0].vector.Err = err
		c.learn(call, now)
		if got := c.limit.Load(); got != want {
			t.Errorf("%s: from 1000 to %d, want %d", why, got, want)
		}
	}
	f("decided at once", nil, time.Millisecond, 2000)
	f("refused at once", stock.ErrNotApplied, time.Millisecond, 1000)
	f("a connection that breaks at once", stock.ErrUnknown, time.Millisecond, 1000)
	f("no answer for long", stock.ErrUnknown, 200*time.Millisecond, 500)
	f("refused after long", stock.ErrNotApplied, 125*time.Millisecond, 800)
}

// What an edge spends waiting for its own cores excuses half of a wait at most, and raises no limit.
func TestOwnCoresLowerNoLimit(t *testing.T) {
	t.Parallel()
	f := func(waited, starved time.Duration, want int64) {
		t.Helper()
		c, now := limited(2000), time.Now()
		c.starved = func(time.Time) time.Duration { return starved }
		if c.learn(heard(2000, waited, now), now); c.limit.Load() != want {
			t.Errorf("%v, of that %v for cores: from 2000 to %d, want %d", waited, starved, c.limit.Load(), want)
		}
	}
	const ms = time.Millisecond
	f(160*ms, 0, 1250)
	f(160*ms, 35*ms, 1600)
	f(160*ms, 60*ms, 2000)
	f(200*ms, time.Second, 2000)
	f(250*ms, time.Second, 1600)
	f(100*ms, time.Second, 2000)
	f(50*ms, 10*ms, 4000)
}

// TestOneStopHalvesTheLimitOnce has the calls that were in flight when a server stood still return together, and then those
// of requests that had waited for them.
func TestOneStopHalvesTheLimitOnce(t *testing.T) {
	t.Parallel()
	c, now := limited(8192), time.Now()
	stopped := func(calls int) {
		for range calls {
			c.learn(heard(4000, time.Second, now), now)
			now = now.Add(time.Millisecond)
		}
	}
	if stopped(12); c.limit.Load() != 4096 {
		t.Errorf("a stop made the limit %d, want half of 8192", c.limit.Load())
	}
	now = now.Add(c.target)
	if stopped(12); c.limit.Load() != 2048 {
		t.Errorf("a server that is slow for longer made the limit %d, want half of 4096", c.limit.Load())
	}
}

// newBusyStage makes a stage that carries so many requests a second, and a cell that is never sold out. What each request takes can
// be changed.
func newBusyStage(t *testing.T, carried int) (st *stage, cell stock.Cell, perRequest *atomic.Int64) {
	t.Helper()
	perRequest = &atomic.Int64{}
	perRequest.Store(int64(time.Second) / int64(carried))
	st, cell = newStage(t, Config{ShedAfter: 200 * time.Millisecond}), sku(0)
	st.served(perRequest)
	st.load(cell, 1_000_000, stock.Settings{})
	return st, cell, perRequest
}

// served makes the model take so long for each request of a call, one call after the other.
func (st *stage) served(perRequest *atomic.Int64) {
	turn := make(chan struct{}, 1)
	st.store.before = func(_ int, vectors []*stock.Vector) {
		turn <- struct{}{}
		for _, v := range vectors {
			time.Sleep(time.Duration(perRequest.Load()) * time.Duration(len(v.Requests)))
		}
		<-turn
	}
}

// offer sends requests of each of the users in turn, so many per second, for a time. It counts each user's answers that
// came within a second.
func (st *stage) offer(cell stock.Cell, perSecond int, lasting time.Duration, userOf func(i int) int64) (ok map[int64]int, slowest time.Duration) {
	type got struct {
		user int64
		took time.Duration
		ok   bool
	}
	n := int(lasting.Seconds() * float64(perSecond))
	answers := make(chan got, n)
	for i := range n {
		user := userOf(i)
		go func() {
			start := time.Now()
			a := st.reserve(take(cell, user, fmt.Sprint(start.UnixNano(), " ", i)))
			answers <- got{user, time.Since(start), a.kind() == "ok"}
		}()
		time.Sleep(time.Second / time.Duration(perSecond))
	}
	ok = map[int64]int{}
	for range n {
		a := <-answers
		if a.ok && a.took < time.Second {
			ok[a.user]++
		}
		if a.ok {
			slowest = max(slowest, a.took)
		}
	}
	return ok, slowest
}

func total(counts map[int64]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// TestOverloadKeepsTheRate offers five times what a server carries: it works on at its full rate, and whoever gets in waits
// about as long as the target says. When the server is slow for a while, the lane finds its size again.
func TestOverloadKeepsTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const carried = 2000
		st, cell, perRequest := newBusyStage(t, carried)
		alone := func(i int) int64 { return int64(i + 1) }
		st.offer(cell, 5*carried, 2*time.Second, alone)

		ok, slowest := st.offer(cell, 5*carried, 5*time.Second, alone)
		if got := total(ok); got < 5*carried*9/10 {
			t.Errorf("%d of %d were served in time", got, 5*carried)
		}
		if slowest > 400*time.Millisecond {
			t.Errorf("one waited for %v", slowest)
		}
		perRequest.Store(10 * perRequest.Load())
		st.offer(cell, carried, 2*time.Second, alone)
		perRequest.Store(perRequest.Load() / 10)
		ok, _ = st.offer(cell, 5*carried, 5*time.Second, alone)
		if got := total(ok); got < 5*carried*9/10 {
			t.Errorf("after the server was slow %d of %d were served in time", got, 5*carried)
		}
	})
}

// TestUsersShareAnOverload has one user who asks as often as all others, who ask for half of what the server carries: each
// of them gets in, as if nobody else asked.
func TestUsersShareAnOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const carried, greedy = 2000, 1
		st, cell, _ := newBusyStage(t, carried)
		var asked int
		users := func(i int) int64 {
			if i%10 > 0 {
				return greedy
			}
			asked++
			return int64(2 + i)
		}
		st.offer(cell, 5*carried, 2*time.Second, users)
		asked = 0
		ok, _ := st.offer(cell, 5*carried, 5*time.Second, users)
		others := total(ok) - ok[greedy]
		t.Logf("%d of %d others got in, and %d of the greedy user", others, asked, ok[greedy])
		if others < asked*95/100 {
			t.Errorf("%d of %d others got in", others, asked)
		}
		if total(ok) < 5*carried*9/10 {
			t.Errorf("%d of %d were served: what the others leave is the greedy user's", total(ok), 5*carried)
		}
	})
}

// TestOneUserWithManyConnections has a user ask again and again over 1000 connections, and 1000 users who ask once a second over one
// each. These ask for half of what the server carries, and get it as soon as the lane has found its size.
func TestOneUserWithManyConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const carried, greedy, many = 2000, 1, 1000
		st, cell, _ := newBusyStage(t, carried)
		begun := time.Now()
		until := begun.Add(8 * time.Second)
		var asked, got, greedyGot atomic.Int64
		var connections sync.WaitGroup
		ask := func(user int64, k int, every time.Duration, count func(ok bool)) {
			for n := 0; time.Now().Before(until); n++ {
				counts := time.Since(begun) > 3*time.Second
				a := st.reserve(take(cell, user, fmt.Sprint(k, " ", n)))
				if counts {
					count(a.kind() == "ok")
				}
				time.Sleep(every)
			}
		}
		for k := range many {
			connections.Go(func() {
				ask(greedy, k, 20*time.Millisecond, func(ok bool) {
					if ok {
						greedyGot.Add(1)
					}
				})
			})
			connections.Go(func() {
				time.Sleep(time.Duration(k) * time.Second / many)
				ask(int64(2+k), k, time.Second, func(ok bool) {
					asked.Add(1)
					if ok {
						got.Add(1)
					}
				})
			})
		}
		connections.Wait()
		t.Logf("%d of %d requests of the others got in, and %d of the greedy user", got.Load(), asked.Load(), greedyGot.Load())
		if got.Load() < asked.Load()*95/100 {
			t.Errorf("%d of %d requests of users with one connection got in", got.Load(), asked.Load())
		}
		if served := got.Load() + greedyGot.Load(); served < 5*carried*9/10 {
			t.Errorf("%d of %d were served: what the others leave is the greedy user's", served, 5*carried)
		}
	})
}

// TestSettlingIsNotShed fills a lane with requests that take: who settles is let in.
func TestSettlingIsNotShed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{QueueMax: 10})
		cell := sku(0)
		st.load(cell, 100, stock.Settings{})
		held := st.reserve(take(cell, 1, "held"))
		release := st.stall()
		crowd := st.reserveAll(cell, 10, 20)
		synctest.Wait()
		if got := st.reserve(take(cell, 2, "k")).kind(); got != errorOf(ErrFull) {
			t.Fatalf("a reserve in a full lane: %s", got)
		}
		for what, err := range map[string]error{"any": st.Room(), "of the cell": st.RoomFor(cell)} {
			if !errors.Is(err, ErrFull) {
				t.Errorf("room for a reserve %s: %v", what, err)
			}
		}
		if err := st.RoomFor(sku(1)); !errors.Is(err, ErrFull) { // the same server
			t.Errorf("room for another cell: %v", err)
		}
		settled := make(chan answer, 1)
		go func() { settled <- st.do(stock.OpConfirm, &stock.Request{ID: held.Reservation.ID}) }()
		synctest.Wait()
		release()
		if got := (<-settled).kind(); got != "ok" {
			t.Errorf("the confirm: %s", got)
		}
		crowd.wg.Wait()
		if err := st.Room(); err != nil {
			t.Errorf("when all is done: %v", err)
		}
	})
}

// TestBegunBasketsAreDecided fills the room of those who settle: a basket that has begun is decided, and given back.
func TestBegunBasketsAreDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st, cell := newStage(t, Config{QueueMax: 10}), sku(0)
		st.load(cell, 100, stock.Settings{})
		held := st.reserve(take(cell, 1, "held"))
		b, home := basketOf(t, "k", cell)
		release := st.stall()
		confirm := func() { st.do(stock.OpConfirm, &stock.Request{ID: held.Reservation.ID}) }
		go confirm()
		synctest.Wait() // it is in a call, and leaves its place to another
		for range 10 {
			go confirm()
		}
		synctest.Wait()
		if got := st.do(stock.OpConfirm, &stock.Request{ID: held.Reservation.ID}).kind(); got != errorOf(ErrFull) {
			t.Fatalf("a confirm where many settle: %s", got)
		}
		answered := make(chan error, 2)
		for op, requests := range map[stock.Op][]stock.Request{
			stock.OpDecide: {{ID: b.ID(), Part: &stock.Part{Home: b, To: stock.BasketHeld}}}, stock.OpVoid: home,
		} {
			go func() {
				_, err := st.DoPart(op, requests)
				answered <- err
			}()
		}
		synctest.Wait()
		release()
		for range cap(answered) {
			if err := <-answered; err != nil {
				t.Errorf("a step of a basket that has begun: %v", err)
			}
		}
	})
}

// TestBegunBasketsGoOn fills a lane, and shares it: the part of a basket at home is shed, and the parts elsewhere of one that has
// begun are let in.
func TestBegunBasketsGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, Config{QueueMax: 10})
		cells := skus(0, 3)
		for _, cell := range cells {
			st.load(cell, 100, stock.Settings{})
		}
		release := st.stall()
		crowd := st.reserveAll(cells[0], 10, 20)
		synctest.Wait()
		_, home := basketOf(t, "one", cells...)
		if got := st.gather(home); got != errorOf(ErrFull) {
			t.Errorf("a basket that begins in a full lane: %s", got)
		}
		_, away := basketOf(t, "another", cells...)
		part := &stock.Part{}
		for i := range away {
			away[i].Part = part
		}
		gone := make(chan string, 1)
		go func() { gone <- st.gather(away) }()
		synctest.Wait()
		release()
		if got := <-gone; got != "ok ok ok" {
			t.Errorf("a part of a basket that has begun: %s", got)
		}
		crowd.wg.Wait()
		if err := st.Room(); err != nil {
			t.Errorf("when all is done: %v", err)
		}
	})
}
