package api

import (
	"context"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/problem"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// reservation shows a reservation to its shopper and to services.
func (a *API) reservation(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, shoppersOrServices); err != nil {
		return err
	}
	found, nowMS, err := a.find(r)
	if err != nil {
		return err
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	r.answer(fasthttp.StatusOK, appendReservation(r.out[:0], &found, nowMS, r.who.Role == auth.RoleService))
	return nil
}

// confirm makes a held reservation sold.
func (a *API) confirm(r *request) error {
	if _, err := a.admitKeyed(r, services); err != nil {
		return err
	}
	id, err := a.reservationID(r)
	if err != nil {
		return err
	}
	return a.settle(r, stock.OpConfirm, stock.Request{ID: id})
}

// release gives the units of a held reservation back.
func (a *API) release(r *request) error {
	if _, err := a.admitKeyed(r, shoppersOrServices); err != nil {
		return err
	}
	found, _, err := a.find(r)
	if err != nil {
		return err
	}
	release := stock.Request{ID: found.ID, Cell: found.Cell}
	if r.who.Role == auth.RoleShopper {
		release.User = r.who.Subject
	}
	return a.settle(r, stock.OpRelease, release)
}

// extend moves the deadline of a held reservation. For it, too, the key decides nothing: a deadline that is late enough
// stays.
func (a *API) extend(r *request) error {
	b, _, err := keyedBody[extendBody](a, r, services)
	if err != nil {
		return err
	}
	id, err := a.reservationID(r)
	if err != nil {
		return err
	}
	return a.settle(r, stock.OpExtend, stock.Request{ID: id, DeadlineMS: b.Expires.UnixMilli()})
}

// admitKeyed checks a write without a body. For confirm and release the key decides nothing: the answer to a repetition
// depends on the reservation's state only.
func (a *API) admitKeyed(r *request, may roles) (key []byte, err error) {
	if err := r.noBody(); err != nil {
		return nil, err
	}
	if key, err = r.head.key(&r.keyBuf); err != nil {
		return nil, err
	}
	return key, a.admit(r, may)
}

func (a *API) settle(r *request, op stock.Op, settlement stock.Request) error {
	res, err := a.settled(op, settlement)
	if err != nil {
		return err
	}
	const replayed = false // only the state counts, whoever brought it about
	r.answerReservation(fasthttp.StatusOK, replayed, &res)
	return nil
}

var errNoExtension = &problem.Problem{
	Kind: problem.LimitReached, Detail: "the SKU allows no extension: its extend_max_ms is 0",
}

// settled has a reservation confirmed, released or extended.
func (a *API) settled(op stock.Op, settlement stock.Request) (batch.Result, error) {
	res, err := a.Decider.Do(op, settlement)
	if err != nil {
		return res, err
	}
	switch {
	case res.Reservation.State == stock.StateAdjusted:
		return res, errUnknownReservation // the record of an adjustment is nobody's reservation
	case res.Verdict == stock.VerdictLimitReached:
		return res, errNoExtension
	}
	err = a.refusalOf(&settlement, &res)
	return res, err
}

// reservationID returns the id in the path. An impossible id is as unknown as one that does not exist.
func (a *API) reservationID(r *request) (stock.ReservationID, error) {
	id, err := stock.ParseReservationID(r.param("id"))
	if err != nil || id.Partition() >= a.Reader.Partitions() {
		return stock.ReservationID{}, errUnknownReservation
	}
	return id, nil
}

// find reads the reservation in the path, if the caller may know of it.
func (a *API) find(r *request) (stock.Reservation, int64, error) {
	id, err := a.reservationID(r)
	if err != nil {
		return stock.Reservation{}, 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	found, nowMS, err := a.Reader.Reservations(ctx, []stock.ReservationID{id})
	if err != nil {
		return stock.Reservation{}, 0, problemOfRead(err)
	}
	one := found[0]
	foreign := r.who.Role == auth.RoleShopper && one.User != r.who.Subject
	if one.State == stock.StateNone || one.State == stock.StateAdjusted || foreign {
		return stock.Reservation{}, 0, errUnknownReservation
	}
	return one, nowMS, nil
}
