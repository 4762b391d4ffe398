package price

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/core/ids"
)

// What is forgotten of the past changes no reference price, from then on.
func TestWhatIsForgottenChangesNoReference(t *testing.T) {
	t.Parallel()
	d := dice(t)
	forgotten := 0
	for range rounds {
		p := Prices{rangeOf(1, KindList, 1000, 0, 300)}
		for id := 2; id < 2+d.IntN(12); id++ {
			from := d.IntN(200)
			next := append(slices.Clone(p), rangeOf(id, KindPromotion, 500+100*d.Int64N(4), from, from+1+d.IntN(30)))
			if next.Check(marketOf(true)) == nil {
				p = next
			}
		}
		now := 50 + d.IntN(150)
		kept := p.recent(day(now))
		forgotten += len(p) - len(kept)
		for at := now; at < 300; at++ {
			want, wantBegan, wantOK := p.History("web").Before(day(at))
			got, began, ok := kept.History("web").Before(day(at))
			if got != want || ok != wantOK || !began.Equal(wantBegan) {
				t.Fatalf("on day %d: %v since %v, and without what was forgotten on day %d: %v since %v; of %+v", at, want, wantBegan, now, got, began, p)
			}
		}
	}
	if forgotten < rounds/4 {
		t.Errorf("only %d ranges were forgotten", forgotten)
	}
}

// The next moment is that of the one which is told next.
func TestNextMoment(t *testing.T) {
	t.Parallel()
	p := Prices{rangeOf(1, KindList, 1000, 0, 30), rangeOf(2, KindPromotion, 500, 10, 20)}
	for after, want := range map[int]int{-1: 0, 0: 10, 10: 20, 20: 30} {
		if next, ok := p.next(day(after)); !ok || !next.Equal(day(want)) {
			t.Errorf("after day %d comes %v, %v, want day %d", after, next, ok, want)
		}
	}
	if next, ok := p.next(day(30)); ok {
		t.Errorf("after the last one comes %v", next)
	}
}

func TestMarketsOfAFile(t *testing.T) {
	t.Parallel()
	if got := DefaultMarkets().All(); len(got) != 2 || got[0].Code != "cn" || got[1].Currency.String() != "EUR" {
		t.Errorf("the markets are %+v", got)
	}
	for _, m := range DefaultMarkets().All() {
		for _, category := range []string{"standard", "reduced", "food"} { // those of the goods of the demo shop
			if !m.taxes(category) {
				t.Errorf("%s has no rate for %s", m.Code, category)
			}
		}
	}
	const one = `{"code": "de", "currency": "EUR", "locale": "de", "price_max": 100, "regime": {"rounding": "half_up", "rates": {"standard": 190000}}}`
	for text, want := range map[string]string{
		`{"markets": [` + one + `]}`:                                               "",
		`{"markets": []}`:                                                          "0 markets",
		`{"markets": [` + one + `, ` + one + `]}`:                                  "another one with the code de",
		`{"markets": [` + strings.Replace(one, "EUR", "EURO", 1) + `]}`:            "line 1",
		`{"markets": [` + strings.Replace(one, "half_up", "half", 1) + `]}`:        "line 1",
		`{"markets": [` + strings.Replace(one, "190000", "1900000", 1) + `]}`:      "/regime/rates/standard",
		`{"markets": [` + strings.Replace(one, `"locale"`, `"language"`, 1) + `]}`: "no such member",
	} {
		_, err := ParseMarkets([]byte(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadMarkets("no/such/file"); err == nil {
		t.Error("a file that is not there is read")
	}
}

// What has ended need not be sent, and a beginning that is not sent stays.
func TestWishes(t *testing.T) {
	t.Parallel()
	now := day(20)
	had := Prices{rangeOf(1, KindList, 1000, 0, 40), rangeOf(2, KindPromotion, 800, 5, 10), rangeOf(3, KindPromotion, 700, 25, 30)}
	got, err := had.wanted([]Wish{{ID: 1, Kind: KindList, Price: eur(1000), To: day(40)}, {Kind: KindPromotion, Price: eur(600)}}, now, func() ids.Price { return 9 })
	if err != nil || len(got) != 3 || !got[0].From.Equal(day(0)) || got[1].ID != 9 || !got[1].From.Equal(now) || got[2].ID != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, wishes := range [][]Wish{{{ID: 4}}, {{ID: 1}, {ID: 1}}} {
		if _, err := had.wanted(wishes, now, nil); codeOf(err) != "malformed" {
			t.Errorf("%+v: %v", wishes, err)
		}
	}
	fine := []Wish{{Kind: KindList, Price: eur(1), From: now.Add(1500 * time.Microsecond)}}
	if got, err := had.wanted(fine, now, func() ids.Price { return 9 }); err != nil || !got[0].From.Equal(now.Add(time.Millisecond)) {
		t.Errorf("%+v, %v", got, err)
	}
}
