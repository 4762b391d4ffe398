package api

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/problem"
	"sluice/core/stock"
)

// takingBody is the body of a reservation as the decoder of admin bodies would have it, which the one of the hot path
// is held to, and holds.
type takingBody struct {
	SKU      sku   `json:"sku_id"`
	Quantity few   `json:"quantity"`
	Sale     *pool `json:"sale_id"`
	User     *sku  `json:"user_id"`
}

type few int64

func (m *few) UnmarshalJSON(value []byte) error { return readInteger(m, value, 1, stock.QuantityMax) }

// compareDecoders has a body decoded by both decoders. Both refuse it, or both read the same.
func compareDecoders(t *testing.T, body []byte) {
	t.Helper()
	var s scanner
	var scanned taking
	scanErr := scanned.decode(&s, body)
	b, err := decodeBody[takingBody](body)
	if (scanErr == nil) != (err == nil) {
		t.Fatalf("%q: the scanner says %v, the decoder of admin bodies %v", body, scanErr, err)
	}
	if err == nil {
		if decoded := (taking{int64(b.SKU), int64(b.Quantity), int64(of(b.Sale)), int64(of(b.User))}); decoded != scanned {
			t.Fatalf("%q: the scanner reads %+v, the decoder of admin bodies %+v", body, scanned, decoded)
		}
		return
	}
	p, q := asProblem(t, scanErr), asProblem(t, err)
	grammar := p.Detail == errSyntax.Detail || q.Detail == errSyntax.Detail // the pointer is where the reader was
	if p.Kind != problem.Malformed || q.Kind != problem.Malformed || p.Pointer != q.Pointer && !grammar {
		t.Fatalf("%q: the scanner says %v at %s, the decoder of admin bodies %v at %s", body, p, p.Pointer, q, q.Pointer)
	}
}

func asProblem(t *testing.T, err error) *problem.Problem {
	t.Helper()
	p := new(problem.Problem)
	if !errors.As(err, &p) {
		t.Fatalf("%v is no problem", err)
	}
	return p
}

func TestDecodersAgree(t *testing.T) {
	t.Parallel()
	for _, seed := range takingSeeds {
		compareDecoders(t, []byte(seed))
		for cut := range seed {
			compareDecoders(t, []byte(seed[:cut]))
			compareDecoders(t, []byte(seed[:cut]+seed[cut:cut+1]+seed[cut:]))
		}
	}
}

func FuzzDecodersAgree(f *testing.F) {
	for _, seed := range takingSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(compareDecoders)
}

func decodeAny[B any](body []byte) (any, error) { return decodeBody[B](body) }

// FuzzBodies holds the decoder of admin bodies to what it reads: written anew, it is read as the same.
func FuzzBodies(f *testing.F) {
	decoders := []func([]byte) (any, error){
		decodeAny[loadBody], decodeAny[changeBody], decodeAny[adjustBody], decodeAny[transferBody], decodeAny[saleBody],
		decodeAny[openBody], decodeAny[closeBody], decodeAny[letterBody],
	}
	for _, seed := range []string{
		`{"quantity":0,"reason":"load","limit":1,"hold_ms":1000,"opens_at":"2026-01-01T00:00:00Z","closes_at":"","ack":"log","shopper_deducts":true,"frozen":false}`,
		`{"reason":"\u00e9\n","frozen":true}`, `{"delta":-5,"reason":"lost","sale_id":"7"}`, `{"delta":0,"reason":"x"}`,
		`{"sku_id":"1","from_sale_id":null,"to_sale_id":"5","quantity":1,"reason":"x"}`,
		`{"name":"n","items":[{"sku_id":"1","quantity":5},{"sku_id":"2","quantity":1}]}`, `{"name":"n","items":[]}`, `{"name":"n","items":[{}]}`,
		`{"name":"n","items":[{"sku_id":"1","quantity":5,"quantity":5}]}`, `{"name":"n","items":[null]}`, `{"name":"n","items":null}`,
		`{"opens_at":"2026-01-01T00:00:00+01:00"}`, `{}`, `{"closes_at":null}`, `null`, `[]`, "\ufeff{}", `{} {}`, `{"closes_at":"","closes_at":""}`,
		`{"Closes_at":""}`, `{"opens_at":""}`, `{"a/b~":1}`, `{"":1}`,
	} {
		for which := range decoders {
			f.Add(uint8(which), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		decode := decoders[int(which)%len(decoders)]
		read, err := decode(body)
		if err != nil {
			if p := asProblem(t, err); p.Kind != problem.Malformed {
				t.Fatalf("%q: %+v", body, p)
			}
			return
		}
		var loose map[string]any
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		canonical, err := json.Marshal(loose)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode(canonical)
		if err != nil {
			t.Fatalf("%q is accepted, and %q is not: %v", body, canonical, err)
		}
		if diff := cmp.Diff(read, again, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
			t.Fatalf("%q and %q are read differently: %s", body, canonical, diff)
		}
	})
}
