package api

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/problem"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// stockMaxAge is how old the settings and counters may be that are shown or used without Redis.
const stockMaxAge = time.Second

var (
	errUserMissing      = &problem.Problem{Kind: problem.Malformed, Pointer: "/user_id", Detail: "a service says for whom it acts"}
	errUserUnwanted     = &problem.Problem{Kind: problem.Forbidden, Pointer: "/user_id", Detail: "only a service acts for another user"}
	errSalesOnly        = &problem.Problem{Kind: problem.Forbidden, Detail: "shoppers hold and buy in sales only: name one, or let a service act for you"}
	errNoShopperDeducts = &problem.Problem{Kind: problem.Forbidden, Detail: "shoppers may deduct only in a sale that allows it"}
)

func (a *API) reserve(r *request) error { return a.take(r, stock.OpReserve) }

func (a *API) deduct(r *request) error { return a.take(r, stock.OpDeduct) }

// take reserves or deducts. It is the hot path. Its checks run in the order of their cost. Each refusal before the Decider
// is one that Redis would give too, or it sheds load: before it reads the body where it can, and before it checks a
// signature where it cannot. Without room it still says sold_out if that is certain: this is the truth, and ends the matter,
// where a shopper who is shed comes again.
func (a *API) take(r *request, op stock.Op) error {
	full := a.Decider.Room()
	if full != nil && !a.SoldOut.Any() {
		return full
	}
	body, err := r.body()
	if err != nil {
		return err
	}
	key, err := r.head.key(&r.keyBuf)
	if err != nil {
		return err
	}
	var asked taking
	if err := asked.decode(&r.scan, body); err != nil {
		return err
	}
	cell := asked.cell()
	if full == nil {
		full = a.Decider.RoomFor(cell)
	}
	if full != nil && !a.SoldOut.Maybe(cell) {
		return full
	}
	if err := a.admit(r, shoppersOrServices); err != nil {
		return err
	}
	user, err := r.actsFor(asked.user)
	if err != nil {
		return err
	}
	if a.SalesOnly && cell.Pool == 0 && r.who.Role == auth.RoleShopper {
		return errSalesOnly
	}
	id := stock.Identity{User: user, Route: op, Cell: cell, Key: view(key)}.ID(a.Reader.Partitions())
	soldOut := a.SoldOut.Certain(cell, id) // costs nothing while nothing is sold out; if the cell is, no other check is needed
	if !soldOut && full != nil {
		return full
	}
	if !soldOut {
		mayExist, err := a.Known.MayExist(context.Background(), cell, false) // bounds its own time
		if err != nil {
			return err
		}
		if !mayExist {
			return errNotLoaded
		}
	}
	if cell.Pool != 0 && !a.Registered.May(cell.Pool, user) { // Redis says so too, whatever else is to be said of the cell
		return errNotRegistered
	}
	if op == stock.OpDeduct && r.who.Role == auth.RoleShopper {
		if err := a.mayDeduct(cell, id); err != nil {
			return err
		}
	}
	if soldOut {
		return errSoldOut
	}
	wanted := stock.Request{
		ID: id, Cell: cell, User: user, Quantity: asked.quantity,
		Fingerprint: stock.FingerprintOf(asked.quantity),
	}
	res, err := a.Decider.Do(op, wanted)
	if err != nil {
		return err
	}
	if err := a.refusalOf(&wanted, &res); err != nil {
		return err
	}
	r.answerReservation(fasthttp.StatusCreated, replayed(&res), &res)
	r.locate("/v1/reservations/", id)
	return nil
}

// actsFor returns the user who will own the reservation: the shopper, or the user whom a service names.
func (r *request) actsFor(named int64) (int64, error) {
	if r.who.Role == auth.RoleService {
		if named == 0 {
			return 0, errUserMissing
		}
		return named, nil
	}
	if named != 0 {
		return 0, errUserUnwanted
	}
	return r.who.Subject, nil
}

// mayDeduct checks that shoppers may deduct from a cell. It lets a cell that does not exist pass, because Redis refuses
// it. It also lets a deduction that exists pass: the first answer stands, whatever the sale allows now.
func (a *API) mayDeduct(cell stock.Cell, id stock.ReservationID) error {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	state, _, err := a.Cells.State(ctx, cell, stockMaxAge)
	if err != nil {
		return problemOfRead(err)
	}
	if !state.Loaded || state.ShopperDeducts {
		return nil
	}
	found, _, err := a.Reader.Reservations(ctx, []stock.ReservationID{id})
	if err != nil {
		return problemOfRead(err)
	}
	if found[0].State == stock.StateNone {
		return errNoShopperDeducts
	}
	return nil
}

func replayed(res *batch.Result) bool { return res.Verdict == stock.VerdictReplayed }

// tellScreens tells the screens the answer of Redis to a request.
func (a *API) tellScreens(asked *stock.Request, res *batch.Result) {
	switch cell := asked.Cell; {
	case res.Verdict == stock.VerdictNotLoaded:
		a.Known.Missed(cell)
	case res.Verdict == stock.VerdictNotRegistered:
		a.Registered.Missed(cell.Pool, asked.User)
	case res.Verdict == stock.VerdictSoldOut && res.Cell.Loaded && res.Cell.Avail == 0:
		a.SoldOut.Saw(cell)
	}
}

// refusalOf tells the screens and the client of a refusal by Redis, if the result is one.
func (a *API) refusalOf(asked *stock.Request, res *batch.Result) error {
	kind := kindOf(res.Verdict)
	if kind == nil {
		return nil
	}
	a.tellScreens(asked, res)
	if kind == problem.SoldOut {
		return errSoldOut
	}
	if kind == problem.NotLoaded {
		return errNotLoaded
	}
	if kind == problem.LimitReached {
		return errLimitReached
	}
	p := &problem.Problem{Kind: kind}
	if kind == problem.NotOpen {
		p.RetryAfter = opensIn(res)
	}
	if state := res.Reservation.StateAt(res.TimeMS); kind == problem.WrongState && state != stock.StateNone {
		p.State = state.String()
	}
	return p
}

// Seconds after which a client should ask again for a cell that has not opened. An admin may move a distant opening
// forward, and may set a missing one soon.
const (
	opensUnknown = 5
	opensInMax   = 3600
)

// opensIn returns the whole seconds until a cell opens, by Redis' clock, from 1 to opensInMax.
func opensIn(res *batch.Result) int64 {
	if !res.Cell.Loaded {
		return 1
	}
	if res.Cell.OpensAtMS == sale.NotScheduled {
		return opensUnknown
	}
	return min(max((res.Cell.OpensAtMS-res.TimeMS+999)/1000, 1), opensInMax)
}

func (r *request) answerReservation(status int, replayed bool, res *batch.Result) {
	r.answerWrite(status, replayed, appendReservation(r.out[:0], &res.Reservation, res.TimeMS, r.who.Role == auth.RoleService))
}
