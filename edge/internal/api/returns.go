package api

import (
	"context"
	"encoding/hex"

	"github.com/valyala/fasthttp"

	"sluice/core/problem"
	"sluice/core/stock"
)

var errNotSold = &problem.Problem{
	Kind: problem.WrongState, Detail: "fewer units of this stock are sold than are to be returned",
}

var errNoReturn = &problem.Problem{Kind: problem.UnknownReservation, Detail: "nothing was returned under this id"}

// takeBack makes sold units free again.
func (a *API) takeBack(r *request) error {
	b, key, err := keyedBody[returnBody](a, r, services)
	if err != nil {
		return err
	}
	cell := stock.Cell{SKU: int64(b.SKU), Pool: uint32(of(b.Sale))}
	mayExist, err := a.Known.MayExist(context.Background(), cell, false) // bounds its own time
	if err != nil {
		return err
	}
	if !mayExist {
		return errNotLoaded
	}
	id := stock.Identity{User: int64(b.User), Route: stock.OpReturn, Cell: cell, Key: key}.ID(a.Reader.Partitions())
	res, err := a.Decider.Do(stock.OpReturn, stock.Request{
		ID: id, Cell: cell, User: int64(b.User), Quantity: int64(b.Quantity), Reason: string(b.Reason),
		Fingerprint: stock.ReturnFingerprint(int64(b.Quantity), string(b.Reason)),
	})
	if err != nil {
		return err
	}
	if res.Verdict == stock.VerdictWrongState {
		return errNotSold
	}
	if err := a.refusalOf(cell, &res); err != nil {
		return err
	}
	r.answerReservation(fasthttp.StatusCreated, replayed(&res), &res)
	r.out = hex.AppendEncode(append(r.out[:0], "/v1/reservations/"...), id[:])
	r.ctx.Response.Header.SetCanonical(headerLocation, r.out)
	return nil
}

// showReturn shows a return, also one that Redis has forgotten.
func (a *API) showReturn(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, services); err != nil {
		return err
	}
	id, err := a.reservationID(r)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	found, nowMS, err := a.Reader.Reservations(ctx, []stock.ReservationID{id})
	switch {
	case err != nil:
		return problemOfRead(err)
	case found[0].State == stock.StateReturned:
		r.answer(fasthttp.StatusOK, appendReservation(r.out[:0], &found[0], nowMS, true))
		return nil
	case found[0].State != stock.StateNone:
		return errNoReturn
	}
	return a.withBooks(func(ctx context.Context) error {
		kept, behind, err := a.Books.Return(ctx, id)
		switch {
		case err != nil:
			return problemOfRead(err)
		case kept != nil:
			r.answer(fasthttp.StatusOK, appendReservation(r.out[:0], kept, nowMS, true))
			return nil
		case behind < 0 || behind > a.Retention/2:
			return &problem.Problem{Kind: problem.Unavailable, Detail: "MySQL does not have all returns yet that Redis has forgotten."}
		}
		return errNoReturn
	})
}
