package api

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
	"github.com/valyala/fasthttp"

	"sluice/core/config"
	"sluice/core/ledger"
	"sluice/core/sale"
	"sluice/core/stock"
	"sluice/edge/batch"
	"sluice/edge/cells"
	"sluice/edge/screen"
)

// code is what a client can rely on in a problem document. Its word never changes.
type code uint8

const (
	codeMalformed code = iota
	codeKeyMissing
	codeKeyInvalid
	codeUnauthorized
	codeForbidden
	codeNotFound
	codeMethodNotAllowed
	codeRequestTimeout
	codePayloadTooLarge
	codeUnsupportedMediaType
	codeHeadersTooLarge
	codeRateLimited
	codeInternal
	codeOverloaded
	codeUnavailable
	codeOutcomeUnknown

	// Verdicts, by their own words.
	codeSoldOut
	codeLimitReached
	codeNotLoaded
	codeNotOpen
	codeClosed
	codeFrozen
	codeFenced
	codeMismatch
	codeUnknownReservation
	codeWrongState
	codeBackpressure
	codeBreached
	codeNotRegistered
	codeReplicaMissing

	// Sales, transfers and dead letters, which only admins meet.
	codeUnknownSale
	codeUnknownLetter
	codeSaleRefused
	codeTransferRefused
	codeInTransit
	codePartlyDone

	codes int = iota
)

// codeTable says how each code is answered. Repeating a retryable request unchanged, with its key, is
// safe and may succeed; repeating any other one is safe and pointless.
var codeTable = [codes]struct {
	word       string
	status     int
	retryable  bool
	retryAfter int64 // seconds, for the Retry-After header; 0: none
	title      string
}{
	codeMalformed:            {"malformed", fasthttp.StatusBadRequest, false, 0, "The request is malformed."},
	codeKeyMissing:           {"idempotency_key_missing", fasthttp.StatusBadRequest, false, 0, "A write needs an Idempotency-Key."},
	codeKeyInvalid:           {"idempotency_key_invalid", fasthttp.StatusBadRequest, false, 0, "The Idempotency-Key is not valid."},
	codeUnauthorized:         {"unauthorized", fasthttp.StatusUnauthorized, false, 0, "A valid access token is required."},
	codeForbidden:            {"forbidden", fasthttp.StatusForbidden, false, 0, "The token's role may not do this."},
	codeNotFound:             {"not_found", fasthttp.StatusNotFound, false, 0, "There is nothing at this path."},
	codeMethodNotAllowed:     {"method_not_allowed", fasthttp.StatusMethodNotAllowed, false, 0, "The path does not know this method."},
	codeRequestTimeout:       {"request_timeout", fasthttp.StatusRequestTimeout, true, 0, "The request came too slowly."},
	codePayloadTooLarge:      {"payload_too_large", fasthttp.StatusRequestEntityTooLarge, false, 0, "The body is too large."},
	codeUnsupportedMediaType: {"unsupported_media_type", fasthttp.StatusUnsupportedMediaType, false, 0, "The body must be application/json in UTF-8."},
	codeHeadersTooLarge:      {"headers_too_large", fasthttp.StatusRequestHeaderFieldsTooLarge, false, 0, "The headers are too large."},
	codeRateLimited:          {"rate_limited", fasthttp.StatusTooManyRequests, true, 1, "Too many requests."},
	codeInternal:             {"internal", fasthttp.StatusInternalServerError, true, 1, "The edge failed."},
	codeOverloaded:           {"overloaded", fasthttp.StatusServiceUnavailable, true, 1, "The edge is overloaded; nothing was done."},
	codeUnavailable:          {"unavailable", fasthttp.StatusServiceUnavailable, true, 1, "A server that the request needs cannot be reached; nothing was done."},
	codeOutcomeUnknown:       {"outcome_unknown", fasthttp.StatusGatewayTimeout, true, 1, "The outcome is unknown; repeat the request with its key."},

	codeSoldOut:            {"sold_out", fasthttp.StatusConflict, false, 0, "Not enough units are free."},
	codeLimitReached:       {"limit_reached", fasthttp.StatusConflict, false, 0, "The user would have more units than the limit."},
	codeNotLoaded:          {"not_loaded", fasthttp.StatusNotFound, false, 0, "There is no such SKU here."},
	codeNotOpen:            {"not_open", fasthttp.StatusConflict, true, 1, "The sale has not opened."},
	codeClosed:             {"closed", fasthttp.StatusGone, false, 0, "The sale has closed."},
	codeFrozen:             {"frozen", fasthttp.StatusServiceUnavailable, true, 5, "Selling is stopped."},
	codeFenced:             {"fenced", fasthttp.StatusServiceUnavailable, true, 5, "Selling is stopped until the stock is verified."},
	codeMismatch:           {"mismatch", fasthttp.StatusUnprocessableEntity, false, 0, "The Idempotency-Key was used for another request."},
	codeUnknownReservation: {"unknown_reservation", fasthttp.StatusNotFound, false, 0, "There is no such reservation."},
	codeWrongState:         {"wrong_state", fasthttp.StatusConflict, false, 0, "The state of things does not allow this."},
	codeBackpressure:       {"backpressure", fasthttp.StatusServiceUnavailable, true, 2, "Too much waits to be written down; nothing was done."},
	codeBreached:           {"breached", fasthttp.StatusServiceUnavailable, true, 5, "Selling is stopped until the stock is repaired."},
	codeNotRegistered:      {"not_registered", fasthttp.StatusForbidden, false, 0, "The user is not registered for this sale."},
	codeReplicaMissing:     {"replica_missing", fasthttp.StatusServiceUnavailable, true, 2, "No replica would have the effect; nothing was done."},

	codeUnknownSale:     {"unknown_sale", fasthttp.StatusNotFound, false, 0, "There is no such sale."},
	codeUnknownLetter:   {"unknown_dead_letter", fasthttp.StatusNotFound, false, 0, "There is no such dead letter."},
	codeSaleRefused:     {"sale_refused", fasthttp.StatusConflict, false, 0, "The sale does not allow this."},
	codeTransferRefused: {"transfer_refused", fasthttp.StatusConflict, false, 0, "The transfer is not possible; nothing was moved."},
	codeInTransit:       {"in_transit", fasthttp.StatusServiceUnavailable, true, 1, "Units have left and not arrived; repeat the request with its key."},
	codePartlyDone:      {"partly_done", fasthttp.StatusConflict, true, 5, "It was done in part; repeat the request with its key once nothing keeps back the rest."},
}

