package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// loneSurrogate finds escapes that stand for no character, which encoding/json replaces silently. It is
// looked for in the raw text without escaped backslashes.
var (
	pairedSurrogates = regexp.MustCompile(`(?i)\\uD[89AB][0-9A-F]{2}\\uD[C-F][0-9A-F]{2}`)
	loneSurrogate    = regexp.MustCompile(`(?i)\\uD[89A-F][0-9A-F]{2}`)
)

// reference decodes a taking slowly, on encoding/json, by the words of the API.
func reference(body []byte) (taking, error) {
	var t taking
	if !utf8.Valid(body) || bytes.HasPrefix(body, []byte("\ufeff")) {
		return t, io.ErrUnexpectedEOF
	}
	if !json.Valid(body) {
		return t, io.ErrUnexpectedEOF
	}
	plain := strings.ReplaceAll(string(body), `\\`, "")
	if loneSurrogate.MatchString(pairedSurrogates.ReplaceAllString(plain, "")) {
		return t, io.ErrUnexpectedEOF
	}
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	if open, err := in.Token(); err != nil || open != json.Delim('{') {
		return t, fmt.Errorf("no object: %v, %w", open, err)
	}
	var seen []string
	for in.More() {
		token, err := in.Token()
		name, ok := token.(string)
		if err != nil || !ok || slices.Contains(seen, name) {
			return t, fmt.Errorf("member %v: %w", token, err)
		}
		seen = append(seen, name)
		value, err := in.Token()
		if err != nil {
			return t, err
		}
		switch name {
		case "quantity":
			t.quantity, err = referenceQuantity(value)
		case "sku_id":
			t.sku, err = referenceID(value, math.MaxInt64, false)
		case "sale_id":
			t.sale, err = referenceID(value, math.MaxUint32, true)
		case "user_id":
			t.user, err = referenceID(value, math.MaxInt64, true)
		default:
			err = fmt.Errorf("unknown member %q", name)
		}
		if err != nil {
			return t, err
		}
	}
	if t.sku == 0 || t.quantity == 0 {
		return t, io.ErrUnexpectedEOF
	}
	return t, nil
}

func referenceQuantity(value any) (int64, error) {
	number, ok := value.(json.Number)
	if !ok || !regexp.MustCompile(`^[0-9]+$`).MatchString(number.String()) {
		return 0, fmt.Errorf("quantity %v", value)
	}
	n, err := number.Int64()
	if err == nil && (n < 1 || n > 1_000_000) {
		err = fmt.Errorf("quantity %d", n)
	}
	return n, err
}

