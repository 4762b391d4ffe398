package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/core/show"
)

// Bounds of one request for shut cells, which goes on where the one before it ended.
const (
	shutSteps = 256 // of about 512 cells each
	shutCells = 100 // from which on no further step is made
)

type shutPage struct {
	Data []show.Cell `json:"data"`
	Next string      `json:"next_cursor,omitzero"` // for the next request; none: that was all
}

// showShut lists the cells that are shut until they are repaired, fenced or breached.
func (a *API) showShut(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admit(r, admins); err != nil {
		return err
	}
	partition, cursor := 0, uint64(0)
	for _, p := range r.query {
		var ok bool
		if partition, cursor, ok = shutCursor(string(p.value), a.Reader.Partitions()); !ok {
			return malformed("", "cursor: want the one of the answer before")
		}
	}
	return a.withBooks(func(ctx context.Context) error { return a.answerShut(ctx, r, partition, cursor) })
}

// answerShut answers with the shut cells from a place on.
func (a *API) answerShut(ctx context.Context, r *request, partition int, cursor uint64) error {
	page := shutPage{Data: []show.Cell{}}
	for range shutSteps {
		found, next, err := a.Reader.ShutCells(ctx, partition, cursor)
		if err != nil {
			return readFault(err)
		}
		for i := range found {
			page.Data = append(page.Data, show.CellOf(&found[i]))
		}
		if cursor = next; cursor == 0 {
			partition++
		}
		if partition == a.Reader.Partitions() || len(page.Data) >= shutCells {
			break
		}
	}
	if partition < a.Reader.Partitions() {
		page.Next = fmt.Sprintf("%d.%d", partition, cursor)
	}
	r.ctx.Response.Header.SetCanonical(headerCacheControl, noStore)
	r.answer(fasthttp.StatusOK, appendView(r.out[:0], page))
	return nil
}

// shutCursor reads where a request goes on: a partition, and a place in it.
func shutCursor(text string, partitions int) (partition int, cursor uint64, ok bool) {
	first, second, _ := strings.Cut(text, ".")
	p, err1 := strconv.ParseUint(first, 10, 32)
	cursor, err2 := strconv.ParseUint(second, 10, 64)
	return int(p), cursor, err1 == nil && err2 == nil && p < uint64(partitions)
}