// String is the code's word.
func (c code) String() string { return codeTable[c].word }

// fault is a refusal on its way to the client.
type fault struct {
	code       code
	detail     string      // for people; may quote the request
	pointer    string      // JSON pointer to the member at fault
	state      stock.State // of the reservation that is in the wrong state
	retryAfter int64       // seconds; 0: as codeTable says
	close      bool        // nothing more can be read from the connection in good faith
	allow      string      // for the Allow header
}

// Error implements error.
func (f *fault) Error() string { return f.code.String() + ": " + f.detail }

// Refusals without anything to add, shared because none of them is ever changed.
var (
	errSoldOut            = &fault{code: codeSoldOut}
	errNotLoaded          = &fault{code: codeNotLoaded}
	errUnknownReservation = &fault{code: codeUnknownReservation}
	errNotFound           = &fault{code: codeNotFound}
	errForbidden          = &fault{code: codeForbidden}
)

// codeOf is how a refusal's verdict is told to clients. Other people's reservations are told apart from
// missing ones by nobody.
func codeOf(v stock.Verdict) (c code, refused bool) {
	switch v {
	case stock.VerdictOK, stock.VerdictReplayed:
		return 0, false
	case stock.VerdictSoldOut:
		return codeSoldOut, true
	case stock.VerdictLimitReached:
		return codeLimitReached, true
	case stock.VerdictNotLoaded:
		return codeNotLoaded, true
	case stock.VerdictNotOpen:
		return codeNotOpen, true
	case stock.VerdictClosed:
		return codeClosed, true
	case stock.VerdictFrozen:
		return codeFrozen, true
	case stock.VerdictFenced:
		return codeFenced, true
	case stock.VerdictMismatch:
		return codeMismatch, true
	case stock.VerdictUnknownReservation, stock.VerdictWrongUser:
		return codeUnknownReservation, true
	case stock.VerdictWrongState:
		return codeWrongState, true
	case stock.VerdictBackpressure:
		return codeBackpressure, true
	case stock.VerdictBreached:
		return codeBreached, true
	case stock.VerdictNotRegistered:
		return codeNotRegistered, true
	case stock.VerdictReplicaMissing:
		return codeReplicaMissing, true
	}
	return codeInternal, true
}

