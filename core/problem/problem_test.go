package problem_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"sluice/core/problem"
)

// TestCodesAreThoseOfTheDocument compares the kinds with the API document: clients rely on the words.
func TestCodesAreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile("../../docs/api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var documented, known []string
	for _, word := range doc.Components.Schemas["Problem"].Value.Properties["code"].Value.Enum {
		documented = append(documented, word.(string))
	}
	for _, k := range problem.Kinds() {
		if k.Code == "" || k.Title == "" || k.Status < 400 || k.Status > 599 {
			t.Errorf("%+v", k)
		}
		if k.Retryable != (k.RetryAfter > 0 || k.Code == "request_timeout") {
			t.Errorf("%s: retryable %v, after %d s", k.Code, k.Retryable, k.RetryAfter)
		}
		known = append(known, k.Code)
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
		for _, k := range problem.Kinds() {
			final, retryable := slices.Contains(words.final, k.Code), slices.Contains(words.retryable, k.Code)
			if (final || retryable) != (k.Status == status) || k.Status == status && k.Retryable != retryable {
				t.Errorf("%s: %d, retryable %v", k.Code, k.Status, k.Retryable)
			}
		}
	}
}

// Each member of a problem is in its document or in its headers, and an empty one in neither.
func TestProblemIsWrittenWhole(t *testing.T) {
	t.Parallel()
	full := &problem.Problem{
		Kind: problem.NotOpen, Detail: "a \"b\"\n", Pointer: "/x", State: "held", RetryAfter: 7, Close: true, Allow: "GET",
	}
	for _, c := range []struct {
		p        *problem.Problem
		method   string
		id       string
		document map[string]any
		header   http.Header
	}{
		{
			full, http.MethodPost, "9f",
			map[string]any{"detail": "a \"b\"\n", "pointer": "/x", "state": "held", "request_id": "9f"},
			http.Header{"Retry-After": {"7"}, "Connection": {"close"}, "Allow": {"GET"}, "X-Request-Id": {"9f"}},
		},
		{
			&problem.Problem{Kind: problem.NotOpen}, http.MethodGet, "",
			map[string]any{},
			http.Header{"Retry-After": {"1"}, "Cache-Control": {"no-store"}},
		},
		{
			&problem.Problem{Kind: problem.Frozen, Spent: true}, http.MethodPost, "",
			map[string]any{},
			http.Header{},
		},
		{
			&problem.Problem{Kind: problem.Unauthorized}, http.MethodPost, "",
			map[string]any{},
			http.Header{"Www-Authenticate": {problem.Challenge}},
		},
	} {
		w := httptest.NewRecorder()
		c.p.Write(w, httptest.NewRequest(c.method, "/", http.NoBody), c.id)
		got := map[string]any{}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatalf("%s: %v", w.Body, err)
		}
		for name, value := range map[string]any{
			"type": "urn:sluice:problem:" + c.p.Kind.Code, "code": c.p.Kind.Code, "title": c.p.Kind.Title,
			"status": float64(c.p.Kind.Status), "retryable": c.p.Kind.Retryable && !c.p.Spent,
		} {
			c.document[name] = value
		}
		if diff := cmp.Diff(c.document, got); diff != "" || w.Code != c.p.Kind.Status {
			t.Errorf("%d %s (-want +got):\n%s", w.Code, w.Body, diff)
		}
		header := w.Header()
		header.Del("Content-Length")
		c.header.Set("Content-Type", problem.MediaType)
		if diff := cmp.Diff(c.header, header); diff != "" {
			t.Errorf("headers of %v (-want +got):\n%s", c.p, diff)
		}
	}
}

// Edge and shop share the kinds, so their titles name neither.
func TestTitlesFitEveryService(t *testing.T) {
	t.Parallel()
	for _, k := range problem.Kinds() {
		for _, service := range []string{"edge", "persister", "shop", "catalog", "Redis", "MySQL", "Kafka"} {
			if strings.Contains(strings.ToLower(k.Title), strings.ToLower(service)) {
				t.Errorf("the title of %s is about one service: %s", k.Code, k.Title)
			}
		}
	}
}
