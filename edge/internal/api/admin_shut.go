package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/reconcile"
	"sluice/core/show"
)

// Bounds of one request for shut cells, which goes on where the one before it ended.
const (
	shutSteps = 256              // of about 512 cells each
	shutCells = 100              // from which on no further step is made
	shutTime  = BooksTimeout / 2 // after which no further step is made, so that a slow Redis makes short pages and no error
)

type shutPage struct {
	Data []show.Cell `json:"data"`
	Next string      `json:"next_cursor,omitzero"`     // for the next request; none: that was all
	Shut []int       `json:"shut_partitions,omitzero"` // as a whole: nothing is known of their cells
	AsOf show.Moment `json:"as_of"`
}

// showShut lists the cells that are shut until they are repaired, fenced or breached.
func (a *API) showShut(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, admins); err != nil {
		return err
	}
	var from reconcile.Place
	for _, p := range r.query {
		var ok bool
		if from, ok = shutCursor(string(p.value), a.Reader.Partitions()); !ok {
			return malformed("", "cursor: want the one of the answer before")
		}
	}
	return a.withBooks(func(ctx context.Context) error { return a.answerShut(ctx, r, from) })
}

// answerShut answers with the shut cells from a place on.
func (a *API) answerShut(ctx context.Context, r *request, at reconcile.Place) error {
	began := time.Now()
	nowMS, err := a.Reader.Now(ctx)
	if err != nil {
		return problemOfRead(err)
	}
	page := shutPage{Data: []show.Cell{}, AsOf: show.Moment(nowMS)}
	steps := 0
	for step, err := range reconcile.ShutSteps(ctx, a.Reader, at) {
		if err != nil {
			return problemOfRead(err)
		}
		for i := range step.Found {
			page.Data = append(page.Data, show.CellOf(&step.Found[i]))
		}
		if at = step.Next; step.Shut != nil {
			if page.Shut = append(page.Shut, at.Partition-1); len(page.Shut) == a.Reader.Partitions() {
				return step.Shut
			}
		}
		if steps++; steps == shutSteps || len(page.Data) >= shutCells || time.Since(began) > shutTime {
			break
		}
	}
	if at.Partition < a.Reader.Partitions() {
		page.Next = fmt.Sprintf("%d.%d", at.Partition, at.Cursor)
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], page))
	return nil
}

// shutCursor reads where a request goes on: a partition, and a place in it.
func shutCursor(text string, partitions int) (at reconcile.Place, ok bool) {
	first, second, _ := strings.Cut(text, ".")
	p, err1 := strconv.ParseUint(first, 10, 32)
	cursor, err2 := strconv.ParseUint(second, 10, 64)
	return reconcile.Place{Partition: int(p), Cursor: cursor}, err1 == nil && err2 == nil && p < uint64(partitions)
}
