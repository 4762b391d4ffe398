package api

import (
	"bytes"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/core/problem"
	"sluice/edge/front"
)

var (
	headerETag        = []byte("ETag")
	headerAge         = []byte("Age")
	headerCacheStatus = []byte("Cache-Status")
)

var errReadAfter = &problem.Problem{Kind: problem.Malformed, Detail: "the header Read-After: want what a write has given"}

// readCatalog answers a reading of the catalog that is for anybody. Nothing in the answer depends on who asks: of the request, the
// catalog sees the path and the query.
func (a *API) readCatalog(r *request, route *front.Route, cacheControl []byte) error {
	if err := r.noBody(); err != nil {
		return err
	}
	if err := a.admitAddress(r); err != nil {
		return err
	}
	kept := r.target(route)
	if kept && r.head.seen&seenReadAfter == 0 {
		if got, ok := a.Front.Fresh(view(r.out), r.now.UnixMilli()); ok {
			return r.answerCatalog(&got, cacheControl)
		}
	}
	if !r.client.IsValid() {
		r.client = a.clientOf(r)
	}
	ask := front.Ask{Route: route, ID: r.param(route.Parameter()), Client: r.client}
	if r.head.seen&seenReadAfter != 0 || !kept {
		if len(r.head.readAfter) > 0 && !front.Plain(r.head.readAfter) {
			return errReadAfter
		}
		ask.Target = string(r.ctx.RequestURI())
		got, err := a.Front.Pass(ask, string(r.head.readAfter))
		if err != nil {
			return err
		}
		return r.answerCatalog(&got, noStore)
	}
	ask.Target = string(r.out)
	got, err := a.Front.Get(ask)
	if err != nil {
		return err
	}
	return r.answerCatalog(&got, cacheControl)
}

// target writes to r.out what is asked for, in its one form. It reports whether there is one: values that can be read in two ways
// have none.
func (r *request) target(route *front.Route) bool {
	r.out = append(r.out[:0], r.ctx.Path()...)
	if name := route.Parameter(); name != "" && !route.Reads(r.param(name)) {
		return false
	}
	sign := byte('?')
	for _, name := range route.Query {
		for _, p := range r.query {
			if string(p.name) != name {
				continue
			}
			if !front.Plain(p.value) {
				return false
			}
			r.out = append(append(append(append(r.out, sign), name...), '='), p.value...)
			sign = '&'
		}
	}
	return true
}

// answerCatalog gives an answer, whose body others read too: it is not copied, and nobody may write to it.
func (r *request) answerCatalog(got *front.Result, cacheControl []byte) error {
	if got.Refusal != nil {
		return got.Refusal
	}
	resp := &r.ctx.Response
	resp.Header.SetCanonical(headerCacheControl, cacheControl)
	resp.Header.SetCanonical(headerETag, got.ETag)
	if got.Stale { // RFC 9111 has Age, and RFC 9211 how late it is
		resp.Header.SetCanonical(headerAge, strconv.AppendInt(nil, got.AgeS, 10))
		resp.Header.SetCanonical(headerCacheStatus, strconv.AppendInt([]byte("sluice; hit; ttl=-"), got.LateS, 10))
	}
	if got.Matches && r.head.seen&seenNoneMatch != 0 && noneMatch(r.head.noneMatch, got.ETag) {
		resp.SetStatusCode(fasthttp.StatusNotModified)
		return nil
	}
	resp.SetStatusCode(fasthttp.StatusOK)
	resp.Header.SetContentTypeBytes(jsonType)
	resp.SetBodyRaw(got.Body)
	return nil
}

// noneMatch reports whether one of the ETags of If-None-Match is the one of the answer. Those of a reading are compared weakly.
func noneMatch(list, etag []byte) bool {
	for item := range bytes.SplitSeq(list, []byte{','}) { // no ETag of the catalog has a comma
		item = trim(item)
		if bytes.Equal(bytes.TrimPrefix(item, []byte("W/")), etag) || len(item) == 1 && item[0] == '*' {
			return true
		}
	}
	return false
}
