package load

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyCrowd draws a crowd of up to some ten thousand shoppers.
func anyCrowd(t *rapid.T) *Crowd {
	var curve Curve
	at := time.Duration(0)
	for range rapid.IntRange(2, 6).Draw(t, "points") {
		curve = append(curve, Point{at, rapid.SampledFrom([]float64{0, 1, 30, 499.5}).Draw(t, "rate")})
		at += time.Duration(rapid.SampledFrom([]int64{0, 1, int64(time.Millisecond), int64(time.Second), int64(2 * time.Second)}).Draw(t, "gap"))
	}
	c := &Crowd{
		Seed: rapid.Uint64().Draw(t, "seed"), Curve: curve, Evenly: rapid.Bool().Draw(t, "evenly"),
		WarmUp: time.Duration(rapid.SampledFrom([]int64{0, int64(time.Second)}).Draw(t, "warm-up")),
		Users:  rapid.IntRange(1, 1000).Draw(t, "users"), SKUs: rapid.IntRange(1, 1_000_000).Draw(t, "skus"),
		Choice: rapid.SampledFrom([]Choice{Zipf, Uniform}).Draw(t, "keys"), Patience: time.Second, BotTries: 3,
		Impatient: rapid.Float64Range(0, 1).Draw(t, "impatient"), Bots: rapid.Float64Range(0, 1).Draw(t, "bots"),
		Confirm: rapid.Float64Range(0, 0.5).Draw(t, "confirm"), Release: rapid.Float64Range(0, 0.5).Draw(t, "release"),
	}
	if c.Validate() != nil {
		t.Skip("nobody comes")
	}
	return c
}

// near fails unless a count of chances is within six standard deviations.
func near(t *rapid.T, what string, got, want, deviation float64) {
	if math.Abs(got-want) > 6*deviation+1 {
		t.Fatalf("%s: %v, want about %v", what, got, want)
	}
}

func TestCrowdsFollowTheirPlan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := anyCrowd(t)
		all := slices.Collect(c.Arrivals())
		if !slices.Equal(all, slices.Collect(c.Arrivals())) {
			t.Fatal("the same crowd differs")
		}
		var shoppers, bots, impatient, confirm, release, firstHalf float64
		half := c.Curve.Length() / 2
		for i := range all {
			a := &all[i]
			switch {
			case a.Number != int64(i) || a.User != i%c.Users:
				t.Fatalf("shopper %d: %+v", i, a)
			case i > 0 && a.At < all[i-1].At:
				t.Fatalf("shopper %d comes at %v after %v", i, a.At, all[i-1].At)
			case a.WarmUp != (a.SKU == c.SKUs), a.WarmUp && a.At > c.WarmUp, !a.WarmUp && a.At < c.WarmUp, a.At > c.WarmUp+c.Curve.Length():
				t.Fatalf("a warm-up of %v: %+v", c.WarmUp, a)
			case a.SKU < 0 || a.SKU > c.SKUs:
				t.Fatalf("%d SKUs: %+v", c.SKUs, a)
			}
			if a.WarmUp {
				continue
			}
			shoppers++
			count := func(n *float64, is bool) {
				if is {
					*n++
				}
			}
			count(&bots, a.Bot)
			count(&impatient, a.Impatient)
			count(&confirm, a.After == Confirm)
			count(&release, a.After == Release)
			count(&firstHalf, a.At <= c.WarmUp+half)
		}
		deviation := math.Sqrt(c.Curve.Total())
		if c.Evenly {
			deviation = 0.1
		}
		near(t, "shoppers", shoppers, c.Curve.Total(), deviation)
		near(t, "in the first half", firstHalf, c.Curve.until(half), deviation)
		for what, of := range map[string][2]float64{
			"bots": {bots, c.Bots}, "impatient": {impatient, c.Impatient}, "confirm": {confirm, c.Confirm}, "release": {release, c.Release},
		} {
			near(t, what, of[0], shoppers*of[1], math.Sqrt(shoppers*of[1]*(1-of[1])))
		}
	})
}

// until adds up a curve's arrivals to a time by small steps.
func (c Curve) until(end time.Duration) (n float64) {
	for i := 1; i < len(c); i++ {
		from, to := c[i-1], c[i]
		if to.At <= end {
			n += area(from, to)
		} else if from.At < end {
			part := float64(end-from.At) / float64(to.At-from.At)
			n += area(from, Point{end, from.PerSecond + part*(to.PerSecond-from.PerSecond)})
		}
	}
	return n
}

