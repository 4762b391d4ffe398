package api

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sluice/core/idempotency"
)

// head has the parts of a request's header that the handlers need, as slices of it. It reads the raw bytes, because
// fasthttp's own reading hides the signs of a smuggled request: a Content-Length beside a Transfer-Encoding, a second
// Content-Type, folded lines, and lines that end with LF. If head accepts a request, fasthttp reads it in the same way.
type head struct {
	authorization   []byte
	idempotencyKey  []byte
	contentType     []byte
	contentEncoding []byte
	forwardedFor    []byte // all lines, joined by commas
	noneMatch       []byte
	readAfter       []byte

	seen headers
}

type headers uint16

const (
	seenAuthorization headers = 1 << iota
	seenIdempotencyKey
	seenContentType
	seenContentEncoding
	seenContentLength
	seenTransferEncoding
	seenForwardedFor
	seenNoneMatch
	seenReadAfter
)

// read reads the header of a request. It fails if two readers could read the header differently.
func (h *head) read(header *fasthttp.RequestHeader) error {
	*h = head{}
	if version := header.Protocol(); string(version) != "HTTP/1.1" && string(version) != "HTTP/1.0" {
		return unframed("the HTTP version is neither 1.1 nor 1.0")
	}
	if target := header.RequestURI(); len(target) == 0 || target[0] != '/' || bytes.IndexByte(target, '#') >= 0 {
		return unframed("the request target is not a path with an optional query")
	}
	raw := header.RawHeaders()
	for len(raw) > 0 {
		end := bytes.IndexByte(raw, '\n')
		if end < 1 || raw[end-1] != '\r' {
			return unframed("a header line does not end in CR LF")
		}
		line := raw[:end-1]
		raw = raw[end+1:]
		if len(line) == 0 {
			if len(raw) > 0 {
				return unframed("the header has an empty line")
			}
			break
		}
		if err := h.field(line); err != nil {
			return err
		}
	}
	if h.seen&seenContentLength != 0 && h.seen&seenTransferEncoding != 0 {
		return unframed("Content-Length and Transfer-Encoding exclude each other")
	}
	return nil
}

func (h *head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon < 1 || bytes.IndexByte(line[:colon], ' ') >= 0 || line[0] == '\t' {
		return unframed("a header line is folded or has no name")
	}
	name, value := line[:colon], trim(line[colon+1:])
	switch len(name) {
	case len("Content-Type"):
		if equalFold(name, "content-type") {
			h.contentType = value
			return h.once(seenContentType)
		}
	case len("Authorization"):
		if equalFold(name, "authorization") {
			h.authorization = value
			return h.once(seenAuthorization)
		}
		if equalFold(name, "if-none-match") {
			h.noneMatch = value
			return h.once(seenNoneMatch)
		}
	case len("Read-After"):
		if equalFold(name, "read-after") {
			h.readAfter = value
			return h.once(seenReadAfter)
		}
	case len("Content-Length"):
		if equalFold(name, "content-length") {
			return h.once(seenContentLength)
		}
	case len("Idempotency-Key"): // and X-Forwarded-For
		if equalFold(name, "idempotency-key") {
			if h.seen&seenIdempotencyKey != 0 {
				return idempotency.ErrTwice
			}
			h.idempotencyKey = value
			return h.once(seenIdempotencyKey)
		}
		if equalFold(name, "x-forwarded-for") {
			if h.seen&seenForwardedFor == 0 {
				h.forwardedFor = value[:len(value):len(value)] // so that a second line is appended to a copy
			} else {
				h.forwardedFor = append(append(h.forwardedFor, ','), value...)
			}
			h.seen |= seenForwardedFor
		}
	case len("Content-Encoding"):
		if equalFold(name, "content-encoding") {
			h.contentEncoding = value
			return h.once(seenContentEncoding)
		}
	case len("Transfer-Encoding"):
		if equalFold(name, "transfer-encoding") {
			if !equalFold(value, "chunked") {
				return unframed("the transfer coding is not chunked")
			}
			return h.once(seenTransferEncoding)
		}
	}
	return nil
}

func (h *head) once(field headers) error {
	if h.seen&field != 0 {
		return unframed("a header that may come once came twice")
	}
	h.seen |= field
	return nil
}

// bearer is the access token, nil if there is none of that form.
func (h *head) bearer() []byte {
	const scheme = "bearer "
	if len(h.authorization) <= len(scheme) || !equalFold(h.authorization[:len(scheme)], scheme) {
		return nil
	}
	return h.authorization[len(scheme):]
}

// equalFold reports whether text is word, which is in lower case, but for the case of ASCII letters.
func equalFold(text []byte, word string) bool {
	if len(text) != len(word) {
		return false
	}
	for i := range len(word) {
		c := text[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// trim drops the blanks around a header's value.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// key is the Idempotency-Key without quotes, which it takes off in buf.
func (h *head) key(buf *[idempotency.KeyBytesMax]byte) ([]byte, error) {
	if h.seen&seenIdempotencyKey == 0 {
		return nil, idempotency.ErrMissing
	}
	key, ok := idempotency.Parse(h.idempotencyKey, buf)
	if !ok {
		return nil, idempotency.ErrInvalid
	}
	return key, nil
}
