//go:build !race

package api

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// The race detector makes pools forget at random, so that allocations mean nothing under it.

func TestDecodingAllocatesNothing(t *testing.T) {
	body := []byte(`{"sku_id":"1001","quantity":1,"sale_id":"77"}`)
	var s scanner
	var got taking
	if n := testing.AllocsPerRun(100, func() {
		if err := got.decode(&s, body); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		decider instant
		status  int
	}{
		"accepted": {instant{}, fasthttp.StatusCreated},
		"sold out": {instant{soldOut: true}, fasthttp.StatusConflict},
	} {
		a, ctx := parsed(t, tc.decider)
		a.Serve(ctx) // verifies the token
		n := testing.AllocsPerRun(1000, func() {
			ctx.Response.Reset()
			a.Serve(ctx)
		})
		if ctx.Response.StatusCode() != tc.status {
			t.Fatalf("%s: %d %s", name, ctx.Response.StatusCode(), ctx.Response.Body())
		}
		if n > 0.5 { // a garbage collection may empty a pool
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
