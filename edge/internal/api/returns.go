package api

import (
	"context"

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
	asked := stock.Request{
		ID:   stock.Identity{User: int64(b.User), Route: stock.OpReturn, Cell: cell, Key: key}.ID(a.Reader.Partitions()),
		Cell: cell, User: int64(b.User), Quantity: int64(b.Quantity), Reason: string(b.Reason),
		Fingerprint: stock.ReturnFingerprint(int64(b.Quantity), string(b.Reason)),
	}
	if b.Asked != nil && r.now.Sub(b.Asked.Time) > a.Retention/2 {
		return a.repeatReturn(r, &asked)
	}
	mayExist, err := a.Known.MayExist(context.Background(), cell, false) // bounds its own time
	if err != nil {
		return err
	}
	if !mayExist {
		return errNotLoaded
	}
	res, err := a.Decider.Do(stock.OpReturn, asked)
	if err != nil {
		return err
	}
	if res.Verdict == stock.VerdictWrongState {
		return errNotSold
	}
	if err := a.refusalOf(&asked, &res); err != nil {
		return err
	}
	a.answerReturn(r, replayed(&res), &res.Reservation, res.TimeMS)
	return nil
}

// repeatReturn answers a return that was first sent long ago. Redis may have forgotten it, so the edge only looks it
// up, and makes no units free.
func (a *API) repeatReturn(r *request, asked *stock.Request) error {
	found, nowMS, err := a.findReturn(asked.ID)
	switch {
	case err != nil:
		return err
	case found.Quantity != asked.Quantity, found.Fingerprint != 0 && found.Fingerprint != asked.Fingerprint: // MySQL has no fingerprints
		return &problem.Problem{Kind: problem.Mismatch}
	}
	a.answerReturn(r, true, &found, nowMS)
	return nil
}

func (a *API) answerReturn(r *request, replayed bool, found *stock.Reservation, nowMS int64) {
	r.answerWrite(fasthttp.StatusCreated, replayed, appendReservation(r.out[:0], found, nowMS, true))
	path := "/v1/reservations/"
	if found.Fingerprint == 0 { // from MySQL, because Redis has forgotten it, and shows it there no more
		path = "/v1/returns/"
	}
	r.locate(path, found.ID)
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
	found, nowMS, err := a.findReturn(id)
	if err != nil {
		return err
	}
	r.answer(fasthttp.StatusOK, appendReservation(r.out[:0], &found, nowMS, true))
	return nil
}

// findReturn finds a return in Redis or in MySQL. It fails with errNoReturn only if it is certain that there is none.
func (a *API) findReturn(id stock.ReservationID) (found stock.Reservation, nowMS int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	remembered, nowMS, err := a.Reader.Reservations(ctx, []stock.ReservationID{id})
	switch {
	case err != nil:
		return found, 0, problemOfRead(err)
	case remembered[0].State == stock.StateReturned:
		return remembered[0], nowMS, nil
	case remembered[0].State != stock.StateNone:
		return found, 0, errNoReturn
	}
	err = a.withBooks(func(ctx context.Context) error {
		kept, behind, err := a.Books.Return(ctx, id)
		switch {
		case err != nil:
			return problemOfRead(err)
		case kept != nil:
			found = *kept
			return nil
		case behind < 0 || behind > a.Retention/2:
			return &problem.Problem{Kind: problem.Unavailable, Detail: "MySQL does not have all returns yet that Redis has forgotten."}
		}
		return errNoReturn
	})
	return found, nowMS, err
}
