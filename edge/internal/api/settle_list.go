package api

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/stock"
	"sluice/edge/batch"
)

// element is one reservation of a list: the decision about it, or an error.
type element struct {
	stock.Request
	res batch.Result
	err error
}

// confirmList makes held reservations sold, each by itself.
func (a *API) confirmList(r *request) error {
	b, _, err := keyedBody[settleListBody](a, r, services)
	if err != nil {
		return err
	}
	return a.settleList(r, stock.OpConfirm, elementsOf(b.IDs))
}

// extendList moves the deadlines of held reservations, each by itself.
func (a *API) extendList(r *request) error {
	b, _, err := keyedBody[extendListBody](a, r, services)
	if err != nil {
		return err
	}
	elements := elementsOf(b.IDs)
	for i := range elements {
		elements[i].DeadlineMS = b.Expires.UnixMilli()
	}
	return a.settleList(r, stock.OpExtend, elements)
}

// releaseList gives the units of held reservations back, each by itself.
func (a *API) releaseList(r *request) error {
	b, _, err := keyedBody[settleListBody](a, r, shoppersOrServices)
	if err != nil {
		return err
	}
	elements := elementsOf(b.IDs)
	if err := a.findCells(elements); err != nil {
		return err
	}
	if r.who.Role == auth.RoleShopper {
		for i := range elements {
			elements[i].User = r.who.Subject
		}
	}
	return a.settleList(r, stock.OpRelease, elements)
}

func elementsOf(ids []stock.ReservationID) []element {
	elements := make([]element, len(ids))
	for i, id := range ids {
		elements[i].ID = id
	}
	return elements
}

// findCells reads the cells of the reservations.
func (a *API) findCells(elements []element) error {
	var ids []stock.ReservationID
	for i := range elements {
		if a.possible(elements[i].ID) {
			ids = append(ids, elements[i].ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.ReadTimeout)
	defer cancel()
	found, _, err := a.Reader.Reservations(ctx, ids)
	if err != nil {
		return problemOfRead(err)
	}
	for i := range elements {
		if a.possible(elements[i].ID) {
			elements[i].Cell, found = found[0].Cell, found[1:]
			if elements[i].Cell == (stock.Cell{}) {
				elements[i].err = errUnknownReservation
			}
		}
	}
	return nil
}

// possible tells whether a reservation can have an id.
func (a *API) possible(id stock.ReservationID) bool { return id.Partition() < a.Reader.Partitions() }

// settleList decides all elements at once, so that they share their calls of Redis.
func (a *API) settleList(r *request, op stock.Op, elements []element) error {
	var deciding sync.WaitGroup
	for i := range elements {
		l := &elements[i]
		switch {
		case l.err != nil:
		case !a.possible(l.ID):
			l.err = errUnknownReservation
		default:
			deciding.Go(func() {
				defer func() { // Serve recovers on its own goroutine only
					if p := recover(); p != nil {
						l.err = fmt.Errorf("deciding a reservation panicked: %v", p)
					}
				}()
				l.res, l.err = a.settled(op, l.Request)
			})
		}
	}
	deciding.Wait()
	r.out = append(r.out[:0], `{"data":[`...)
	for i := range elements {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		r.out = a.appendElement(r.out, &elements[i], r)
	}
	r.answer(fasthttp.StatusOK, append(r.out, "]}"...))
	return nil
}

// appendElement appends an element: its reservation, or its problem.
func (a *API) appendElement(dst []byte, l *element, r *request) []byte {
	dst = append(dst, `{"reservation_id":"`...)
	dst = hex.AppendEncode(dst, l.ID[:])
	if l.err == nil {
		dst = append(dst, `","reservation":`...)
		dst = appendReservation(dst, &l.res.Reservation, l.res.TimeMS, r.who.Role == auth.RoleService)
		return append(dst, '}')
	}
	p, bug := problemOf(l.err)
	if bug {
		a.reportBug(l.err, r)
	}
	dst = append(dst, `","problem":`...)
	return append(p.Append(dst, r.id[:]), '}')
}
