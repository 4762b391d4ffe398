package price

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/ids"
)

func mustSealer(t *testing.T, b byte) *Sealer {
	t.Helper()
	s, err := NewSealer(bytes.Repeat([]byte{b}, secretBytes))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// What is sealed comes back as it was, for its user and until it ends.
func TestSealedQuotes(t *testing.T) {
	t.Parallel()
	d := dice(t)
	s := mustSealer(t, 1)
	for range rounds / 10 {
		q := mustQuote(t, d.request())
		sealed, err := s.Seal(&q)
		if err != nil {
			t.Fatal(err)
		}
		back, err := s.Open(sealed, 7, q.Ends.Add(-1))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, back, amounts); diff != "" {
			t.Fatalf("-sealed +opened:\n%s", diff)
		}
	}
	guest := requestOf(itemOf(1, 1, 100))
	guest.User = 0
	q := mustQuote(t, guest)
	sealed, err := s.Seal(&q)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(sealed, 0, q.At); err != nil {
		t.Errorf("a guest: %v", err)
	}
}

// Nobody but the shop makes a quote, and nobody uses one of somebody else, or one that has ended.
func TestTamperedQuotes(t *testing.T) {
	t.Parallel()
	s := mustSealer(t, 1)
	q := mustQuote(t, requestOf(itemOf(1, 3, 1000)))
	sealed, err := s.Seal(&q)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what, text, code string) {
		t.Helper()
		if got, err := s.Open(text, 7, q.At); codeOf(err) != code || got.Lines != nil {
			t.Errorf("%s: %+v, %v, want %s", what, got, err, code)
		}
	}
	held, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range held { // each bit of the seal and of what is sealed
		for bit := range 8 {
			other := bytes.Clone(held)
			other[i] ^= 1 << bit
			f("another bit", base64.RawURLEncoding.EncodeToString(other), "quote_invalid")
		}
		f("less of it", base64.RawURLEncoding.EncodeToString(held[:i]), "quote_invalid")
	}
	f("more of it", base64.RawURLEncoding.EncodeToString(append(bytes.Clone(held), ' ')), "quote_invalid")
	for more := range 3 { // the last letter has bits that mean nothing, unless the length is a multiple of three
		other := mustQuote(t, requestOf(itemOf(1, int64(math.Pow10(more)), 1000)))
		text, err := s.Seal(&other)
		if err != nil {
			t.Fatal(err)
		}
		last := strings.IndexByte(letters, text[len(text)-1])
		f("another spelling", text[:len(text)-1]+letters[last^1:][:1], "quote_invalid")
	}
	f("no text", "", "quote_invalid")
	f("other letters", sealed[:len(sealed)-1]+"!", "quote_invalid")
	f("a line break", sealed[:9]+"\n"+sealed[9:], "quote_invalid")
	f("padding", sealed+"=", "quote_invalid")
	f("a long text", strings.Repeat("A", sealedBytesMax+1), "quote_invalid")
	other, err := mustSealer(t, 2).Seal(&q)
	if err != nil {
		t.Fatal(err)
	}
	f("another secret", other, "quote_invalid")
	for _, user := range []ids.User{0, 8} {
		if _, err := s.Open(sealed, user, q.At); codeOf(err) != "quote_invalid" {
			t.Errorf("user %d: %v", user, err)
		}
	}
	if _, err := s.Open(sealed, 7, q.Ends); codeOf(err) != "quote_expired" {
		t.Errorf("at its end: %v", err)
	}
	if _, err := NewSealer(make([]byte, secretBytes-1)); err == nil {
		t.Error("a short secret was taken")
	}
}

// A quote that does not add up is not sealed: each amount counts.
func TestSumsAreChecked(t *testing.T) {
	t.Parallel()
	s := mustSealer(t, 1)
	r := requestOf(itemOf(1, 3, 1000), itemOf(2, 1, 500))
	r.Coupons = []Coupon{couponOf(1, 100)}
	for what, change := range map[string]func(*Quote){
		"total":             func(q *Quote) { q.Total.Minor-- },
		"goods":             func(q *Quote) { q.Goods.Minor++ },
		"discount":          func(q *Quote) { q.Discount.Minor++ },
		"tax":               func(q *Quote) { q.Tax.Minor++ },
		"line":              func(q *Quote) { q.Lines[0].Total.Minor--; q.Total.Minor-- },
		"quantity":          func(q *Quote) { q.Lines[0].Quantity++ },
		"line's tax":        func(q *Quote) { q.Lines[0].Tax.Minor = -1; q.Tax.Minor = q.Lines[1].Tax.Minor - 1 },
		"surcharge":         func(q *Quote) { q.Lines[0].Adjustments[0].Amount.Minor = 5 },
		"currency":          func(q *Quote) { q.Currency = mustIn("USD") },
		"currency of tax":   func(q *Quote) { q.Lines[0].Tax.Currency = mustIn("USD") },
		"currency of goods": func(q *Quote) { q.Lines[0].Goods.Currency = mustIn("USD") },
		"below 0": func(q *Quote) {
			q.Lines[0].Adjustments[0].Amount.Minor -= 5000
			q.Discount.Minor -= 5000
			q.Lines[0].Total.Minor -= 5000
			q.Total.Minor -= 5000
		},
	} {
		q := mustQuote(t, r)
		change(&q)
		if text, err := s.Seal(&q); err == nil {
			t.Errorf("another %s was sealed: %s", what, text)
		}
	}
}
