package load

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"sluice/bench/report"
)

// Codes of what was not answered, beside those of problem documents.
const (
	codeNoAnswer  = "no_answer"     // sent, and then the time was over or the connection broke
	codeGaveUp    = "gave_up"       // sent, and then the shopper's patience was over
	codeNotSent   = "not_connected" // no connection: nothing was sent
	codeNoProblem = "no_problem"    // an error without a problem document
)

// answer is what an exchange came to.
type answer struct {
	word  report.Word
	code  string        // empty for a success
	again bool          // the same request may be repeated and may then succeed
	after time.Duration // not before
	id    string        // of the reservation
}

// read says what an answer means. A server that fails without saying that it did nothing may have done it.
func (r *Response) read() answer {
	if r.Status/100 == 2 {
		a := answer{word: report.Accepted, id: string(member(r.Body, "reservation_id"))}
		if r.Replay {
			a.word = report.Replayed
		}
		return a
	}
	a := answer{word: report.Refused, code: string(member(r.Body, "code"))}
	a.again = bytes.Contains(r.Body, []byte(`"retryable":true`))
	a.after = retryAfter(r.Header)
	switch {
	case r.Status == http.StatusServiceUnavailable && a.code != "":
		a.word = report.Shed
	case r.Status >= 500:
		a.word = report.Unknown
		a.again = true
	case a.code == "sold_out":
		a.word = report.SoldOut
	case a.code == "limit_reached", r.Status == http.StatusTooManyRequests:
		a.word = report.Limited
	}
	if a.code == "" {
		a.code = codeNoProblem
	}
	return a
}

// member returns the first text of a name in a JSON document of a server under test. It reads no escapes.
func member(document []byte, name string) []byte {
	_, after, found := bytes.Cut(document, []byte(`"`+name+`":"`))
	if !found {
		return nil
	}
	value, _, found := bytes.Cut(after, []byte(`"`))
	if !found || len(value) > 64 {
		return nil
	}
	return value
}

const retryAfterMax = 30 // seconds that a server may ask for

func retryAfter(header []byte) time.Duration {
	for line := range bytes.Lines(header) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Retry-After")) {
			seconds, _ := strconv.Atoi(string(bytes.TrimSpace(value)))
			return time.Duration(min(max(0, seconds), retryAfterMax)) * time.Second
		}
	}
	return 0
}
