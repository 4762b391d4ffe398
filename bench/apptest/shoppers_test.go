package apptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"sluice/bench/stack"
	"sluice/core/client"
)

// crowd is shoppers who share a few connections to the edges. Every shopper tries twice, the second
// time at the next edge; who was cut off repeats the request under the same key until an edge answers.
type crowd struct {
	t     *testing.T
	edges []*client.Client
	token func(user int64, role string) string
	// accepted is called for every reservation that is promised for the first time.
	accepted func()

	mu        sync.Mutex
	purchases map[string]purchase // by reservation id
	counts    map[string]int      // answers by code or outcome
	cutOff    int                 // requests that were sent and got no answer
	settled   int                 // of those, decided before the cut and given that answer when repeated
}

// purchase is one thing a shopper was promised.
type purchase struct {
	user, sku, quantity int64
	state               client.State
}

func newCrowd(t *testing.T, edges []*stack.Process, token func(int64, string) string) *crowd {
	t.Helper()
	c := &crowd{t: t, token: token, purchases: map[string]purchase{}, counts: map[string]int{}}
	for _, edge := range edges {
		one, err := client.New(client.Config{URL: "http://" + edge.Addr(), Attempts: 1, Timeout: 10 * time.Second, AtOnce: members})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(one.Close)
		c.edges = append(c.edges, one)
	}
	return c
}

// ask makes a call, beginning at an edge and going on to the next one after each cut: with the same key
// it is the same call wherever it arrives. Answers that promise nothing (overload, an unknown outcome)
// are repeated as well.
func (c *crowd) ask(edge int, token, key string, call func(*client.Client) (client.Reservation, error)) (client.Reservation, error) {
	cut := false
	deadline := time.Now().Add(2 * time.Minute)
	for attempt := 0; time.Now().Before(deadline); attempt++ {
		r, err := call(c.edges[(edge+attempt)%len(c.edges)].As(token))
		if cut && r.Replayed {
			c.count("settled by repeating", &c.settled)
		}
		problem, unknown := new(client.Problem), new(client.UnknownError)
		if errors.As(err, &unknown) {
			err = unknown.Cause
		}
		switch {
		case err == nil, errors.As(err, &problem) && problem.Status < 500:
			return r, err
		case problem.Code != "":
			c.count(string(problem.Code), nil)
		case unknown.Key != "" && !cut:
			cut = true
			c.count("cut off", &c.cutOff)
		}
		pause(attempt)
	}
	c.t.Errorf("with key %s no edge answered within two minutes", key)
	return client.Reservation{}, context.DeadlineExceeded
}

// pause backs off from an edge that asked for it, or is down.
func pause(attempt int) {
	limit := min(1<<min(attempt, 8), 200)
	timer := time.NewTimer(time.Duration(1+rand.IntN(limit)) * time.Millisecond)
	<-timer.C
}

func (c *crowd) count(what string, also *int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
	if also != nil {
		*also++
	}
}

// buy reserves units for a user, and remembers what was promised.
func (c *crowd) buy(edge int, user, sku, quantity int64, key string) (client.Reservation, error) {
	r, err := c.ask(edge, c.token(user, "shopper"), key, func(edge *client.Client) (client.Reservation, error) {
		return edge.Reserve(c.t.Context(), client.Take{SKU: sku, Quantity: quantity, Key: key})
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.counts[string(client.CodeOf(err))]++
		return r, err
	case r.Replayed:
		c.counts["replayed"]++
	default:
		c.counts["reserved"]++
	}
	if r.SKU != sku || r.Quantity != quantity {
		c.t.Errorf("user %d asked for %d of SKU %d and got %+v", user, quantity, sku, r)
	}
	before, known := c.purchases[r.ID]
	if known && before.user != user {
		c.t.Errorf("reservation %s was given to users %d and %d", r.ID, before.user, user)
	}
	if !known && c.accepted != nil {
		c.accepted()
	}
	c.purchases[r.ID] = purchase{user: user, sku: sku, quantity: quantity, state: r.State}
	return r, nil
}

// tryTwice lets a shopper of the hot SKU ask two edges. Every other shopper asks both with the same key. One key must
// have one answer.
func (c *crowd) tryTwice(user, sku int64) {
	edge := int(user) % len(c.edges)
	key := fmt.Sprintf("buy-%d", user)
	first, err := c.buy(edge, user, sku, 1, key)
	sameKey := user%2 == 0
	if !sameKey {
		key += "-again"
	}
	second, err2 := c.buy(edge+1, user, sku, 1, key)
	switch {
	case err != nil:
	case sameKey && (err2 != nil || second.ID != first.ID || !second.Replayed):
		c.t.Errorf("user %d was given %s first and answered %+v, %v under the same key", user, first.ID, second, err2)
	case !sameKey && err2 == nil:
		c.t.Errorf("user %d got a second unit in spite of the limit: %+v", user, second)
	}
}

// confirm pays for a reservation, as the order service would.
func (c *crowd) confirm(edge int, reservation string) {
	r, err := c.ask(edge, c.token(1, "service"), reservation, func(edge *client.Client) (client.Reservation, error) {
		return edge.Confirm(c.t.Context(), reservation)
	})
	if err != nil || r.State != client.StateConfirmed {
		c.t.Errorf("confirm %s: %+v, %v", reservation, r, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts["confirmed"]++
	p := c.purchases[reservation]
	p.state = r.State
	c.purchases[reservation] = p
}
