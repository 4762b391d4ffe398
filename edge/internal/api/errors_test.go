package api

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/stock"
)

// TestUnreachableMySQLIsNamed asks a MySQL that is silent, and one that is not there: whoever only reads its lists is
// not told of the stock.
func TestUnreachableMySQLIsNamed(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for _, addr := range []string{listener.Addr().String(), "127.0.0.1:1"} {
		mysql, err := db.Config{DSN: config.Secret("root@tcp(" + addr + ")/x"), ConnsMax: 1, Timeout: 200 * time.Millisecond}.OpenUnchecked()
		if err != nil {
			t.Fatal(err)
		}
		err = fmt.Errorf("read list: %w: %w", stock.ErrNotApplied, mysql.PingContext(t.Context()))
		if f, bug := faultOf(readFault(err)); bug || f.code != codeUnavailable || f.detail != "MySQL cannot be reached." {
			t.Errorf("%v is told as %+v (bug: %v)", err, f, bug)
		}
		_ = mysql.Close()
	}
}

// TestCodesAreThoseOfTheDocument holds codeTable to the API document: clients rely on the words.
func TestCodesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../../docs/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var documented, known []string
	for _, word := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		documented = append(documented, word.(string))
	}
	for c, e := range codeTable {
		if e.word == "" || e.title == "" || e.status < 400 || e.status > 599 {
			t.Errorf("code %d: %+v", c, e)
		}
		if e.retryable != (e.retryAfter > 0 || e.word == "request_timeout") {
			t.Errorf("%s: retryable %v, after %d s", e.word, e.retryable, e.retryAfter)
		}
		known = append(known, e.word)
	}
	slices.Sort(documented)
	slices.Sort(known)
	if !slices.Equal(documented, known) {
		t.Errorf("documented: %v\nknown:      %v", documented, known)
	}
	if len(slices.Compact(slices.Clone(known))) != len(known) {
		t.Errorf("a word is there twice: %v", known)
	}
}

// TestCodesAreAnsweredAsPromised has the promise to clients a second time, literally.
func TestCodesAreAnsweredAsPromised(t *testing.T) {
	t.Parallel()
	for status, words := range map[int]struct{ final, retryable []string }{
		400: {final: []string{"malformed", "idempotency_key_missing", "idempotency_key_invalid"}},
		401: {final: []string{"unauthorized"}},
		403: {final: []string{"forbidden", "not_registered"}},
		404: {final: []string{"not_found", "not_loaded", "unknown_reservation", "unknown_sale", "unknown_dead_letter"}},
		405: {final: []string{"method_not_allowed"}},
		408: {retryable: []string{"request_timeout"}},
		409: {final: []string{"sold_out", "limit_reached", "wrong_state", "sale_refused", "transfer_refused"}, retryable: []string{"not_open", "partly_done"}},
		410: {final: []string{"closed"}},
		413: {final: []string{"payload_too_large"}},
		415: {final: []string{"unsupported_media_type"}},
		422: {final: []string{"mismatch"}},
		429: {retryable: []string{"rate_limited"}},
		431: {final: []string{"headers_too_large"}},
		500: {retryable: []string{"internal"}},
		503: {retryable: []string{"overloaded", "unavailable", "frozen", "fenced", "backpressure", "breached", "replica_missing", "in_transit"}},
		504: {retryable: []string{"outcome_unknown"}},
	} {
		for _, e := range codeTable {
			final, retryable := slices.Contains(words.final, e.word), slices.Contains(words.retryable, e.word)
			if (final || retryable) != (e.status == status) || e.status == status && e.retryable != retryable {
				t.Errorf("%s: %d, retryable %v", e.word, e.status, e.retryable)
			}
		}
	}
}
