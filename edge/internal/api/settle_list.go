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

// line is one reservation of a list: what became of it, or why not.
type line struct {
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
	return a.settleList(r, stock.OpConfirm, linesOf(b.IDs))
}

// extendList moves the deadlines of held reservations, each by itself.
func (a *API) extendList(r *request) error {
	b, _, err := keyedBody[extendListBody](a, r, services)
	if err != nil {
		return err
	}
	lines := linesOf(b.IDs)
	for i := range lines {
		lines[i].DeadlineMS = b.Expires.UnixMilli()
	}
	return a.settleList(r, stock.OpExtend, lines)
}

// releaseList gives the units of held reservations back, each by itself.
func (a *API) releaseList(r *request) error {
	b, _, err := keyedBody[settleListBody](a, r, shoppersOrServices)
	if err != nil {
		return err
	}
	lines := linesOf(b.IDs)
	if err := a.findCells(lines); err != nil {
		return err
	}
	if r.who.Role == auth.RoleShopper {
		for i := range lines {
			lines[i].User = r.who.Subject
		}
	}
	return a.settleList(r, stock.OpRelease, lines)
}

func linesOf(ids []stock.ReservationID) []line {
	lines := make([]line, len(ids))
	for i, id := range ids {
		lines[i].ID = id
	}
	return lines
}

// findCells reads of which cells the reservations are.
func (a *API) findCells(lines []line) error {
	var ids []stock.ReservationID
	for i := range lines {
		if a.possible(lines[i].ID) {
			ids = append(ids, lines[i].ID)
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
	for i := range lines {
		if a.possible(lines[i].ID) {
			lines[i].Cell, found = found[0].Cell, found[1:]
			if lines[i].Cell == (stock.Cell{}) {
				lines[i].err = errUnknownReservation
			}
		}
	}
	return nil
}

// possible tells whether a reservation can have an id.
func (a *API) possible(id stock.ReservationID) bool { return id.Partition() < a.Reader.Partitions() }

// settleList decides all lines at once, so that they share their calls of Redis, and answers line by line.
func (a *API) settleList(r *request, op stock.Op, lines []line) error {
	var deciding sync.WaitGroup
	for i := range lines {
		l := &lines[i]
		switch {
		case l.err != nil:
		case !a.possible(l.ID):
			l.err = errUnknownReservation
		default:
			deciding.Go(func() {
				defer func() { // Serve recovers on its own goroutine only
					if p := recover(); p != nil {
						l.err = fmt.Errorf("deciding a line panicked: %v", p)
					}
				}()
				l.res, l.err = a.settled(op, l.Request)
			})
		}
	}
	deciding.Wait()
	r.out = append(r.out[:0], `{"data":[`...)
	for i := range lines {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		r.out = a.appendLine(r.out, &lines[i], r)
	}
	r.answer(fasthttp.StatusOK, append(r.out, "]}"...))
	return nil
}

// appendLine appends a line: its reservation, or the problem that it has.
func (a *API) appendLine(dst []byte, l *line, r *request) []byte {
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
