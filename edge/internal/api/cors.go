package api

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sluice/core/cors"
)

var (
	headerVary         = []byte("Vary")
	headerAllowOrigin  = []byte("Access-Control-Allow-Origin")
	headerAllowMethods = []byte("Access-Control-Allow-Methods")
	headerAllowHeaders = []byte("Access-Control-Allow-Headers")
	headerMaxAge       = []byte("Access-Control-Max-Age")
	headerExpose       = []byte("Access-Control-Expose-Headers")

	originVaries = []byte("Origin")
	corsMethods  = []byte(cors.Methods)
	corsAsked    = []byte(cors.Asked)
	corsTold     = []byte(cors.Told)
	corsKept     = []byte(cors.KeptS)
)

// letIn tells browsers whose pages may read the answer. It reports whether the request is a browser's own question about that, to be
// answered by preflight. Pages of other origins have no business with admins' paths.
func (a *API) letIn(ctx *fasthttp.RequestCtx) (preflight bool) {
	h := &ctx.Response.Header
	h.SetCanonical(headerVary, originVaries)
	origin := ctx.Request.Header.Peek("Origin")
	if !a.Origins.Allow(origin) || bytes.HasPrefix(ctx.Request.Header.RequestURI(), adminPath) {
		return false
	}
	h.SetCanonical(headerAllowOrigin, origin)
	h.SetCanonical(headerExpose, corsTold)
	return ctx.IsOptions() && len(ctx.Request.Header.Peek("Access-Control-Request-Method")) > 0
}

// preflight says what pages may send. Whether there is such a path, the request itself will show.
func (a *API) preflight(r *request) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admitAddress(r); err != nil {
		return err
	}
	h := &r.ctx.Response.Header
	h.SetCanonical(headerAllowMethods, corsMethods)
	h.SetCanonical(headerAllowHeaders, corsAsked)
	h.SetCanonical(headerMaxAge, corsKept)
	r.ctx.Response.SetStatusCode(fasthttp.StatusNoContent)
	return nil
}
