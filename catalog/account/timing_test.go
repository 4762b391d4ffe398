package account_test

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sluice/catalog/account"
)

// TestTimeTellsNobody compares how long the same requests take for an address that has an account and for one that has
// none. They come in turns, and each pair is judged by which of the two took longer: whatever the machine does, that is a coin.
func TestTimeTellsNobody(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	a.member(mia)
	const pairs = 60
	key := 0
	caller := func() account.Caller {
		key++
		a.now.Add(int64(time.Hour)) // so that no limit is met
		return account.Caller{Address: netip.AddrFrom4([4]byte{10, 0, byte(key / 250), byte(key % 250)}), Key: fmt.Sprint(key)}
	}
	for what, ask := range map[string]func(email string) error{
		"sign in": func(email string) error {
			_, err := a.SignIn(t.Context(), caller(), account.SignIn{Email: email, Password: another})
			return err
		},
		"register": func(email string) error {
			_, err := a.Register(t.Context(), caller(), account.Registration{Email: email, Password: another, Home: home})
			return err
		},
		"reset": func(email string) error {
			_, err := a.AskReset(t.Context(), caller(), email)
			return err
		},
	} {
		longer := 0
		var known, unknown []time.Duration
		took := func(email string) time.Duration {
			began := time.Now()
			_ = ask(email)
			return time.Since(began)
		}
		for i := range pairs {
			nobody := fmt.Sprintf("nobody%d@example.org", i)
			var k, u time.Duration
			if i%2 == 0 { // none is always the second
				k, u = took(mia), took(nobody)
			} else {
				u, k = took(nobody), took(mia)
			}
			if k > u {
				longer++
			}
			known, unknown = append(known, k), append(unknown, u)
		}
		if p := twoSided(pairs, longer); p < 1e-6 {
			t.Errorf("%s: an address with an account took longer in %d of %d pairs (p = %.1g): medians %v and %v", what, longer, pairs, p, median(known), median(unknown))
		}
	}
}

// The test above sees a difference that a few hundred guesses would show: it is no test of nothing.
func TestTimeThatTellsIsSeen(t *testing.T) {
	t.Parallel()
	for longer, seen := range map[int]bool{30: false, 38: false, 22: false, 50: true, 10: true, 60: true, 0: true} {
		if p := twoSided(60, longer); p < 1e-6 != seen {
			t.Errorf("%d of 60: p = %.1g", longer, p)
		}
	}
}

// twoSided is how likely a fair coin falls on one side so unevenly, or more.
func twoSided(n, k int) float64 {
	k = max(k, n-k)
	sum := 0.0
	for i := k; i <= n; i++ {
		ways, _ := math.Lgamma(float64(n + 1))
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(ways - a - b - float64(n)*math.Ln2)
	}
	return min(2*sum, 1)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}
