package web

import (
	"context"
	"net/http"
	"strconv"

	"sluice/core/db"
)

// readAfter is the header by which clients read what they have written: the answer to a write has it, and a reading that gives
// it back is as of the write, or of later.
const readAfter = "Read-After"

// Wrote tells the client the position of its write. Every operation that writes in a place calls it after the commit. The
// beginning needs no telling: every reading is after it.
func Wrote(ctx context.Context, at db.Position) {
	if c, _ := ctx.Value(callerKey{}).(*caller); c != nil {
		c.wrote = at
	}
}

// positionHeader tells where the request's write is.
func (c *caller) positionHeader(h http.Header) {
	if c.wrote > 0 {
		h.Set(readAfter, strconv.FormatUint(uint64(c.wrote), 10))
	}
}
