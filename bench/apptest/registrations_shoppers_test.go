package apptest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"sluice/core/client"
	"sluice/core/stock"
)

// shop asks for one thing after the other.
func (c *club) shop(ctx context.Context, n int) {
	for i := 0; ctx.Err() == nil; i++ {
		v := &visit{key: fmt.Sprintf("%d.%d", n, i), items: c.someItems()}
		if rand.IntN(3) == 0 {
			v.user = strangers + rand.Int64N(1000)
		} else {
			v.user, v.member = c.anyMember(), true
		}
		c.visit(ctx, v)
	}
}

// visit repeats a request at any edge until it is answered. Then it releases or confirms most of the reservations.
func (c *club) visit(ctx context.Context, v *visit) {
	c.mu.Lock()
	c.visits = append(c.visits, v)
	c.mu.Unlock()
	began := time.Now()
	for time.Since(began) < time.Minute {
		edge := rand.IntN(len(c.edges))
		if v.first > 0 {
			edge, v.first = v.first-1, 0
		}
		code, answered := c.ask(ctx, edge, v)
		if !answered {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		switch {
		case v.held:
			c.held[edge].Add(1)
			c.settle(ctx, v, []stock.State{stock.StateHeld, stock.StateConfirmed, stock.StateReleased, stock.StateReleased}[rand.IntN(4)])
		case code == client.CodeNotRegistered:
			c.refused[edge].Add(1)
		}
		return
	}
	c.Errorf("request %s of user %d got no answer", v.key, v.user)
}

// ask asks an edge. It returns false if the request has to be repeated.
func (c *club) ask(ctx context.Context, edge int, v *visit) (code client.Code, answered bool) {
	ctx, cl := context.WithoutCancel(ctx), c.as(edge, v.user)
	var err error
	if one := v.items[0]; len(v.items) == 1 {
		_, err = cl.Reserve(ctx, client.Take{SKU: one.SKU, Sale: one.Sale, Quantity: 1, Key: v.key})
	} else {
		_, err = cl.HoldBasket(ctx, client.Basket{Items: v.items, Key: v.key})
	}
	code = client.CodeOf(err)
	p := new(client.Problem)
	switch {
	case err == nil && !v.member:
		c.Errorf("user %d is not registered, and holds %+v", v.user, v.items)
	case code == client.CodeNotRegistered && v.member:
		c.Errorf("user %d is registered, and refused: %v", v.user, err)
	case err != nil && (!errors.As(err, &p) || p.Retryable):
		return code, false
	case v.held && err != nil:
		c.Errorf("request %s of user %d was held, and now gets %v", v.key, v.user, err)
	case !v.member && len(v.items) == 1 && code != client.CodeNotRegistered:
		c.Errorf("user %d is not registered, and gets %v", v.user, err)
	}
	v.held = v.held || err == nil
	return code, true
}

// settle confirms or releases the reservations of a visit, and repeats that until it is done.
func (c *club) settle(ctx context.Context, v *visit, to stock.State) {
	v.state = to
	var ids []string
	for _, id := range c.ids(v) {
		ids = append(ids, id.String())
	}
	service := c.s.Token(1, "service")
	for attempt := 0; to != stock.StateHeld; attempt++ {
		cl := c.clients[attempt%len(c.edges)].As(service)
		do := cl.ReleaseAll
		if to == stock.StateConfirmed {
			do = cl.ConfirmAll
		}
		done, err := do(context.WithoutCancel(ctx), ids)
		for _, one := range done {
			if one.Problem != nil && err == nil {
				err = one.Problem
			}
		}
		if err == nil {
			return
		}
		if p := new(client.Problem); errors.As(err, &p) && !p.Retryable {
			c.Errorf("request %s of user %d: %v", v.key, v.user, err)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// ids returns the ids of a visit's reservations.
func (c *club) ids(v *visit) []stock.ReservationID {
	return idsOf(c.T, c.s, client.Basket{Items: v.items, User: v.user, Key: v.key})
}
