package account_test

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/core/tally"
)

// question is what anybody, or anybody with an account, asks about an address or a number. It is one that is known, or one that is not.
type question struct {
	known   string
	unknown func(i int) string
	ask     func(ctx context.Context, by account.Caller, about string) error
}

// questions are all of those, to accounts among which Mia has an address and Ann a number.
func (a *accounts) questions() map[string]question {
	a.t.Helper()
	const annsPhone = "+4915112345678"
	asker := a.member("asker@example.org").ID
	a.member(mia)
	asked := must(a.AskPhone(a.t.Context(), from("ann"), account.PhoneRegistration{Phone: annsPhone, Home: home}))(a.t)
	must(a.EnterByPhone(a.t.Context(), from("ann"), asked.Challenge, a.last("sign_in_code").Values["code"]))(a.t)
	address := func(i int) string { return fmt.Sprintf("nobody%d@example.org", i) }
	number := func(i int) string { return fmt.Sprintf("+49151%08d", 20_000_000+i) }
	return map[string]question{
		"sign in": {mia, address, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.SignIn(ctx, by, account.SignIn{Email: about, Password: another})
			return err
		}},
		"register": {mia, address, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.Register(ctx, by, account.Registration{Email: about, Password: another, Home: home})
			return err
		}},
		"reset": {mia, address, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.AskReset(ctx, by, about)
			return err
		}},
		"sign in by phone": {annsPhone, number, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.AskPhone(ctx, by, account.PhoneRegistration{Phone: about, Home: home})
			return err
		}},
		"another phone": {annsPhone, number, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.AskSetPhone(ctx, by, asker, about, "")
			return err
		}},
		"another address": {mia, address, func(ctx context.Context, by account.Caller, about string) error {
			_, err := a.AskSetEmail(ctx, by, asker, about, nil)
			return err
		}},
	}
}

// callers are as many as are asked for, each somebody else and so long after the one before that no limit is met.
func (a *accounts) callers() func() account.Caller {
	key := 0
	return func() account.Caller {
		key++
		a.now.Add(int64(time.Hour))
		return account.Caller{Address: netip.AddrFrom4([4]byte{10, 0, byte(key / 250), byte(key % 250)}), Key: fmt.Sprint(key)}
	}
}

// TestWorkTellsNobody counts what is done for an address or a number that is known and for one that is not: as many calls of MySQL, as
// many hashes, and the same refusal.
func TestWorkTellsNobody(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	caller := a.callers()
	for what, q := range a.questions() {
		work := func(about string) string {
			ctx, calls := tally.Count(t.Context())
			hashes := a.Hashes()
			err := q.ask(ctx, caller(), about)
			return fmt.Sprintf("%d calls, %d hashes: %v", calls.Load(), a.Hashes()-hashes, err)
		}
		work(q.unknown(0)) // which prepares statements
		known, unknown := work(q.known), work(q.unknown(1))
		if known != unknown {
			t.Errorf("%s: %s where it is known, %s where it is not", what, known, unknown)
		}
		if hashed := what == "sign in" || what == "register"; strings.Contains(known, " 0 calls") || strings.Contains(known, " 1 hashes") != hashed {
			t.Errorf("%s: %s", what, known)
		}
	}
}

// TestTimeTellsNobody compares how long the same requests take for an address or a number that has an account and for one that has
// none. They come in turns, and each pair is judged by which of the two took longer: whatever the machine does, that is a coin.
func TestTimeTellsNobody(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	const pairs = 60
	caller := a.callers()
	for what, q := range a.questions() {
		longer := 0
		var known, unknown []time.Duration
		took := func(about string) time.Duration {
			by, began := caller(), time.Now()
			_ = q.ask(t.Context(), by, about)
			return time.Since(began)
		}
		for i := range pairs {
			nobody := q.unknown(i)
			var k, u time.Duration
			if i%2 == 0 { // none is always the second
				k, u = took(q.known), took(nobody)
			} else {
				u, k = took(nobody), took(q.known)
			}
			if k > u {
				longer++
			}
			known, unknown = append(known, k), append(unknown, u)
		}
		if p := twoSided(pairs, longer); p < 1e-6 {
			t.Errorf("%s: what is known took longer in %d of %d pairs (p = %.1g): medians %v and %v", what, longer, pairs, p, median(known), median(unknown))
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
