package api

import (
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"
)

// problemHeads are the first members of each code's problem document (RFC 9457), which never change.
var problemHeads = func() (heads [codes][]byte) {
	for c, t := range codeTable {
		heads[c] = fmt.Appendf(nil, `{"type":"urn:sluice:problem:%s","title":%q,"status":%d,"code":%q,"retryable":%t`,
			t.word, t.title, t.status, t.word, t.retryable)
	}
	return heads
}()

// appendProblem appends the problem document of a fault.
func appendProblem(dst []byte, f *fault, requestID []byte) []byte {
	dst = append(dst, problemHeads[f.code]...)
	if f.detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = appendText(dst, f.detail)
	}
	if f.pointer != "" {
		dst = append(dst, `,"pointer":`...)
		dst = appendText(dst, f.pointer)
	}
	if f.state != 0 {
		dst = append(dst, `,"state":"`...)
		dst = append(dst, f.state.String()...)
		dst = append(dst, '"')
	}
	if len(requestID) > 0 {
		dst = append(dst, `,"request_id":"`...)
		dst = append(dst, requestID...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// writeProblem makes the problem document of a fault the answer.
func writeProblem(resp *fasthttp.Response, f *fault, out, requestID []byte) []byte {
	t := &codeTable[f.code]
	resp.SetStatusCode(t.status)
	h := &resp.Header
	h.SetContentTypeBytes(problemType)
	if f.close {
		h.SetConnectionClose()
	}
	after := f.retryAfter
	if after == 0 {
		after = t.retryAfter
	}
	if after > 0 {
		out = strconv.AppendInt(out[:0], after, 10)
		h.SetCanonical(headerRetryAfter, out)
	}
	if f.code == codeUnauthorized {
		h.SetCanonical(headerAuthenticate, bearerChallenge)
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	out = appendProblem(out[:0], f, requestID)
	resp.SetBody(out)
	return out
}

// RefusedConnection is the complete answer to a connection that is not served, because of too many in
// all or, if crowded, from its address.
func RefusedConnection(crowded bool) []byte {
	f := &fault{code: codeOverloaded, detail: "The edge has all the connections that it may have."}
	if crowded {
		f = &fault{code: codeRateLimited, detail: "Too many connections come from this address."}
	}
	t := &codeTable[f.code]
	body := appendProblem(nil, f, nil)
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nRetry-After: %d\r\n"+
		"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
		t.status, fasthttp.StatusMessage(t.status), problemType, len(body), t.retryAfter, body)
}
