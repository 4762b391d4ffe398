package problem

import (
	"fmt"
	"net/http"
	"slices"
)

// Kind has the parts that all problems of one code share. To repeat a retryable request unchanged, with its key, is
// safe and may succeed. To repeat any other request is safe, and cannot succeed.
type Kind struct {
	Code       string // clients can rely on it: it never changes
	Status     int    // of HTTP
	Retryable  bool
	RetryAfter int64 // seconds, for the Retry-After header; 0: none
	Title      string

	head  []byte // the first members of each document
	spent []byte // the same where the key is spent
}

// NewKind makes a kind. Each package declares the kinds of its own codes once, as this package does.
func NewKind(k Kind) *Kind {
	k.head, k.spent = k.members(k.Retryable), k.members(false)
	return &k
}

func (k *Kind) members(retryable bool) []byte {
	return fmt.Appendf(nil, `{"type":"urn:sluice:problem:%s","title":%q,"status":%d,"code":%q,"retryable":%t`,
		k.Code, k.Title, k.Status, k.Code, retryable)
}

// Kinds lists the kinds of this package.
func Kinds() []*Kind { return slices.Clone(kinds) }

var kinds []*Kind

// shared makes a kind that several packages use.
func shared(code string, status int, retryable bool, retryAfter int64, title string) *Kind {
	k := NewKind(Kind{Code: code, Status: status, Retryable: retryable, RetryAfter: retryAfter, Title: title})
	kinds = append(kinds, k)
	return k
}

// Kinds that any request may meet.
var (
	Malformed            = shared("malformed", http.StatusBadRequest, false, 0, "The request is malformed.")
	KeyMissing           = shared("idempotency_key_missing", http.StatusBadRequest, false, 0, "A write needs an Idempotency-Key.")
	KeyInvalid           = shared("idempotency_key_invalid", http.StatusBadRequest, false, 0, "The Idempotency-Key is not valid.")
	Unauthorized         = shared("unauthorized", http.StatusUnauthorized, false, 0, "A valid access token is required.")
	Forbidden            = shared("forbidden", http.StatusForbidden, false, 0, "The token's role may not do this.")
	NotFound             = shared("not_found", http.StatusNotFound, false, 0, "There is nothing at this path.")
	MethodNotAllowed     = shared("method_not_allowed", http.StatusMethodNotAllowed, false, 0, "The path does not know this method.")
	RequestTimeout       = shared("request_timeout", http.StatusRequestTimeout, true, 0, "The request came too slowly.")
	PayloadTooLarge      = shared("payload_too_large", http.StatusRequestEntityTooLarge, false, 0, "The body is too large.")
	UnsupportedMediaType = shared("unsupported_media_type", http.StatusUnsupportedMediaType, false, 0, "The body must be application/json in UTF-8.")
	HeadersTooLarge      = shared("headers_too_large", http.StatusRequestHeaderFieldsTooLarge, false, 0, "The headers are too large.")
	RateLimited          = shared("rate_limited", http.StatusTooManyRequests, true, 1, "Too many requests.")
	Internal             = shared("internal", http.StatusInternalServerError, true, 1, "The server failed.")
	Overloaded           = shared("overloaded", http.StatusServiceUnavailable, true, 1, "The server is overloaded; nothing was done.")
	Unavailable          = shared("unavailable", http.StatusServiceUnavailable, true, 1, "A server that the request needs cannot be reached; nothing was done.")
	OutcomeUnknown       = shared("outcome_unknown", http.StatusGatewayTimeout, true, 1, "The outcome is unknown; repeat the request with its key.")
)

// Kinds for refusals by the rules of stock. The code is the word of the verdict.
var (
	SoldOut            = shared("sold_out", http.StatusConflict, false, 0, "Not enough units are free.")
	LimitReached       = shared("limit_reached", http.StatusConflict, false, 0, "A limit of this SKU does not allow this.")
	NotLoaded          = shared("not_loaded", http.StatusNotFound, false, 0, "There is no such SKU here.")
	NotOpen            = shared("not_open", http.StatusConflict, true, 1, "The sale has not opened.")
	Closed             = shared("closed", http.StatusGone, false, 0, "The sale has closed.")
	Frozen             = shared("frozen", http.StatusServiceUnavailable, true, 5, "Selling is stopped.")
	Fenced             = shared("fenced", http.StatusServiceUnavailable, true, 5, "Selling is stopped until the stock is verified.")
	Mismatch           = shared("mismatch", http.StatusUnprocessableEntity, false, 0, "The Idempotency-Key was used for another request.")
	UnknownReservation = shared("unknown_reservation", http.StatusNotFound, false, 0, "There is no such reservation.")
	WrongState         = shared("wrong_state", http.StatusConflict, false, 0, "The state of things does not allow this.")
	Backpressure       = shared("backpressure", http.StatusServiceUnavailable, true, 2, "Too much waits to be written down; nothing was done.")
	Breached           = shared("breached", http.StatusServiceUnavailable, true, 5, "Selling is stopped until the stock is repaired.")
	NotRegistered      = shared("not_registered", http.StatusForbidden, false, 0, "The user is not registered for this sale.")
	ReplicaMissing     = shared("replica_missing", http.StatusServiceUnavailable, true, 2, "No replica would have the effect; nothing was done.")
)

// Kinds about sales, transfers and dead letters. Only admins meet them.
var (
	UnknownSale     = shared("unknown_sale", http.StatusNotFound, false, 0, "There is no such sale.")
	UnknownLetter   = shared("unknown_dead_letter", http.StatusNotFound, false, 0, "There is no such dead letter.")
	SaleRefused     = shared("sale_refused", http.StatusConflict, false, 0, "The sale does not allow this.")
	TransferRefused = shared("transfer_refused", http.StatusConflict, false, 0, "The transfer is not possible; nothing was moved.")
	InTransit       = shared("in_transit", http.StatusServiceUnavailable, true, 1, "Units have left and not arrived; repeat the request with its key.")
	PartlyDone      = shared("partly_done", http.StatusConflict, true, 5, "It was done in part; repeat the request with its key once nothing keeps back the rest.")
)
