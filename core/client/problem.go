package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code is the stable code of a problem document. CodeOf returns the code of an error. docs/integration.md says what to do
// after each code.
type Code string

// The codes.
const (
	CodeMalformed            Code = "malformed"
	CodeKeyMissing           Code = "idempotency_key_missing"
	CodeKeyInvalid           Code = "idempotency_key_invalid"
	CodeUnauthorized         Code = "unauthorized"
	CodeForbidden            Code = "forbidden"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeRequestTimeout       Code = "request_timeout"
	CodePayloadTooLarge      Code = "payload_too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeHeadersTooLarge      Code = "headers_too_large"
	CodeRateLimited          Code = "rate_limited"
	CodeInternal             Code = "internal"
	CodeOverloaded           Code = "overloaded"
	CodeUnavailable          Code = "unavailable"
	CodeOutcomeUnknown       Code = "outcome_unknown" // no call ends with it: the client returns ErrOutcomeUnknown

	CodeSoldOut            Code = "sold_out"
	CodeLimitReached       Code = "limit_reached"
	CodeNotLoaded          Code = "not_loaded"
	CodeNotOpen            Code = "not_open"
	CodeClosed             Code = "closed"
	CodeFrozen             Code = "frozen"
	CodeFenced             Code = "fenced"
	CodeMismatch           Code = "mismatch"
	CodeUnknownReservation Code = "unknown_reservation"
	CodeWrongState         Code = "wrong_state"
	CodeBackpressure       Code = "backpressure"
	CodeBreached           Code = "breached"
	CodeNotRegistered      Code = "not_registered"
	CodeReplicaMissing     Code = "replica_missing"

	CodeUnknownSale     Code = "unknown_sale"
	CodeUnknownLetter   Code = "unknown_dead_letter"
	CodeSaleRefused     Code = "sale_refused"
	CodeTransferRefused Code = "transfer_refused"
	CodeInTransit       Code = "in_transit"
	CodePartlyDone      Code = "partly_done"
)

// CodeOf returns the code of the problem that ended a call. It returns CodeOutcomeUnknown for ErrOutcomeUnknown, and "" if
// there is no code.
func CodeOf(err error) Code {
	if errors.Is(err, ErrOutcomeUnknown) {
		return CodeOutcomeUnknown
	}
	if p := new(Problem); errors.As(err, &p) {
		return p.Code
	}
	return ""
}

// Problem is a refusal by the edge, from its problem document (RFC 9457).
type Problem struct { //nolint:errname // the API calls it a problem
	Code       Code          `json:"code"`
	Title      string        `json:"title"`      // what the code means, for people
	Detail     string        `json:"detail"`     // for people
	Pointer    string        `json:"pointer"`    // JSON pointer to the member of the body that is at fault
	State      State         `json:"state"`      // the state that the reservation has instead
	Retryable  bool          `json:"retryable"`  // the same request may succeed, repeated with its key
	RequestID  string        `json:"request_id"` // names the answer in the edge's logs
	Status     int           `json:"-"`          // of HTTP
	RetryAfter time.Duration `json:"-"`          // how long to wait before repeating it; 0: the edge did not say
	Key        string        `json:"-"`          // the Idempotency-Key of the write, to repeat it with
}

// Error implements error.
func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", p.Code, p.Title)
	if p.Pointer != "" {
		fmt.Fprintf(&b, " %s:", p.Pointer)
	}
	if p.Detail != "" {
		b.WriteString(" " + p.Detail)
	}
	if p.State != "" {
		fmt.Fprintf(&b, " It is %s.", p.State)
	}
	if p.RequestID != "" {
		fmt.Fprintf(&b, " (request %s)", p.RequestID)
	}
	return b.String()
}

// ErrOutcomeUnknown means that a write may have had its effect, or may have it later. The error is an *UnknownError,
// which has the key. The same call with that key tells the outcome.
var ErrOutcomeUnknown = errors.New("client: the outcome is unknown")

// UnknownError is ErrOutcomeUnknown with the key for a repetition. It does not unwrap to its cause, because the cause
// is about the last attempt only, and an earlier one may have had the effect.
type UnknownError struct {
	Key   string // the Idempotency-Key of the write
	Cause error  // what the last attempt ended with
}

// Error implements error.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("%v: repeat the call with its key %q: %v", ErrOutcomeUnknown, e.Key, e.Cause)
}

// Is makes errors.Is compare it with ErrOutcomeUnknown.
func (e *UnknownError) Is(target error) bool {
	return target == ErrOutcomeUnknown
}
