package api

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/basket"
	"sluice/core/problem"
	"sluice/core/stock"
)

// detailSpent tells a caller how to ask for the basket again.
const detailSpent = "The basket is refused, and its key is spent: only a request with a new key may succeed."

// holdBasket holds the lines of a basket, all or none.
func (a *API) holdBasket(r *request) error {
	if err := a.Decider.Room(); err != nil {
		return err
	}
	body, key, err := keyedBody[basketBody](a, r, shoppersOrServices)
	if err != nil {
		return err
	}
	if a.SalesOnly && r.who.Role == auth.RoleShopper {
		return errSalesOnly
	}
	user, err := r.actsFor(int64(of(body.User)))
	if err != nil {
		return err
	}
	b, err := stock.NewBasket(user, key, body.Items.lines(), a.Reader.Partitions())
	if wrong := new(stock.ItemError); errors.As(err, &wrong) {
		return malformed(fmt.Sprintf("/items/%d/quantity", wrong.Item), "%s", wrong)
	}
	if err != nil {
		return err
	}
	if err := a.screenBasket(&b, body.Items); err != nil {
		return err
	}
	if err := a.allServe(&b); err != nil {
		return err
	}
	result, err := basket.Decide(&b, a.askParts, a.Between)
	if err != nil {
		return err
	}
	if result.State != stock.BasketHeld {
		return refusalOfBasket(&b, body.Items, &result)
	}
	r.answerWrite(fasthttp.StatusCreated, !result.First, a.appendBasket(r.out[:0], &b, body.Items, &result, r.who.Role))
	r.locate("/v1/reservations/", b.ID())
	return nil
}

// screenBasket refuses a basket with a SKU that does not exist, or of a user who is not registered for a sale. Such a
// refusal is not recorded, so the same basket may be held when the SKU is loaded or the user is registered. The
// sold-out screen does not answer baskets: Redis records that refusal, so without a record another edge could give the
// same request another answer.
func (a *API) screenBasket(b *stock.Basket, items basketItems) error {
	for i := range b.Lines {
		l := &b.Lines[i]
		mayExist, err := a.Known.MayExist(context.Background(), l.Cell, false) // bounds its own time
		if err != nil {
			return err
		}
		if !mayExist {
			return &problem.Problem{Kind: problem.NotLoaded, Pointer: items.pointer(l.Cell)}
		}
		if l.Cell.Pool != 0 && !a.Registered.May(l.Cell.Pool, b.User) {
			return &problem.Problem{Kind: problem.NotRegistered, Pointer: items.pointer(l.Cell)}
		}
	}
	return nil
}

// allServe fails while the lines of a partition cannot be taken. Such a basket is not begun: nobody could decide it, and its
// other lines would hold their units until their deadlines.
func (a *API) allServe(b *stock.Basket) error {
	for _, part := range b.Parts() {
		if err := a.Serves(part[0].ID.Partition()); err != nil {
			return err
		}
	}
	return nil
}

// askParts decides the calls of a step at once.
func (a *API) askParts(calls []basket.Call) []basket.Answer {
	answers := make([]basket.Answer, len(calls))
	var asking sync.WaitGroup
	for i := range calls[1:] {
		asking.Go(func() { answers[i+1] = a.askPart(&calls[i+1]) })
	}
	answers[0] = a.askPart(&calls[0])
	asking.Wait()
	return answers
}

func (a *API) askPart(c *basket.Call) (answer basket.Answer) {
	defer func() { // Serve recovers on its own goroutine only
		if p := recover(); p != nil {
			answer.Err = fmt.Errorf("deciding a part of a basket panicked: %v", p)
		}
	}()
	results, err := a.Decider.DoPart(c.Op, c.Requests)
	if err != nil {
		return basket.Answer{Err: err}
	}
	answer = basket.Answer{TimeMS: results[0].TimeMS, Outcomes: make([]stock.Outcome, len(results))}
	for i := range results {
		answer.Outcomes[i] = results[i].Outcome
		a.tellScreens(&c.Requests[i], &results[i])
	}
	return answer
}

// refusalOfBasket returns the problem of the line that is refused. If the basket was not begun, the caller may ask for
// it again.
func refusalOfBasket(b *stock.Basket, items basketItems, result *basket.Result) error {
	p := &problem.Problem{Kind: kindOf(result.Refusal)}
	if result.Line < len(b.Lines) {
		p.Pointer = items.pointer(b.Lines[result.Line].Cell)
	}
	if result.State == stock.BasketNone {
		return p
	}
	p.Spent, p.Detail = true, detailSpent
	if p.Kind == problem.NotOpen {
		p.RetryAfter = opensUnknown
	}
	return p
}

// appendBasket appends a held basket, its reservations in the order of the items. It ends when the first of them expires.
func (a *API) appendBasket(dst []byte, b *stock.Basket, items basketItems, result *basket.Result, role auth.Role) []byte {
	id := b.ID()
	dst = append(dst, `{"basket_id":"`...)
	dst = hex.AppendEncode(dst, id[:])
	dst = append(dst, `","state":"held"`...)
	expiresMS := int64(0)
	for i := range result.Lines {
		r := &result.Lines[i].Reservation
		if r.State == stock.StateHeld && (expiresMS == 0 || r.DeadlineMS < expiresMS) {
			expiresMS = r.DeadlineMS
		}
	}
	dst = appendMoment(dst, `,"expires_at":"`, expiresMS)
	dst = append(dst, `,"reservations":[`...)
	for i := range items {
		cell := items[i].cell()
		k := slices.IndexFunc(b.Lines, func(l stock.Line) bool { return l.Cell == cell }) // the cell of an item has a line
		res := &result.Lines[k].Reservation
		if items.first(cell) != i || res.State == stock.StateNone {
			continue
		}
		if dst[len(dst)-1] != '[' {
			dst = append(dst, ',')
		}
		dst = appendReservation(dst, res, result.TimeMS, role == auth.RoleService)
	}
	return append(dst, "]}"...)
}
