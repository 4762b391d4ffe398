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

// Bounds of reading a request.
const (
	headerBytesMax    = 8 << 10
	bodyBytesMax      = 16 << 10
	adminBodyBytesMax = 1 << 20 // a sale has up to 10,000 items
	adminBodyTime     = 30 * time.Second
)

// adminPath begins the paths that only admins may use.
var adminPath = []byte("/admin/v1/")

// Server makes the HTTP server for the connections of a listener. The listener limits their number and time, and drains
// them.
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

// headerReceived lets an admin send a large body, and take time for it. It refuses everybody else's large body before
// reading it.
func (a *API) headerReceived(header *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if a.bodyMax(header) == bodyBytesMax {
		return fasthttp.RequestConfig{}
	}
	return fasthttp.RequestConfig{MaxRequestBodySize: adminBodyBytesMax, ReadTimeout: adminBodyTime}
}

// bodyMax returns how large the body of a request may be. It looks at the token only if the body is larger than others may
// send. Without an admin's token such a body costs its sender the connection.
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

// checkAdmin returns an error if the token in a header is not an admin's.
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

// tooLarge returns the refusal of a body for its size. On admins' paths it refuses somebody who is no admin for that.
func (a *API) tooLarge(header *fasthttp.RequestHeader) *problem.Problem {
	if bytes.HasPrefix(header.RequestURI(), adminPath) {
		if err := a.checkAdmin(header); err != nil {
			p, _ := problemOf(err)
			return p
		}
	}
	return &problem.Problem{Kind: problem.PayloadTooLarge, Detail: "A body has at most 16 KiB; that of an admin's request, with its token, 1 MiB."}
}

// expect answers a client that asks before it sends its body. fasthttp wants the response untouched, because the handler
// will fill it in. But a refused request reaches no handler, so expect fills in its response, the last of its connection.
func (a *API) expect(ctx *fasthttp.RequestCtx) int {
	if header := &ctx.Request.Header; header.ContentLength() <= a.bodyMax(header) {
		return fasthttp.StatusContinue
	}
	a.Unreadable(ctx, fasthttp.ErrBodyTooLarge)
	return ctx.Response.StatusCode()
}

// quiet logs fasthttp's messages at debug level, because they are about mistakes of clients.
type quiet struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (q quiet) Printf(format string, values ...any) {
	if q.log.Enabled(context.Background(), slog.LevelDebug) {
		q.log.Debug("fasthttp", "message", fmt.Sprintf(format, values...))
	}
}