func TestDemandFollowsTheChoice(t *testing.T) {
	t.Parallel()
	of := func(choice Choice, skus int) []int {
		c := &Crowd{Curve: Constant(50_000, time.Second), Users: 10, SKUs: skus, Choice: choice}
		counts := make([]int, skus)
		for a := range c.Arrivals() {
			counts[a.SKU]++
		}
		return counts
	}
	if hot := of(Hot, 1); hot[0] < 48_000 {
		t.Errorf("hot: %v", hot)
	}
	if u := of(Uniform, 10); slices.Min(u) < 4500 || slices.Max(u) > 5500 {
		t.Errorf("uniform: %v", u)
	}
	if z := of(Zipf, 10); !slices.IsSortedFunc(z, func(a, b int) int { return b - a }) || z[0] < 15*z[9]/2 {
		t.Errorf("zipf: %v", z)
	}
}

func TestASaleBeginsWithItsPeak(t *testing.T) {
	t.Parallel()
	for _, length := range []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second, time.Minute} {
		c := Opening(1000, length)
		if err := c.Validate(); err != nil || c.Length() != length {
			t.Errorf("%v: %v, %v", length, c, err)
		}
	}
	c := Opening(1000, 10*time.Second)
	if first, last := c.until(time.Second), c.Total()-c.until(9*time.Second); first < 800 || last > 110 || c.Peak() != 1000 {
		t.Errorf("%v in the first second, %v in the last, peak %v: %v", first, last, c.Peak(), c)
	}
}

func TestCurvesAreReadStrictly(t *testing.T) {
	t.Parallel()
	got, err := ReadCurve(strings.NewReader("\ufeffseconds,per_second\r\n0,100\n1.5, 200\n1.5,0\n2,0\n"))
	want := Curve{{0, 100}, {1500 * time.Millisecond, 200}, {1500 * time.Millisecond, 0}, {2 * time.Second, 0}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	for text, want := range map[string]string{
		"":                                         "seconds,per_second",
		"0,100\n1,100\n":                           "seconds,per_second",
		"seconds,per_second\n":                     "two points",
		"seconds,per_second\n0,1":                  "two points",
		"seconds,per_second\n0,100\n1\n":           "wrong number of fields",
		"seconds,per_second\n0,100\n1,NaN\n":       "NaN per second",
		"seconds,per_second\n0,100\n1,-1\n":        "-1 per second",
		"seconds,per_second\n0,100\nInf,1\n":       "line 3",
		"seconds,per_second\n0,100\n1,2e6\n":       "per second at 1s",
		"seconds,per_second\n1,100\n2,100\n":       "begins at 0",
		"seconds,per_second\n0,100\n2,1\n1,1\n":    "forward in time",
		"seconds,per_second\n0,0\n1,0\n":           "nobody comes",
		"seconds,per_second\n0,1000000\n90000,1\n": "at most 86400",
		"seconds,per_second\n0,1000000\n80000,1\n": "arrivals: want",
		"seconds,per_second\n0,5\n0,5\n":           "length 0s",
	} {
		if c, err := ReadCurve(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %q", text, c, err, want)
		}
	}
}

func TestCrowdsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Crowd){
		"two points":                func(c *Crowd) { c.Curve = nil },
		"nobody comes in it":        func(c *Crowd) { c.WarmUp = time.Microsecond },
		"users":                     func(c *Crowd) { c.Users = 0 },
		"skus":                      func(c *Crowd) { c.SKUs = 1_000_001 },
		"hot-1 is for one SKU":      func(c *Crowd) { c.SKUs, c.Choice = 2, Hot },
		`keys: "cold"`:              func(c *Crowd) { c.Choice = "cold" },
		"retries":                   func(c *Crowd) { c.Retries = -1 },
		"impatient: 1.5":            func(c *Crowd) { c.Impatient = 1.5 },
		"bots: NaN":                 func(c *Crowd) { c.Bots = math.NaN() },
		"bot-tries":                 func(c *Crowd) { c.BotTries = 0 },
		"patience":                  func(c *Crowd) { c.Patience = 0 },
		"are more than all":         func(c *Crowd) { c.Confirm, c.Release = 0.6, 0.6 },
		"settle-after":              func(c *Crowd) { c.SettleAfter = -1 },
		"warm-up":                   func(c *Crowd) { c.WarmUp = -time.Second },
		"want whole seconds":        func(c *Crowd) { c.WarmUp = 1500 * time.Millisecond },
		"release: -1: want a share": func(c *Crowd) { c.Release = -1 },
	} {
		c := &Crowd{Curve: Constant(10, time.Second), Users: 1, SKUs: 1, Choice: Hot, Patience: time.Second, BotTries: 1}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		change(c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
