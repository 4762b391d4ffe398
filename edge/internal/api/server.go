package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/problem"
	"sluice/edge/internal/conns"
)

// Bounds of what is read of a request.
const (
	headerBytesMax    = 8 << 10
	bodyBytesMax      = 16 << 10
	adminBodyBytesMax = 1 << 20 // a sale has up to 10,000 items
	adminBodyTime     = 30 * time.Second
)

// adminPath begins the path of what only admins do.
var adminPath = []byte("/admin/v1/")

// Server makes the HTTP server for the connections of a listener, which bounds them, in number and in
// time, and drains them.
func (a *API) Server(l *conns.Listener, connectionsMax int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:        a.Serve,
		ErrorHandler:   a.Unreadable,
		HeaderReceived: a.headerReceived,
		ExpectHandler:  a.expect,
		ConnState:      l.StateChanged,
		Logger:         quiet{a.Log},
		// Never reached: the listener has fewer, and refuses in JSON.
		Concurrency: connectionsMax + 1,

		ReadBufferSize:     headerBytesMax,
		MaxRequestBodySize: bodyBytesMax,

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true, // it would be parsed before its size is known
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true, // what a client sent may be a token
		LazyRequestTime:              true, // the API takes its own
	}
}

// headerReceived lets an admin send a large body, and take its time. Everybody else's is refused before it is read.
func (a *API) headerReceived(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if a.bodyMax(header) == bodyBytesMax {
		return fasthttp.RequestConfig{}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: adminBodyBytesMax, ReadTimeout: adminBodyTime}
}

// bodyMax is how large the body of a request may be. The token is looked at only where the body is to be larger than
// anybody's may be: one that is no admin's costs its sender the connection.
func (a *API) bodyMax(header *fasthttp.RequestHeader) int {
	chunked, length := -1, header.ContentLength()
	if !bytes.HasPrefix(header.RequestURI(), adminPath) || length != chunked && length <= bodyBytesMax {
		return bodyBytesMax
	}
	if a.checkAdmin(header) != nil {
		return bodyBytesMax
	}
	return adminBodyBytesMax
}

// checkAdmin is why the token in a header is not that of an admin.
func (a *API) checkAdmin(header *fasthttp.RequestHeader) error {
	var h head
	if err := h.read(header); err != nil {
		return err
	}
	token := h.bearer()
	if token == nil {
		return errNoToken
	}
	who, seen := a.Tokens.Cached(token, a.Now())
	if !seen {
		var err error
		if who, err = a.Tokens.Verify(token, a.Now()); err != nil {
			return &problem.Problem{Kind: problem.Unauthorized, Detail: err.Error()}
		}
	}
	if who.Role != auth.RoleAdmin {
		return errForbidden
	}
	return nil
}

// tooLarge is how a body is refused for its size. Where only admins may, one that is no admin's is refused for that.
func (a *API) tooLarge(header *fasthttp.RequestHeader) *problem.Problem {
	if bytes.HasPrefix(header.RequestURI(), adminPath) {
		if err := a.checkAdmin(header); err != nil {
			p, _ := problemOf(err)
			return p
		}
	}
	return &problem.Problem{Kind: problem.PayloadTooLarge, Detail: "A body has at most 16 KiB; that of an admin's request, with its token, 1 MiB."}
}

// expect tells whether a client that waits for a word may send its body. fasthttp wants the response
// left alone, for the handler; but a refused request has none, and its response goes out as it is here,
// as the last of its connection.
func (a *API) expect(ctx *fasthttp.RequestCtx) int {
	if header := &ctx.Request.Header; header.ContentLength() <= a.bodyMax(header) {
		return fasthttp.StatusContinue
	}
	a.Unreadable(ctx, fasthttp.ErrBodyTooLarge)
	return ctx.Response.StatusCode()
}

// quiet logs what fasthttp has to say, which is what clients did wrong, for whoever looks for it.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, values ...any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("fasthttp", "message", fmt.Sprintf(format, values...))
	}
}
