// Package problem owns the refusals of sluice over HTTP: the codes that clients rely on, the status and headers of
// each, and the problem document (RFC 9457). Edge and shop use it, so they answer alike.
//
// It decides nothing, and writes answers for net/http only. For another HTTP server the caller writes the document,
// which Append makes.
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
type Problem struct { //nolint:errname // the API calls it a problem
	Kind       *Kind
	Detail     string // for people; may quote the request
	Pointer    string // JSON pointer to the member at fault
	State      string // the state that is the wrong one
	RetryAfter int64  // seconds; 0: as Kind says
	Close      bool   // close the connection, because what follows on it cannot be trusted
	Allow      string // for the Allow header
	Spent      bool   // the key is spent: the same request never succeeds, whatever Kind says
}

// Error implements error.
func (p *Problem) Error() string { return p.Kind.Code + ": " + p.Detail }

// Wait returns the value of the Retry-After header, in seconds; 0: none. A request whose key is spent has none unless
// RetryAfter says so, because whoever repeats by the header alone would repeat it in vain.
func (p *Problem) Wait() int64 {
	if p.RetryAfter != 0 || p.Spent {
		return p.RetryAfter
	}
	return p.Kind.RetryAfter
}

// Append appends the problem document. requestID, which may be empty, is the name of the answer in logs.
func (p *Problem) Append(dst, requestID []byte) []byte {
	if p.Spent {
		dst = append(dst, p.Kind.spent...)
	} else {
		dst = append(dst, p.Kind.head...)
	}
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
	_, _ = w.Write(body) // if the client has gone, there is nobody to tell
}