func referenceID(value any, high uint64, orNull bool) (int64, error) {
	if value == nil && orNull {
		return 0, nil
	}
	text, ok := value.(string)
	if !ok || !regexp.MustCompile(`^[1-9][0-9]*$`).MatchString(text) {
		return 0, fmt.Errorf("id %v", value)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil && n > high {
		err = fmt.Errorf("id %d", n)
	}
	return int64(n), err
}

// takingSeeds are bodies that a decoder may get wrong, whether it should take them or not.
var takingSeeds = []string{
	`{"sku_id":"1001","quantity":1}`,
	`{"sku_id":"1","quantity":2,"sale_id":"3","user_id":"4"}`,
	" \t\r\n{ \"quantity\" : 1000000 , \"sku_id\" : \"9223372036854775807\" } \n",
	`{"sku_id":"1","quantity":1,"sale_id":null,"user_id":null}`,
	`{"sku_id":"1","quantity":1,"sale_id":"4294967295"}`,
	`{"sku_id":"1","quantity":1,"sale_id":"4294967296"}`,
	`{"\u0073ku_id":"\u0031","quantit\u0079":1}`,
	`{"sku_id":"1","\u0073ku_id":"2","quantity":1}`,
	`{"sku_id":"1","quantity":1,"sku_id":"1"}`,
	`{"sku_id":"1","quantity":1,"sale_id":null,"sale_id":"5"}`,
	`{"sku_id":"1","quantity":1,"sale_id":"5","sale_id":null}`,
	`{"Sku_id":"1","quantity":1}`, `{"SKU_ID":"1","quantity":1}`, `{"sku_id":"1","quantity":1,"x":2}`,
	`{"sku_id":"1","quantity":1,"":2}`, `{"sku_id":"1","quantity":1,"sku_id\u0000":"2"}`,
	`{"sku_id":1,"quantity":1}`, `{"sku_id":"1","quantity":"1"}`, `{"sku_id":null,"quantity":1}`, `{"sku_id":"1","quantity":null}`,
	`{"sku_id":["1"],"quantity":1}`, `{"sku_id":{"a":1},"quantity":1}`, `{"sku_id":"1","quantity":[1]}`,
	`{"sku_id":"1","quantity":0}`, `{"sku_id":"1","quantity":-1}`, `{"sku_id":"1","quantity":-0}`, `{"sku_id":"1","quantity":+1}`,
	`{"sku_id":"1","quantity":1.0}`, `{"sku_id":"1","quantity":1e0}`, `{"sku_id":"1","quantity":1E2}`, `{"sku_id":"1","quantity":01}`,
	`{"sku_id":"1","quantity":1000001}`, `{"sku_id":"1","quantity":18446744073709551617}`, `{"sku_id":"1","quantity":0x1}`,
	`{"sku_id":"1","quantity":true}`, `{"sku_id":"1","quantity":NaN}`, `{"sku_id":"1","quantity":1_000}`, `{"sku_id":"1","quantity":.5}`,
	`{"sku_id":"0","quantity":1}`, `{"sku_id":"01","quantity":1}`, `{"sku_id":"","quantity":1}`, `{"sku_id":" 1","quantity":1}`,
	`{"sku_id":"-1","quantity":1}`, `{"sku_id":"+1","quantity":1}`, `{"sku_id":"1e3","quantity":1}`, `{"sku_id":"9223372036854775808","quantity":1}`,
	`{"sku_id":"99999999999999999999","quantity":1}`, `{"sku_id":"{p1}","quantity":1}`, `{"sku_id":"1\n","quantity":1}`, "{\"sku_id\":\"1\n\",\"quantity\":1}",
	`{"sku_id":"1\r\n2","quantity":1}`, `{"sku_id":"٣","quantity":1}`, `{"sku_id":"１","quantity":1}`, `{"sku_id":"1\ud800","quantity":1}`,
	`{"sku_id":"1","quantity":1,"\ud83d\ude00":1}`, `{"sku_id":"1","quantity":1,"\ud83d":1}`, `{"sku_id":"1","quantity":1,"\ude00\ud83d":1}`,
	`{"sku_id":"1","quantity":1,"\x41":1}`, `{"sku_id":"1","quantity":1,"\u00g0":1}`, `{"sku_id":"1","quantity":1,"\u00`, `{"sku_id":"1\`,
	`{"sku_id":"1","quantity":1}{}`, `{"sku_id":"1","quantity":1} x`, `{"sku_id":"1","quantity":1},`, `{"sku_id":"1","quantity":1,}`, `{,"sku_id":"1","quantity":1}`,
	`{"sku_id":"1" "quantity":1}`, `{"sku_id":"1",,"quantity":1}`, `{"sku_id" "1","quantity":1}`, `{"sku_id":"1","quantity"}`, `{sku_id:"1","quantity":1}`,
	`{'sku_id':'1','quantity':1}`, `{"sku_id":"1","quantity":1`, `{"sku_id":"1","quantity":1}}`, `{"sku_id":"1","quantity":1}]`, `[{"sku_id":"1","quantity":1}]`,
	`{}`, `[]`, `null`, `true`, `1`, `"x"`, ``, ` `, `{`, `}`, `{"`, `{"sku_id":"1","quantity":1/**/}`, `//{}` + "\n" + `{"sku_id":"1","quantity":1}`,
	"\ufeff" + `{"sku_id":"1","quantity":1}`, `{"sku_id":"1","quantity":1}` + "\ufeff", "{\"sku_id\":\"1\",\"quantity\":1}\x00", "\x00{\"sku_id\":\"1\",\"quantity\":1}",
	"{\"sku_id\":\"\xff\",\"quantity\":1}", "{\"sku_id\":\"1\",\"quantity\":1,\"\xc0\xaf\":1}", "{\"sku_id\":\"1\",\"quantity\":1}\xff", "\x0b{\"sku_id\":\"1\",\"quantity\":1}",
	"{\u00a0\"sku_id\":\"1\",\"quantity\":1}", `{"sku_id":"1","quantity":1,"sale_id":nul}`, `{"sku_id":"1","quantity":1,"sale_id":nullx}`, `{"sku_id":"1","quantity":1,"sale_id":NULL}`,
	`{"sku_id":"1","quantity":1,"user_id":5}`, `{"sku_id":"1","quantity":1,"user_id":"0"}`, `{"__proto__":{},"sku_id":"1","quantity":1}`,
	`{"\b\f\n\r\t\/\\\"":1,"sku_id":"1","quantity":1}`,
}

// compare holds the decoder of the hot path to the reference.
func compare(t *testing.T, body []byte) (accepted bool) {
	t.Helper()
	var s scanner
	var got taking
	err := got.decode(&s, body)
	want, wantErr := reference(body)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: decoder says %v, reference says %v", body, err, wantErr)
	}
	if err != nil {
		return false
	}
	if got != want {
		t.Fatalf("%q: decoder reads %+v, reference reads %+v", body, got, want)
	}
	return true
}

func TestDecoderAgreesWithTheReference(t *testing.T) {
	t.Parallel()
	accepted := 0
	for _, seed := range takingSeeds {
		if compare(t, []byte(seed)) {
			accepted++
		}
		for cut := range seed { // no cut or doubled byte may read past an end
			compare(t, []byte(seed[:cut]))
			compare(t, []byte(seed[:cut]+seed[cut:cut+1]+seed[cut:]))
		}
	}
	if accepted != 6 {
		t.Errorf("%d of the seeds are accepted, want the 6 that are in order", accepted)
	}
}

func FuzzTaking(f *testing.F) {
	for _, seed := range takingSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) { compare(t, body) })
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(`{"sku_id":"1001","quantity":1}`)
	var s scanner
	var got taking
	b.ReportAllocs()
	for b.Loop() {
		if err := got.decode(&s, body); err != nil {
			b.Fatal(err)
		}
	}
}
