package api

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/valyala/fasthttp"

	"sluice/edge/internal/conns"
)

// Bounds of what is read of a request.
const (
	bodyBytesMax   = 16 << 10
	headerBytesMax = 8 << 10
)

// Server makes the HTTP server for the connections of a listener, which bounds them, in number and in
// time, and drains them.
func (a *API) Server(l *conns.Listener, connectionsMax int) *fasthttp.Server {
	return &fasthttp.Server{
		Handler:       a.Serve,
		ErrorHandler:  a.Unreadable,
		ExpectHandler: a.expect,
		ConnState:     l.StateChanged,
		Logger:        quiet{a.Log},
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

// expect tells whether a client that waits for a word may send its body. fasthttp wants the response
// left alone, for the handler; but a refused request has none, and its response goes out as it is here,
// as the last of its connection.
func (a *API) expect(ctx *fasthttp.RequestCtx) int {
	if ctx.Request.Header.ContentLength() <= bodyBytesMax {
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
