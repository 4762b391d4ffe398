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
