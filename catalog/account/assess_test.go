package account_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sluice/catalog/account"
	"sluice/catalog/assess"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/shard"
)

// byLocale are rules under which the locale of who signs up decides.
const byLocale = `{"rules": [
	{"name": "held", "at": ["sign_up"], "when": {"locale": {"in": ["ho"]}}, "then": "hold"},
	{"name": "challenged", "at": ["sign_up"], "when": {"locale": {"in": ["ch"]}}, "then": "challenge"},
	{"name": "second", "at": ["sign_up"], "when": {"network_users_today": {"above": 0}, "locale": {"in": ["de"]}}, "then": "deny"},
	{"name": "domain", "at": ["sign_up"], "when": {"mail_domain": {"in": ["throw.example"]}}, "then": "deny"}
]}`

func newAssessed(t *testing.T) *accounts {
	t.Helper()
	return newAccountsBy(t, fileOf(t, byLocale))
}

// fileOf writes a file of rules.
func fileOf(t *testing.T, rules string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.json")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// verify registers somebody in a language and gives the code.
func (a *accounts) verify(email, locale string, by account.Caller) (account.User, error) {
	a.t.Helper()
	of := account.Registration{Email: email, Password: good, Home: account.Home{Region: "eu", Locale: locale}}
	asked := must(a.Register(a.t.Context(), from("register "+email), of))(a.t)
	return a.Verify(a.t.Context(), by, asked.Challenge, a.last("verify_email").Values["code"])
}

// decide decides about a user who has signed up.
func (a *accounts) decide(user ids.User, allowed bool) {
	a.t.Helper()
	of := assess.Case{Moment: assess.SignUp, Subject: int64(user)}
	must(a.assess.Claim(a.t.Context(), of, tester))(a.t)
	must(a.assess.Decide(a.t.Context(), of, assess.Decision{Allowed: allowed, Reason: "a test"}, tester))(a.t)
}

// Who has to wait cannot sign in before a person has decided.
func TestHeldUserWaits(t *testing.T) {
	t.Parallel()
	a := newAssessed(t)
	for _, allowed := range []bool{true, false} {
		email := map[bool]string{true: "yes@example.org", false: "no@example.org"}[allowed]
		user := must(a.verify(email, "ho", from("verify "+email)))(t)
		if user.State != account.StateLocked {
			t.Errorf("the user is %s", user.State)
		}
		_, err := a.signIn(email, good, "early")
		refused(t, "sign in early", err, "user_locked")
		a.decide(user.ID, allowed)
		want, events := account.StateLocked, []string{"user_made"}
		if _, err = a.signIn(email, good, "late"); allowed {
			want, events = account.StateActive, []string{"user_made", "user_unlocked"}
			if err != nil {
				t.Error(err)
			}
		} else {
			refused(t, "sign in after a denial", err, "user_locked")
		}
		if got := must(a.User(t.Context(), user.ID, db.Never))(t); got.State != want {
			t.Errorf("allowed %v: the user is %s, want %s", allowed, got.State, want)
		}
		if diff := cmp.Diff(events, a.told(user.ID)); diff != "" {
			t.Error(diff)
		}
		if allowed {
			continue
		}
		a.decide(user.ID, true) // the denial was a mistake
		must(a.signIn(email, good, "at last"))(t)
		if diff := cmp.Diff([]string{"user_made", "user_unlocked"}, a.told(user.ID)); diff != "" {
			t.Error(diff)
		}
	}
}

// Who is challenged goes on, and a person who looks at it later may end that with all sessions.
func TestChallengedUserGoesOn(t *testing.T) {
	t.Parallel()
	a := newAssessed(t)
	for _, allowed := range []bool{true, false} {
		email := map[bool]string{true: "yes@example.org", false: "no@example.org"}[allowed]
		user := must(a.verify(email, "ch", from("verify "+email)))(t)
		tokens := must(a.signIn(email, good, "early"))(t)
		a.decide(user.ID, allowed)
		want, events := account.StateActive, []string{"user_made"}
		refreshed, err := a.Refresh(t.Context(), tokens.Refresh)
		if !allowed {
			want, events = account.StateLocked, []string{"user_made", "sessions_ended", "user_locked"}
			refused(t, "refresh after a denial", err, "unauthorized")
			_, err = a.signIn(email, good, "late")
			refused(t, "sign in after a denial", err, "user_locked")
		} else if err != nil || refreshed.Access == "" {
			t.Error(err)
		}
		if got := must(a.User(t.Context(), user.ID, db.Never))(t); got.State != want {
			t.Errorf("allowed %v: the user is %s, want %s", allowed, got.State, want)
		}
		if diff := cmp.Diff(events, a.told(user.ID)); diff != "" {
			t.Error(diff)
		}
	}
}

// Who is denied is no user, keeps no address from others, and is told the same again.
func TestDeniedRegistrationHasNoEffect(t *testing.T) {
	t.Parallel()
	a := newAssessed(t)
	asked := must(a.Register(t.Context(), from("r"), account.Registration{Email: "eve@mail.throw.example", Password: good, Home: home}))(t)
	code := a.last("verify_email").Values["code"]
	for _, key := range []string{"first", "first", "second"} {
		_, err := a.Verify(t.Context(), from(key), asked.Challenge, code)
		refused(t, "a denied registration", err, "registration_refused")
	}
	for _, table := range []string{"users__", "credentials__", "claims__", "identities__", "account_outbox__", "assess_counts__"} {
		for _, p := range a.databases.All(shard.Users) {
			var n int
			if err := p.In(p.Writer()).QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s has %d rows, %v", table, n, err)
			}
		}
	}
}

// A request that is repeated is assessed once: it does not count itself, nor what came since.
func TestRepeatedVerificationKeepsItsAnswer(t *testing.T) {
	t.Parallel()
	a := newAssessed(t)
	asked := must(a.Register(t.Context(), from("r"), account.Registration{Email: mia, Password: good, Home: home}))(t)
	code := a.last("verify_email").Values["code"]
	first := must(a.Verify(t.Context(), from("v"), asked.Challenge, code))(t)
	if again := must(a.Verify(t.Context(), from("v"), asked.Challenge, code))(t); again != first {
		t.Errorf("%+v, then %+v", first, again)
	}
	_, err := a.verify("bob@example.org", "de", from("w"))
	refused(t, "the second user of a network", err, "registration_refused")
	elsewhere := account.Caller{Address: netip.MustParseAddr("10.0.1.1"), Key: "x"}
	if _, err := a.verify("amy@example.org", "de", elsewhere); err != nil {
		t.Errorf("the first user of another network: %v", err)
	}
	if !slices.Equal(a.told(first.ID), []string{"user_made"}) {
		t.Errorf("events: %q", a.told(first.ID))
	}
}
