package price

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/core/money"
)

func TestStrategiesAsTexts(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		text string
		s    Strategy
	}{
		{`{"off":250000}`, Percentage{250_000}},
		{`{"off":{"amount":100,"currency":"EUR"}}`, AmountOff{eur(100)}},
		{`[{"level":2,"off":50000},{"level":4,"off":70000}]`, Tiers{{2, 50_000}, {4, 70_000}}},
		{`{"buy":3,"pay":2}`, BuyPay{3, 2}},
		{`{"parts":[{"sku_id":"4096","quantity":2}],"price":{"amount":500,"currency":"EUR"}}`, Bundle{[]Part{{4096, 2}}, eur(500)}},
	} {
		text, s := of.text, of.s
		written, err := Write(s)
		if err != nil || string(written) != text {
			t.Errorf("%+v is %s (%v), want %s", s, written, err, text)
		}
		back, err := Read(s.Name(), []byte(text))
		if diff := cmp.Diff(s, back, amounts); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, wrong := range [][2]string{
		{"", `{}`},
		{"other", `{}`},
		{"percentage", ``},
		{"percentage", `[]`},
		{"percentage", `{"off":1.5}`},
		{"percentage", `{"off":1,"more":2}`},
		{"percentage", `{"off":1,"off":2}`},
		{"percentage", `{"Off":1}`},
		{"amount", `{"off":{"amount":1,"currency":"XXX"}}`},
		{"bundle", `{"parts":[{"sku_id":4096}]}`},
	} {
		if s, err := Read(wrong[0], []byte(wrong[1])); codeOf(err) != "malformed" {
			t.Errorf("%s %s is %+v, %v", wrong[0], wrong[1], s, err)
		}
	}
}

// Whatever text is read, and can be a strategy, is written as it is read, and a cart with it has a quote.
func FuzzRead(f *testing.F) {
	f.Add("percentage", []byte(`{"off":250000}`))
	f.Add("amount", []byte(`{"off":{"amount":100,"currency":"EUR"}}`))
	f.Add("tiers", []byte(`[{"level":2,"off":50000}]`))
	f.Add("buy_pay", []byte(`{"buy":3,"pay":2}`))
	f.Add("bundle", []byte(`{"parts":[{"sku_id":"4096","quantity":2}],"price":{"amount":500,"currency":"EUR"}}`))
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		s, err := Read(name, text)
		if err != nil {
			return
		}
		p := promotionOf(1, s)
		if p.Check(marketOf(true)) != nil {
			return
		}
		written, err := Write(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Read(name, written)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Write(back); err != nil || !bytes.Equal(again, written) {
			t.Fatalf("%s is %s (%v)", written, again, err)
		}
		r := requestOf(itemOf(1, quantityMax, 999), itemOf(2, 1, money.MinorMax/2))
		r.Level, r.Promotions = LevelMax, []Promotion{p}
		mustQuote(t, r)
	})
}
