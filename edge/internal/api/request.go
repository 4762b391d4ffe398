package api

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/idempotency"
	"sluice/core/limit"
	"sluice/core/problem"
	"sluice/core/stock"
)

// Header names and values that answers are made of.
var (
	headerRequestID       = []byte("X-Request-Id")
	headerReplayed        = []byte("Idempotent-Replayed")
	headerRetryAfter      = []byte("Retry-After")
	headerRateLimit       = []byte("RateLimit")
	headerRateLimitPolicy = []byte("RateLimit-Policy")
	headerCacheControl    = []byte("Cache-Control")
	headerLocation        = []byte("Location")
	headerAuthenticate    = []byte("WWW-Authenticate")
	headerWarning         = []byte("Sluice-Warning")

	jsonType        = []byte("application/json")
	problemType     = []byte(problem.MediaType)
	noStore         = []byte("no-store")
	maxAgeOne       = []byte("public, max-age=1")
	yes             = []byte("true")
	bearerChallenge = []byte(problem.Challenge)
)

// request is one request on its way through the API. It is pooled, and everything in it belongs to the
// goroutine that serves it.
type request struct {
	serving

	// Buffers that are used again.
	query  []parameter
	scan   scanner
	keyBuf [idempotency.KeyBytesMax]byte
	out    []byte
}

// serving describes the request that the API serves now. It is empty between two requests.
type serving struct {
	ctx  *fasthttp.RequestCtx
	now  time.Time
	id   [requestIDBytes]byte
	head head
	who  auth.Identity

	counted                         bool // against the limits that it has
	userAllowance, addressAllowance limit.Allowance
	client                          netip.Addr // as limits count it; invalid: nobody has looked

	replayed bool // answerWrite sets it: the answer repeats an earlier one, and says so
}

func (r *request) begin(ctx *fasthttp.RequestCtx, now time.Time, ids *requestIDs) {
	r.ctx, r.now = ctx, now
	ids.append(r.id[:0])
}

// outBytesMax is the largest buffer that a pooled request keeps; few answers are larger.
const outBytesMax = 64 << 10

// end forgets the request, and frees buffers that are larger than most requests need.
func (r *request) end() {
	r.serving, r.scan.rest = serving{}, nil
	if cap(r.out) > outBytesMax {
		r.out = nil
	}
}

// finish adds what every answer carries.
func (r *request) finish() {
	h := &r.ctx.Response.Header
	h.SetCanonical(headerRequestID, r.id[:])
	if r.userAllowance.Limited() || r.addressAllowance.Limited() {
		r.rateHeaders(h)
	}
}

// rateHeaders tells of the limits that were asked, as draft-ietf-httpapi-ratelimit-headers has it.
func (r *request) rateHeaders(h *fasthttp.ResponseHeader) {
	for _, field := range []struct {
		name   []byte
		append func(limit.Allowance, []byte) []byte
	}{
		{headerRateLimitPolicy, limit.Allowance.AppendPolicy},
		{headerRateLimit, limit.Allowance.AppendState},
	} {
		r.out = r.out[:0]
		if r.userAllowance.Limited() {
			r.out = field.append(r.userAllowance, r.out)
		}
		if r.addressAllowance.Limited() {
			if len(r.out) > 0 {
				r.out = append(r.out, ", "...)
			}
			r.out = field.append(r.addressAllowance, r.out)
		}
		h.SetCanonical(field.name, r.out)
	}
}

// answer makes body, which it copies, the JSON answer.
func (r *request) answer(status int, body []byte) {
	r.out = body
	resp := &r.ctx.Response
	resp.SetStatusCode(status)
	resp.Header.SetContentTypeBytes(jsonType)
	resp.SetBody(body)
}

// answerWrite answers a write: of a repeated one, whose effect is that of the first, the answer says so.
func (r *request) answerWrite(status int, replayed bool, body []byte) {
	r.answer(status, body)
	if r.replayed = replayed; replayed {
		r.ctx.Response.Header.SetCanonical(headerReplayed, yes)
	}
}

// answerNamed answers a write with a document about the object in the path.
func (r *request) answerNamed(status int, replayed bool, body []byte) {
	r.answerWrite(status, replayed, body)
	if status == fasthttp.StatusCreated {
		r.ctx.Response.Header.SetCanonical(headerLocation, r.ctx.Path())
	}
}

// locate says under which path GET shows the reservation that was made.
func (r *request) locate(path string, id stock.ReservationID) {
	r.out = hex.AppendEncode(append(r.out[:0], path...), id[:])
	r.ctx.Response.Header.SetCanonical(headerLocation, r.out)
}

// param is a part of the path.
func (r *request) param(name string) string {
	value, _ := r.ctx.UserValue(name).(string)
	return value
}

var (
	errMediaType    = &problem.Problem{Kind: problem.UnsupportedMediaType}
	errBodyMissing  = &problem.Problem{Kind: problem.Malformed, Detail: "the body is missing"}
	errBodyUnwanted = &problem.Problem{Kind: problem.Malformed, Detail: "no body is wanted here"}
)

// body is the request's JSON, not yet decoded.
func (r *request) body() ([]byte, error) {
	body := r.ctx.Request.Body()
	if len(body) == 0 {
		return nil, errBodyMissing // whatever type it is said to have
	}
	if !isJSON(r.head.contentType) || len(r.head.contentEncoding) > 0 && !equalFold(r.head.contentEncoding, "identity") {
		return nil, errMediaType
	}
	return body, nil
}

// noBody checks that there is none where none is understood.
func (r *request) noBody() error {
	if len(r.ctx.Request.Body()) > 0 {
		return errBodyUnwanted
	}
	return nil
}

// isJSON accepts application/json, in UTF-8 or without a charset.
func isJSON(contentType []byte) bool {
	const mediaType = "application/json"
	if len(contentType) < len(mediaType) || !equalFold(contentType[:len(mediaType)], mediaType) {
		return false
	}
	rest := trim(contentType[len(mediaType):])
	if len(rest) == 0 {
		return true
	}
	if rest[0] != ';' {
		return false
	}
	rest = trim(rest[1:])
	return equalFold(rest, "charset=utf-8") || equalFold(rest, `charset="utf-8"`)
}

// requestIDBytes is the length of a request's id: 24 hexadecimal digits.
const requestIDBytes = 24

// requestIDs numbers the requests of a process. The first half tells processes apart.
type requestIDs struct {
	process [4]byte
	last    *atomic.Uint64
}

func newRequestIDs() requestIDs {
	ids := requestIDs{last: new(atomic.Uint64)}
	_, _ = rand.Read(ids.process[:]) // crypto/rand never fails: it ends the process instead
	return ids
}

func (ids *requestIDs) append(dst []byte) []byte {
	var id [requestIDBytes / 2]byte
	copy(id[:], ids.process[:])
	binary.BigEndian.PutUint64(id[4:], ids.last.Add(1))
	return hex.AppendEncode(dst, id[:])
}
