package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	mia      = "mia@example.org"
	good     = "correct horse battery staple"
	another  = "staple battery horse correct"
	kindCode = "code_refused"
)

var home = account.Home{Region: "eu", Locale: "de"}

// from is a caller with an Idempotency-Key.
func from(key string) account.Caller {
	return account.Caller{Address: netip.MustParseAddr("10.0.0.1"), Key: key}
}

// refused checks that an error is a problem of a kind.
func refused(t *testing.T, what string, err error, code string) {
	t.Helper()
	var p *problem.Problem
	if !errors.As(err, &p) || p.Kind.Code != code {
		t.Errorf("%s: %v, want %s", what, err, code)
	}
}

// messages are those that were sent, the oldest first.
func (a *accounts) messages() []account.Message {
	a.post.mu.Lock()
	defer a.post.mu.Unlock()
	return slices.Clone(a.post.all)
}

// last is the last message.
func (a *accounts) last(template string) account.Message {
	a.t.Helper()
	all := a.messages()
	if len(all) == 0 || all[len(all)-1].Template != template {
		a.t.Fatalf("the last of %d messages is no %s", len(all), template)
	}
	return all[len(all)-1]
}

// exec runs a statement where the rows of a user are.
func (a *accounts) exec(user ids.User, statement string, values ...any) {
	a.t.Helper()
	p := a.databases.At(shard.OfUser(int64(user)))
	if _, err := p.In(p.Writer()).ExecContext(a.t.Context(), statement, values...); err != nil {
		a.t.Fatal(err)
	}
}

// member registers somebody and makes the user.
func (a *accounts) member(email string) account.User {
	a.t.Helper()
	asked := must(a.Register(a.t.Context(), from("register "+email), account.Registration{Email: email, Password: good, Home: home}))(a.t)
	return must(a.Verify(a.t.Context(), from("verify "+email), asked.Challenge, a.last("verify_email").Values["code"]))(a.t)
}

// must returns a value that a call has to have.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func (a *accounts) signIn(email, password, key string) (account.Tokens, error) {
	in, err := a.SignIn(a.t.Context(), from(key), account.SignIn{Email: email, Password: password})
	if err == nil && in.Second != nil {
		a.t.Errorf("%s needs a second factor", email)
	}
	return in.Tokens, err
}

func TestFromRegistrationToSession(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	r := account.Registration{Email: "Mia@EXAMPLE.org", Password: good, Home: home}
	asked := must(a.Register(ctx, from("r"), r))(t)
	again := must(a.Register(ctx, from("r"), r))(t)
	if asked != again || len(a.messages()) != 1 {
		t.Errorf("a repetition: %+v and %+v, %d messages", asked, again, len(a.messages()))
	}
	r.Password = another
	_, err := a.Register(ctx, from("r"), r)
	refused(t, "the key with another password", err, "mismatch")
	m := a.last("verify_email")
	if m.To != "Mia@example.org" || m.Locale != "de" || m.Values["minutes"] != "15" || m.User != 0 {
		t.Errorf("%+v", m)
	}
	_, err = a.signIn(mia, good, "s0")
	refused(t, "before the address is verified", err, "credentials_refused")
	user := must(a.Verify(ctx, from("v"), asked.Challenge, m.Values["code"]))(t)
	if user.Home != home || user.State != account.StateActive {
		t.Errorf("%+v", user)
	}
	if same := must(a.Verify(ctx, from("v"), asked.Challenge, m.Values["code"]))(t); same != user {
		t.Errorf("again it is %+v", same)
	}
	_, err = a.Verify(ctx, from("w"), asked.Challenge, m.Values["code"])
	refused(t, "the code with another key", err, kindCode)

	first := must(a.signIn("MIA@example.org", good, "s1"))(t)
	who := a.who(first)
	if who.Subject != int64(user.ID) || who.Role != auth.RoleShopper || who.Session != first.Session || first.Session < 1 {
		t.Errorf("the token is of %+v", who)
	}
	if same := must(a.signIn(mia, good, "s1"))(t); same.Session != first.Session || same.Refresh != first.Refresh {
		t.Errorf("a repetition began session %v after %v", same.Session, first.Session)
	}
	other := must(a.signIn(mia, good, "s2"))(t)
	if other.Session == first.Session {
		t.Error("another key gives the same session")
	}
	second := must(a.Refresh(ctx, first.Refresh))(t)
	if second.Session != first.Session || second.Refresh == first.Refresh || a.who(second) != who {
		t.Errorf("%+v after %+v", second, first)
	}
	_, err = a.signIn(mia, good, "s1")
	refused(t, "the key of a session that was refreshed", err, "wrong_state")
	if all := must(a.Sessions(ctx, user.ID))(t); len(all) != 2 {
		t.Errorf("%d sessions", len(all))
	}
}