// faultOf tells what went wrong in words of the API. Every error that is not known here is a bug, and
// comes back as true.
func faultOf(err error) (f *fault, bug bool) {
	if f, ok := err.(*fault); ok { //nolint:errorlint // never wrapped, and errors.As would allocate
		return f, false
	}
	switch {
	case errors.Is(err, stock.ErrInTransit):
		return &fault{code: codeInTransit}, false
	case errors.Is(err, stock.ErrUnknown): // of one SKU of a sale, whatever is known of the others
		return &fault{code: codeOutcomeUnknown}, false
	case errors.Is(err, sale.ErrPartly):
		return &fault{code: codePartlyDone, detail: err.Error()}, false
	case errors.Is(err, stock.ErrTransferMismatch):
		return &fault{code: codeMismatch}, false
	case errors.Is(err, stock.ErrTransferRefused):
		return &fault{code: codeTransferRefused, detail: err.Error()}, false
	case errors.Is(err, batch.ErrFull), errors.Is(err, cells.ErrFull), errors.Is(err, screen.ErrBusy):
		return &fault{code: codeOverloaded}, false
	case errors.Is(err, stock.ErrNotApplied), errors.Is(err, stock.ErrShut),
		errors.Is(err, batch.ErrDraining), errors.Is(err, cells.ErrClosed):
		return &fault{code: codeUnavailable, detail: unreached(err)}, false
	case errors.Is(err, ledger.ErrCursor), errors.Is(err, ledger.ErrFilter):
		return &fault{code: codeMalformed, detail: err.Error()}, false
	case errors.Is(err, ledger.ErrNoLetter):
		return &fault{code: codeUnknownLetter}, false
	case errors.Is(err, ledger.ErrNeverReplay):
		return &fault{code: codeWrongState, detail: err.Error()}, false
	case errors.Is(err, sale.ErrNotFound):
		return &fault{code: codeUnknownSale}, false
	case errors.Is(err, sale.ErrPlan), errors.Is(err, sale.ErrWindow):
		return &fault{code: codeMalformed, detail: err.Error()}, false
	case errors.Is(err, sale.ErrNotLoaded):
		return &fault{code: codeNotLoaded, detail: err.Error()}, false
	case errors.Is(err, sale.ErrShort):
		return &fault{code: codeSoldOut, detail: err.Error()}, false
	case errors.Is(err, sale.ErrOverlap):
		return &fault{code: codeUnavailable, detail: err.Error()}, false
	case errors.Is(err, sale.ErrOtherPlan), errors.Is(err, sale.ErrOtherCall):
		return &fault{code: codeMismatch, detail: err.Error()}, false
	case errors.Is(err, sale.ErrNotFilled), errors.Is(err, sale.ErrNotClosed), errors.Is(err, sale.ErrStaleMove),
		errors.Is(err, sale.ErrCellRefuse):
		return &fault{code: codeSaleRefused, detail: err.Error()}, false
	}
	return &fault{code: codeInternal}, true
}

// readFault is faultOf for a call that only read: whatever became of it, nothing was done.
func readFault(err error) error {
	if errors.Is(err, stock.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) {
		return &fault{code: codeUnavailable, detail: unreached(err)}
	}
	return err
}

// unreached names the server that an error is about where it is not that of the stock, which is the usual one, or is
// there and full.
func unreached(err error) string {
	server := new(config.ServerError)
	switch {
	case errors.Is(err, stock.ErrFull):
		return "The memory of Redis is full: it takes nothing more until what was taken is written down."
	case errors.As(err, &server):
		return server.Server + " cannot be reached."
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn):
		return "MySQL cannot be reached."
	}
	return ""
}

func malformed(pointer, format string, values ...any) *fault {
	return &fault{code: codeMalformed, pointer: pointer, detail: fmt.Sprintf(format, values...)}
}

// unframed is a request whose end two readers could see in two places.
func unframed(detail string) *fault {
	return &fault{code: codeMalformed, detail: detail, close: true}
}
