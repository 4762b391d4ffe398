// Package problem owns how sluice refuses a request over HTTP: the codes that clients rely on, how each is
// answered, and the problem document (RFC 9457) that carries it. Edge and shop answer alike by it.
//
// It decides nothing, and knows no HTTP server but net/http: whoever has another one writes the document
// itself, by Append.
package problem

import (
	"net/http"
	"strconv"

	"sluice/core/text"
)

// MediaType is the type of a problem document.
const MediaType = "application/problem+json"

// Challenge is the value of the WWW-Authenticate header of an answer of the kind Unauthorized.
const Challenge = `Bearer realm="sluice"`

// Problem is a refusal on its way to the client.
type Problem struct { //nolint:errname // it is what it is called
	Kind       *Kind
	Detail     string // for people; may quote the request
	Pointer    string // JSON pointer to the member at fault
	State      string // of what is in the wrong state
	RetryAfter int64  // seconds; 0: as Kind says
	Close      bool   // nothing more can be read from the connection in good faith
	Allow      string // for the Allow header
}

// Error implements error.
func (p *Problem) Error() string { return p.Kind.Code + ": " + p.Detail }

// Wait is the value of the Retry-After header, in seconds; 0: none.
func (p *Problem) Wait() int64 {
	if p.RetryAfter != 0 {
		return p.RetryAfter
	}
	return p.Kind.RetryAfter
}

// Append appends the problem document. The request's id, which may be missing, names the answer in logs.
func (p *Problem) Append(dst, requestID []byte) []byte {
	dst = append(dst, p.Kind.head...)
	if p.Detail != "" {
		dst = append(dst, `,"detail":`...)
		dst = text.AppendJSON(dst, p.Detail)
	}
	if p.Pointer != "" {
		dst = append(dst, `,"pointer":`...)
		dst = text.AppendJSON(dst, p.Pointer)
	}
	if p.State != "" {
		dst = append(dst, `,"state":"`...)
		dst = append(dst, p.State...)
		dst = append(dst, '"')
	}
	if len(requestID) > 0 {
		dst = append(dst, `,"request_id":"`...)
		dst = append(dst, requestID...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

// Write makes the problem document the answer to a request.
func (p *Problem) Write(w http.ResponseWriter, r *http.Request, requestID string) {
	body := p.Append(nil, []byte(requestID))
	h := w.Header()
	h.Set("Content-Type", MediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if requestID != "" {
		h.Set("X-Request-Id", requestID)
	}
	if p.Close {
		h.Set("Connection", "close")
	}
	if after := p.Wait(); after > 0 {
		h.Set("Retry-After", strconv.FormatInt(after, 10))
	}
	if p.Kind == Unauthorized {
		h.Set("WWW-Authenticate", Challenge)
	}
	if p.Allow != "" {
		h.Set("Allow", p.Allow)
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(p.Kind.Status)
	_, _ = w.Write(body) // whom it does not reach has gone
}