// who is the bearer of an access token.
func (a *accounts) who(tokens account.Tokens) auth.Identity {
	a.t.Helper()
	v := auth.NewVerifier(a.keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10})
	who, err := v.Verify([]byte(tokens.Access), time.Now())
	if err != nil {
		a.t.Fatal(err)
	}
	return who
}

// A code is for its own flow, request and address, counts for a while, and bears few guesses.
func TestCodesThatDoNotFit(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	ask := func(email string) (string, string) {
		t.Helper()
		asked := must(a.Register(ctx, from("r "+email), account.Registration{Email: email, Password: good, Home: home}))(t)
		return asked.Challenge, a.last("verify_email").Values["code"]
	}
	ours, code := ask("eve@example.org")
	theirs, theirCode := ask("bob@example.org")
	reset := must(a.AskReset(ctx, from("reset"), mia))(t)
	resetCode := a.last("reset_password").Values["code"]
	verify := func(challenge, code string) error {
		_, err := a.Verify(ctx, from("verify"), challenge, code)
		return err
	}
	change := func(challenge, code string) error {
		_, err := a.Reset(ctx, from("change"), challenge, code, another)
		return err
	}
	refused(t, "a code of another flow", verify(reset.Challenge, resetCode), kindCode)
	refused(t, "a code of another flow", change(ours, code), kindCode)
	refused(t, "a code of another address", verify(ours, theirCode), kindCode)
	refused(t, "a code of another challenge", verify(reset.Challenge, code), kindCode)
	for _, challenge := range []string{"", "x", strings.Repeat("A", 22), ours[:21], ours + "A", ours + "\n", "../" + ours} {
		refused(t, fmt.Sprintf("the challenge %q", challenge), verify(challenge, code), kindCode)
	}
	for _, text := range []string{"", "1234567", "123456789", "abcdefgh", "１２３４５６７８", code + " "} {
		refused(t, fmt.Sprintf("the code %q", text), verify(ours, text), "malformed") // which costs no try
	}
	wrong := "00000000"
	if wrong == code {
		wrong = "00000001"
	}
	for range 4 { // the first try was the code of another address
		refused(t, "a guess", verify(ours, wrong), kindCode)
	}
	refused(t, "the right code after five guesses", verify(ours, code), kindCode)
	if _, err := a.Verify(ctx, from("verify"), theirs, theirCode); err != nil {
		t.Errorf("guesses at one code end another: %v", err)
	}
	a.exec(user.ID, "UPDATE challenges__ SET ends_at = NOW(3) WHERE purpose = 'reset'")
	refused(t, "a code that has ended", change(reset.Challenge, resetCode), kindCode)
	if _, err := a.signIn(mia, good, "still"); err != nil {
		t.Errorf("the password has changed: %v", err)
	}
	if _, err := a.signIn("eve@example.org", good, "never"); err == nil {
		t.Error("who has no right code is a user")
	}
}

// An address that has an account, and one that has none, get the same answers. Only their messages differ.
func TestNobodyLearnsWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	known := must(a.Register(ctx, from("k"), account.Registration{Email: mia, Password: another, Home: home}))(t)
	taken := a.last("account_exists")
	unknown := must(a.Register(ctx, from("u"), account.Registration{Email: "eve@example.org", Password: another, Home: home}))(t)
	if len(known.Challenge) != len(unknown.Challenge) || known.EndsAt.Sub(unknown.EndsAt).Abs() > time.Minute {
		t.Errorf("registered: %+v and %+v", known, unknown)
	}
	if taken.To != mia || len(taken.Values) != 0 {
		t.Errorf("%+v", taken)
	}
	var said []string
	for _, code := range []string{"00000000", "00000001"} { // one of them may be right for a decoy
		_, err := a.Verify(ctx, from("v"), known.Challenge, code)
		said = append(said, fmt.Sprint(err))
	}
	_, err := a.Verify(ctx, from("v"), unknown.Challenge, wrongOf(a.last("verify_email").Values["code"]))
	for _, text := range said {
		if text != fmt.Sprint(err) {
			t.Errorf("%s and %v", text, err)
		}
	}
	must(a.AskReset(ctx, from("k"), mia))(t)
	a.last("reset_password")
	must(a.AskReset(ctx, from("u"), "bob@example.org"))(t)
	if m := a.last("no_account"); m.To != "bob@example.org" || len(m.Values) != 0 || m.User != 0 {
		t.Errorf("%+v", m)
	}
	_, wrong := a.signIn(mia, another, "k")
	_, nobody := a.signIn("carl@example.org", another, "u")
	refused(t, "a wrong password", wrong, "credentials_refused")
	if wrong.Error() != nobody.Error() {
		t.Errorf("%v and %v", wrong, nobody)
	}
}

func wrongOf(code string) string {
	if code == "00000000" {
		return "00000001"
	}
	return "00000000"
}

