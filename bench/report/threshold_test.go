package report

import (
	"strings"
	"testing"
)

// The sample has 0 to 6 requests of the outcomes, in their order, that took 1, 2, 3... ms.
func TestThresholdsAreHeldToTheReport(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Fairness = &Fairness{InOrder: 0.75}
	for text, want := range map[string]bool{
		"p99<50ms":           false, // nothing was accepted
		"sold_out.p99<3ms":   true,
		"sold_out.p99<1ms":   false,
		"refused.max>=6ms":   true,
		"max<1h":             false, // the same
		"refused.p50<=3.1ms": true,
		"unknown.p99.9>1s":   false,
		"accepted>0.9":       false,
		"accepted<=0":        true,
		"shed<0.2":           true,
		"shed<0.19":          false,
		"refused/s>=6":       true,
		"refused/s>6":        false,
		"fairness>0.7":       true,
		"fairness>0.8":       false,

		// Of each word there is one shopper more, who took a second.
		"shopper.p99>=1s":          true,
		"shopper.sold_out.max<1s":  false,
		"shopper.sold_out.p50<3ms": true,
		"shopper.shed<0.178":       false, // 5 of 28
		"shopper.shed<0.179":       true,
	} {
		c, err := ParseWant(text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := c.Of(r); got.Met != want || got.Text != text {
			t.Errorf("%s: %+v, want %v", text, got, want)
		}
	}
	for text, unit := range map[string]string{"p99<1s": "ms", "shed/s<1": "per second", "shed<1": "", "fairness>0": ""} {
		w, err := ParseWant(text)
		if got := w.Of(r); err != nil || got.Unit != unit {
			t.Errorf("%s: %+v, %v, want %q", text, got, err, unit)
		}
	}
	nobody := &Report{}
	for _, name := range Words {
		nobody.Outcomes = append(nobody.Outcomes, Outcome{Name: name})
	}
	for _, text := range []string{"shed<0.5", "p99<1s", "fairness>0"} {
		c, err := ParseWant(text)
		if err != nil || c.Of(nobody).Met {
			t.Errorf("%s is met by a run without answers, %v", text, err)
		}
	}
}

func TestThresholdsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "want a threshold", "p99": "want a threshold", "p99<50": "no duration", "p99<-5ms": "no duration", "p98<5ms": "want a threshold",
		"won>0.5": `no outcome "won"`, "accepted>90": "is a share", "accepted>x": "no number", "accepted/s>-1": "no number", "won.p99<1ms": `no outcome "won"`,
		"fairness>2": "is a share", "accepted>NaN": "no number", "accepted=1": "want a threshold", "shopper.fairness>0.5": "always about shoppers", "shopper.won>0.5": `no outcome "won"`, ".p99<5ms": "want a threshold", "acceptedp99<5ms": "want a threshold",
	} {
		if _, err := ParseWant(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
