package api

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/core/auth"
	"sluice/core/limit"
)

// TestEndForgetsTheRequest serves with one request object twice: the second request finds nothing of the first.
func TestEndForgetsTheRequest(t *testing.T) {
	t.Parallel()
	ids := newRequestIDs()
	r := &request{}
	r.begin(&fasthttp.RequestCtx{}, time.Unix(1, 0), &ids)
	r.head, r.who, r.counted = head{contentType: []byte("x")}, auth.Identity{Subject: 7}, true
	r.userAllowance, r.addressAllowance = limit.Allowance{OK: true}, limit.Allowance{OK: true}
	r.client = netip.IPv6Loopback()
	r.answerWrite(fasthttp.StatusOK, true, []byte("{}"))
	of := reflect.ValueOf(&r.serving).Elem()
	for i := range of.NumField() {
		if of.Field(i).IsZero() {
			t.Errorf("the request has no %s, so that the test shows nothing of it", of.Type().Field(i).Name)
		}
	}
	r.end()
	if !of.IsZero() {
		t.Errorf("the request is still known: %+v", r.serving)
	}
}
