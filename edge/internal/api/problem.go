package api

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"sluice/core/problem"
)

// writeProblem makes a problem document the answer, with the headers that problem.Problem.Write gives it.
func writeProblem(resp *fasthttp.Response, p *problem.Problem, out, requestID []byte) []byte {
	resp.SetStatusCode(p.Kind.Status)
	h := &resp.Header
	h.SetContentTypeBytes(problemType)
	if p.Close {
		h.SetConnectionClose()
	}
	if after := p.Wait(); after > 0 {
		out = strconv.AppendInt(out[:0], after, 10)
		h.SetCanonical(headerRetryAfter, out)
	}
	if p.Kind == problem.Unauthorized {
		h.SetCanonical(headerAuthenticate, bearerChallenge)
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	out = p.Append(out[:0], requestID)
	resp.SetBody(out)
	return out
}

// RefusedConnection is the complete answer to a connection that is not served, because of too many in
// all or, if crowded, from its address.
func RefusedConnection(crowded bool) []byte {
	p := &problem.Problem{Kind: problem.Overloaded, Detail: "The edge has all the connections that it may have."}
	if crowded {
		p = &problem.Problem{Kind: problem.RateLimited, Detail: "Too many connections come from this address."}
	}
	body := p.Append(nil, nil)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: %d\r\n"+
		"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		p.Kind.Status, fasthttp.StatusMessage(p.Kind.Status), problemType, len(body), p.Wait(), body)
}