// Of several who register an address, the first who has its code gets it.
func TestAnAddressHasOneUser(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	type try struct{ challenge, code string }
	var tries []try
	for i := range 4 {
		r := account.Registration{Email: []string{mia, "MIA@example.org"}[i%2], Password: good, Home: home}
		asked := must(a.Register(ctx, from(fmt.Sprint(i)), r))(t)
		tries = append(tries, try{asked.Challenge, a.last("verify_email").Values["code"]})
	}
	var mu sync.Mutex
	users := map[ids.User]bool{}
	var group errgroup.Group
	for i, of := range tries {
		group.Go(func() error {
			user, err := a.Verify(ctx, from(fmt.Sprint(i)), of.challenge, of.code)
			var p *problem.Problem
			if errors.As(err, &p) && p.Kind.Code == "address_taken" {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			users[user.ID] = true
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(users) != 1 {
		t.Errorf("%d users have the address", len(users))
	}
	if tokens := must(a.signIn(mia, good, "s"))(t); !users[tokens.User] {
		t.Errorf("user %d signs in, of %v", tokens.User, users)
	}
}

// A process may end between any two steps of a registration.
func TestRegistrationsThatStopped(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	register := func(email string) (account.Asked, string) {
		t.Helper()
		asked := must(a.Register(ctx, from("r "+email), account.Registration{Email: email, Password: good, Home: home}))(t)
		return asked, a.last("verify_email").Values["code"]
	}
	claims := func(statement string) {
		t.Helper()
		for _, p := range a.databases.All(shard.Values) {
			if _, err := p.In(p.Writer()).ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	pending := func() (n int) {
		t.Helper()
		for _, p := range a.databases.All(shard.Values) {
			var here int
			if err := p.In(p.Writer()).QueryRowContext(ctx, "SELECT COUNT(*) FROM claims__ WHERE NOT final").Scan(&here); err != nil {
				t.Fatal(err)
			}
			n += here
		}
		return n
	}
	const old = "UPDATE claims__ SET claimed_at = NOW(3) - INTERVAL 1 HOUR"

	a.member(mia) // after the user was made
	claims("UPDATE claims__ SET final = FALSE")
	if _, err := a.signIn(mia, good, "pending"); err != nil {
		t.Errorf("a user whose claim is not final yet: %v", err)
	}
	claims(old)
	if err := a.Sweep(ctx); err != nil || pending() != 0 {
		t.Fatalf("%d pending, %v", pending(), err)
	}
	if _, err := a.signIn(mia, good, "final"); err != nil {
		t.Errorf("after the sweep: %v", err)
	}

	stopped, code := register("eve@example.org") // after the claim
	ctx2, cancel := context.WithCancel(ctx)
	a.Stop(func(step string) {
		if step == "claimed" {
			cancel()
		}
	})
	if _, err := a.Verify(ctx2, from("v"), stopped.Challenge, code); err == nil {
		t.Fatal("it did not stop")
	}
	a.Stop(func(string) {})
	if pending() != 1 {
		t.Fatalf("%d pending", pending())
	}
	if err := a.Sweep(ctx); err != nil || pending() != 1 {
		t.Fatalf("a young claim: %d pending, %v", pending(), err)
	}
	if err := func() error { _, err := a.Verify(ctx, from("v"), stopped.Challenge, code); return err }(); err != nil || pending() != 0 {
		t.Fatalf("the same request goes on: %v", err)
	}

	stopped, code = register("bob@example.org") // and one that is slower than the sweep
	a.Stop(func(step string) {
		if step == "claimed" {
			claims(old)
			if err := a.Sweep(ctx); err != nil || pending() != 0 {
				t.Errorf("an old claim: %d pending, %v", pending(), err)
			}
		}
	})
	if _, err := a.Verify(ctx, from("v"), stopped.Challenge, code); !errors.Is(err, stock.ErrNotApplied) {
		t.Fatalf("a claim that was given up: %v", err)
	}
	a.Stop(func(string) {})
	asked := must(a.Register(ctx, from("again"), account.Registration{Email: "bob@example.org", Password: another, Home: home}))(t)
	must(a.Verify(ctx, from("again"), asked.Challenge, a.last("verify_email").Values["code"]))(t) // the address is free again
	if _, err := a.signIn("bob@example.org", another, "s"); err != nil {
		t.Errorf("who has the address: %v", err)
	}
	_, err := a.Verify(ctx, from("v"), stopped.Challenge, code)
	refused(t, "who was too slow", err, "address_taken")

	stopped, code = register("carl@example.org") // who was too slow may try again
	a.Stop(func(step string) {
		if step == "claimed" {
			claims(old)
			_ = a.Sweep(ctx)
		}
	})
	_, err = a.Verify(ctx, from("v"), stopped.Challenge, code)
	a.Stop(func(string) {})
	if err == nil {
		t.Error("it was not too slow")
	}
	must(a.Verify(ctx, from("v"), stopped.Challenge, code))(t)
}
