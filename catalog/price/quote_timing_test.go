package price

import (
	"bytes"
	"testing"
)

// BenchmarkQuote quotes three lines with two promotions and two coupons, seals the quote, and reads it.
func BenchmarkQuote(b *testing.B) {
	r := requestOf(itemOf(1, 1, 19_900), itemOf(2, 4, 795), itemOf(3, 4, 1299))
	r.Promotions = []Promotion{promotionOf(1, BuyPay{3, 2}), promotionOf(2, Percentage{50_000})}
	r.Coupons = []Coupon{couponOf(1, 2000), couponOf(2, 500)}
	s, err := NewSealer(bytes.Repeat([]byte{1}, secretBytes))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("quote", func(b *testing.B) {
		for b.Loop() {
			if _, err := NewQuote(r); err != nil {
				b.Fatal(err)
			}
		}
	})
	q, err := NewQuote(r)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("seal", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Seal(&q); err != nil {
				b.Fatal(err)
			}
		}
	})
	sealed, err := s.Seal(&q)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Open(sealed, r.User, q.At); err != nil {
				b.Fatal(err)
			}
		}
	})
}
