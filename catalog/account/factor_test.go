package account_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
)

// app is what a user has the second factor in.
type app struct {
	a      *accounts
	secret string
}

// code is the one that the app shows, some half minutes from now.
func (p app) code(later int) string {
	at := p.a.clock().Add(time.Duration(later) * 30 * time.Second)
	return must(totp.GenerateCode(p.secret, at))(p.a.t)
}

// pass lets half a minute pass, so that there is a code that nobody has used.
func (p app) pass() string {
	p.a.now.Add(int64(30 * time.Second))
	return p.code(0)
}

// factor gives a user a second factor.
func (a *accounts) factor(tokens account.Tokens) (app, []string) {
	a.t.Helper()
	begun := must(a.BeginFactor(a.t.Context(), from("begin"), tokens.User))(a.t)
	p := app{a, begun.Secret}
	codes := must(a.ConfirmFactor(a.t.Context(), from("confirm"), tokens.User, tokens.Session, p.code(0)))(a.t)
	return p, codes
}

// second asks for a sign-in that wants a second factor.
func (a *accounts) second(key string) string {
	a.t.Helper()
	in := must(a.SignIn(a.t.Context(), from(key), account.SignIn{Email: mia, Password: good}))(a.t)
	if in.Second == nil || in.Refresh != "" || in.Access != "" || in.Device != "" || in.User != 0 {
		a.t.Fatalf("the password alone gives %+v", in)
	}
	return in.Second.Challenge
}

func (a *accounts) proved(tokens account.Tokens) error {
	return a.Proved(a.t.Context(), auth.Identity{Subject: int64(tokens.User), Role: auth.RoleShopper, Session: tokens.Session})
}

func wrongCode(p app) string {
	right := []string{p.code(-1), p.code(0), p.code(1)}
	for n := 0; ; n++ {
		if code := fmt.Sprintf("%06d", n); !slices.Contains(right, code) {
			return code
		}
	}
}

func TestFromPasswordToSecondFactor(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	first := must(a.signIn(mia, good, "s"))(t)
	begun := must(a.BeginFactor(ctx, from("b"), user.ID))(t)
	if again := must(a.BeginFactor(ctx, from("b"), user.ID))(t); again != begun {
		t.Error("a repetition draws another secret")
	}
	if secret, err := base32.StdEncoding.DecodeString(begun.Secret); err != nil || len(secret) != 20 {
		t.Errorf("the secret is %d bytes, %v", len(secret), err)
	}
	uri := must(url.Parse(begun.URI))(t)
	if uri.Scheme != "otpauth" || uri.Host != "totp" || uri.Path != "/A  shop:"+mia || uri.Query().Get("secret") != begun.Secret || uri.Query().Get("issuer") != "A  shop" {
		t.Errorf("%s", begun.URI)
	}
	must(a.signIn(mia, good, "not yet"))(t) // nothing is confirmed
	p := app{a, begun.Secret}
	_, err := a.ConfirmFactor(ctx, from("c"), user.ID, first.Session, wrongCode(p))
	refused(t, "a wrong first code", err, kindCode)
	code := p.code(0)
	codes := must(a.ConfirmFactor(ctx, from("c"), user.ID, first.Session, code))(t)
	if again := must(a.ConfirmFactor(ctx, from("c"), user.ID, first.Session, code))(t); !slices.Equal(again, codes) || len(slices.Compact(slices.Sorted(slices.Values(codes)))) != 10 {
		t.Errorf("a repetition: %q and %q", codes, again)
	}
	_, err = a.ConfirmFactor(ctx, from("d"), user.ID, first.Session, code)
	refused(t, "with another key", err, "wrong_state")
	_, err = a.BeginFactor(ctx, from("e"), user.ID)
	refused(t, "another factor", err, "wrong_state")
	if m := a.last("totp_set"); m.To != mia || m.User != user.ID || m.Locale != "de" || m.Values["at"] == "" {
		t.Errorf("%+v", m)
	}
	if of := must(a.Factor(ctx, user.ID))(t); of != (account.Factor{Active: true, Left: 10}) {
		t.Errorf("%+v", of)
	}

	challenge := a.second("s2")
	if a.second("s2") != challenge {
		t.Error("a repetition has another challenge")
	}
	_, err = a.FinishSignIn(ctx, from("f"), challenge, code)
	refused(t, "the code that confirmed the factor", err, kindCode)
	code = p.pass()
	in := must(a.FinishSignIn(ctx, from("f"), challenge, code))(t)
	if again := must(a.FinishSignIn(ctx, from("f"), challenge, code))(t); again.Session != in.Session || again.Refresh != in.Refresh || a.who(in).Session != in.Session {
		t.Errorf("a repetition began session %v after %v", again.Session, in.Session)
	}
	_, err = a.FinishSignIn(ctx, from("g"), challenge, code)
	refused(t, "a challenge that was used", err, kindCode)
	_, err = a.FinishSignIn(ctx, from("f"), challenge, p.pass())
	refused(t, "its key with another code", err, kindCode)
	_, err = a.FinishSignIn(ctx, from("h"), a.second("s3"), code)
	refused(t, "a code that was used", err, kindCode)
	must(a.Refresh(ctx, in.Refresh))(t)
	_, err = a.FinishSignIn(ctx, from("f"), challenge, code)
	refused(t, "a session that was refreshed", err, "wrong_state")
	for _, s := range must(a.Sessions(ctx, user.ID))(t) {
		if want := map[bool]string{true: "totp", false: "password"}[s.ID == in.Session || s.ID == first.Session]; s.ProvedBy != want || s.ProvedAt.IsZero() {
			t.Errorf("session %v was proved by %s at %v, want %s", s.ID, s.ProvedBy, s.ProvedAt, want)
		}
	}
}

// Each recovery code counts once, in any form in which people write it, and its use is told.
func TestRecoveryCodes(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	_, codes := a.factor(must(a.signIn(mia, good, "s"))(t))
	in := must(a.FinishSignIn(ctx, from("f"), a.second("1"), strings.ToUpper(strings.Replace(codes[3], "-", "", 1))))(t)
	if m := a.last("recovery_code_used"); m.To != mia || m.User != user.ID {
		t.Errorf("%+v", m)
	}
	sent := len(a.messages())
	_, err := a.FinishSignIn(ctx, from("g"), a.second("2"), codes[3])
	refused(t, "a recovery code again", err, kindCode)
	if err := a.proved(in); err != nil {
		t.Errorf("a session of a recovery code: %v", err)
	}
	if err := a.StepUp(ctx, from("u"), user.ID, in.Session, nil, &codes[4]); err != nil {
		t.Error(err)
	}
	if of := must(a.Factor(ctx, user.ID))(t); of.Left != 8 || len(a.messages()) != sent+1 {
		t.Errorf("%+v, %d messages", of, len(a.messages())-sent)
	}
	fresh := must(a.RenewRecoveryCodes(ctx, from("r"), user.ID))(t)
	if again := must(a.RenewRecoveryCodes(ctx, from("r"), user.ID))(t); !slices.Equal(again, fresh) {
		t.Error("a repetition makes other codes")
	}
	_, err = a.FinishSignIn(ctx, from("h"), a.second("3"), codes[5])
	refused(t, "an old recovery code", err, kindCode)
	must(a.FinishSignIn(ctx, from("i"), a.second("4"), fresh[3]))(t)
	if of := must(a.Factor(ctx, user.ID))(t); of.Left != 9 {
		t.Errorf("%+v", of)
	}
	if other := must(a.RenewRecoveryCodes(ctx, from("other"), user.ID))(t); slices.ContainsFunc(other, func(code string) bool { return slices.Contains(fresh, code) }) {
		t.Error("codes come again")
	}
	a.member("eve@example.org")
	hers := must(a.signIn("eve@example.org", good, "e"))(t)
	_, err = a.RenewRecoveryCodes(ctx, from("r"), hers.User)
	refused(t, "codes without a factor", err, "wrong_state")
}

// Nobody gets in by a code of another flow, another user or another time, and a challenge bears few guesses.
func TestSecondFactorsThatDoNotFit(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	p, codes := a.factor(must(a.signIn(mia, good, "s"))(t))
	a.member("eve@example.org")
	hers := must(a.signIn("eve@example.org", good, "e"))(t)
	her, herCodes := a.factor(hers)
	reset := must(a.AskReset(ctx, from("reset"), mia))(t)
	resetCode := a.last("reset_password").Values["code"]
	finish := func(challenge, code string) error {
		_, err := a.FinishSignIn(ctx, from("f"), challenge, code)
		return err
	}
	ours := a.second("1")
	refused(t, "a challenge of another flow", finish(reset.Challenge, p.pass()), kindCode)
	_, err := a.Reset(ctx, from("c"), ours, resetCode, another)
	refused(t, "a challenge of a sign-in at a reset", err, kindCode)
	_, err = a.Verify(ctx, from("v"), ours, "00000000")
	refused(t, "a challenge of a sign-in at a registration", err, kindCode)
	refused(t, "another user's code", finish(ours, her.code(0)), kindCode)
	refused(t, "another user's recovery code", finish(ours, herCodes[0]), kindCode)
	refused(t, "a code of the last minute", finish(ours, p.code(-2)), kindCode)
	refused(t, "a code of the next minute", finish(ours, p.code(2)), kindCode)
	for _, challenge := range []string{"", "x", strings.Repeat("A", 22), ours + "A"} {
		refused(t, fmt.Sprintf("the challenge %q", challenge), finish(challenge, p.code(0)), kindCode)
	}
	for _, text := range []string{"", "12345", "1234567", "１２３４５６", "12345 ", "abc-defghij", "abcde-fghi\n", resetCode, strings.Repeat("1", 500)} {
		refused(t, fmt.Sprintf("the code %q", text), finish(ours, text), "malformed") // which costs no try
	}
	refused(t, "the fifth guess", finish(ours, wrongCode(p)), kindCode)
	refused(t, "the right code after five guesses", finish(ours, p.code(0)), kindCode)
	ours = a.second("2")
	a.exec(user.ID, "UPDATE challenges__ SET ends_at = NOW(3) WHERE purpose = 'sign_in'")
	refused(t, "a challenge that has ended", finish(ours, p.code(0)), kindCode)
	p.pass()
	must(a.FinishSignIn(ctx, from("g"), a.second("3"), p.code(-1)))(t) // a clock that is half a minute behind
	_, err = a.FinishSignIn(ctx, from("h"), a.second("4"), p.code(-1))
	refused(t, "again", err, kindCode)
	must(a.FinishSignIn(ctx, from("h"), a.second("4"), p.code(1)))(t)
	_, err = a.FinishSignIn(ctx, from("i"), a.second("5"), p.code(0))
	refused(t, "an older code than the last one", err, kindCode)
	a.exec(user.ID, "UPDATE users__ SET state = 'locked' WHERE user_id = ?", user.ID)
	_, err = a.SignIn(ctx, from("6"), account.SignIn{Email: mia, Password: good})
	refused(t, "a locked user", err, "user_locked")
	a.exec(user.ID, "UPDATE users__ SET state = 'active' WHERE user_id = ?", user.ID)
	ours = a.second("7")
	a.exec(user.ID, "UPDATE users__ SET state = 'locked' WHERE user_id = ?", user.ID)
	refused(t, "a user who was locked meanwhile", finish(ours, codes[0]), "user_locked")
	if of := must(a.Factor(ctx, user.ID))(t); of.Left != 10 {
		t.Errorf("a refusal has used a recovery code: %+v", of)
	}
}

// Of several requests with one code, one gets in.
func TestOneCodeOneSession(t *testing.T) {
	t.Parallel()
	for what, recovery := range map[string]bool{"a code": false, "a recovery code": true} {
		a := newAccounts(t)
		user := a.member(mia)
		p, codes := a.factor(must(a.signIn(mia, good, "s"))(t))
		code := p.pass()
		if recovery {
			code = codes[0]
		}
		var challenges []string
		for i := range 8 {
			challenges = append(challenges, a.second(fmt.Sprint(i)))
		}
		var in atomic.Int64
		var group errgroup.Group
		for i, challenge := range challenges {
			group.Go(func() error {
				_, err := a.FinishSignIn(t.Context(), from(fmt.Sprint(i)), challenge, code)
				var p *problem.Problem
				switch {
				case err == nil:
					in.Add(1)
				case !errors.As(err, &p) || p.Kind.Code != kindCode:
					return err
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil || in.Load() != 1 || len(a.live(user.ID)) != 2 {
			t.Errorf("%s begins %d sessions, %v", what, in.Load(), err)
		}
	}
}

// What a new password ends, no code begins, and a new password removes no second factor.
func TestResetKeepsTheSecondFactor(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	p, _ := a.factor(must(a.signIn(mia, good, "s"))(t))
	old := a.second("old")
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	device := must(a.Reset(ctx, from("reset"), asked.Challenge, a.last("reset_password").Values["code"], another))(t)
	_, err := a.FinishSignIn(ctx, from("f"), old, p.pass())
	refused(t, "a sign-in by the old password", err, kindCode)
	in := must(a.SignIn(ctx, from("new"), account.SignIn{Email: mia, Password: another, Device: device}))(t)
	if in.Second == nil || in.Access != "" {
		t.Fatal("a known device is taken for a second factor")
	}
	if len(a.live(user.ID)) > 0 {
		t.Error("a session has begun")
	}
	must(a.FinishSignIn(ctx, from("f"), in.Second.Challenge, p.code(0)))(t)
}

// A password that was verified before its user had a second factor is not enough behind it.
func TestSignInBehindANewFactor(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	confirmed := false
	a.Stop(func(step string) {
		if step == "verified" && !confirmed {
			confirmed = true
			a.factor(mine)
		}
	})
	a.second("s")
	if all := a.live(user.ID); !confirmed || !slices.Equal(all, []ids.Session{mine.Session}) {
		t.Errorf("%v are there", all)
	}
}

// Who guesses codes is slowed down, and keeps back nobody at a known device.
func TestNobodyGuessesCodes(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	mine := must(a.signIn(mia, good, "s"))(t)
	p, _ := a.factor(mine)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 3, 0, byte(i)}) }
	reset := must(a.AskReset(ctx, from("stranger"), mia))(t)
	for i := range 60 { // who knows the address only has no challenge to guess at
		_, err := a.FinishSignIn(ctx, account.Caller{Address: at(i + 101), Key: "s"}, reset.Challenge, wrongCode(p))
		refused(t, "a guess at a reset", err, kindCode)
	}
	limited := 0
	for i := range 6 { // each knows the password, and is at another address
		in := must(a.SignIn(ctx, account.Caller{Address: at(i), Key: fmt.Sprint(i)}, account.SignIn{Email: mia, Password: good}))(t)
		for range 5 {
			_, err := a.FinishSignIn(ctx, account.Caller{Address: at(i), Key: "g"}, in.Second.Challenge, wrongCode(p))
			if strings.HasPrefix(err.Error(), "rate_limited") {
				limited++
			} else {
				refused(t, "a guess", err, kindCode)
			}
		}
	}
	if limited != 15 {
		t.Errorf("of 30 guesses %d are limited", limited)
	}
	in := must(a.SignIn(ctx, account.Caller{Address: at(100), Key: "new"}, account.SignIn{Email: mia, Password: good}))(t)
	finish := func(device string) error {
		_, err := a.FinishSignIn(ctx, account.Caller{Address: at(100), Key: "new", Device: device}, in.Second.Challenge, p.pass())
		return err
	}
	refused(t, "the owner at a new device, meanwhile", finish(""), "rate_limited")
	refused(t, "at one with a token that is none", finish("sdt_AAAA"), "rate_limited")
	refused(t, "at one with a token that is too long", finish(strings.Repeat("x", 201)), "malformed")
	if err := finish(mine.Device); err != nil {
		t.Errorf("the owner at a known device, meanwhile: %v", err)
	}
}

func TestStepUp(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine, other := must(a.signIn(mia, good, "1"))(t), must(a.signIn(mia, good, "2"))(t)
	right, wrong, digits := good, another, "123456"
	up := func(session ids.Session, password, code *string) error {
		return a.StepUp(ctx, from("u"), user.ID, session, password, code)
	}
	age := func() {
		t.Helper()
		a.exec(user.ID, "UPDATE sessions__ SET proved_at = proved_at - INTERVAL 5 MINUTE WHERE user_id = ?", user.ID)
	}
	if err := a.proved(mine); err != nil {
		t.Errorf("a new session: %v", err)
	}
	age()
	refused(t, "an old session", a.proved(mine), "step_up_required")
	refused(t, "a wrong password", up(mine.Session, &wrong, nil), "credentials_refused")
	refused(t, "a code without a factor", up(mine.Session, nil, &digits), "wrong_state")
	refused(t, "nothing", up(mine.Session, nil, nil), "malformed")
	refused(t, "both", up(mine.Session, &right, &digits), "malformed")
	refused(t, "a session that there is not", up(4711, &right, nil), "unknown_session")
	refused(t, "after what proves nothing", a.proved(mine), "step_up_required")
	for range 2 {
		if err := up(mine.Session, &right, nil); err != nil {
			t.Error(err)
		}
	}
	if err := a.proved(mine); err != nil {
		t.Errorf("after a step up: %v", err)
	}
	refused(t, "another session of the same user", a.proved(other), "step_up_required")
	refused(t, "a token without a session", a.proved(account.Tokens{User: user.ID}), "step_up_required")
	refused(t, "another user with the session's id", a.proved(account.Tokens{User: 7, Session: mine.Session}), "step_up_required")

	p, _ := a.factor(mine)
	if err := a.proved(mine); err != nil {
		t.Errorf("the session that confirmed the factor: %v", err)
	}
	refused(t, "the password of who has a factor", up(mine.Session, &right, nil), "wrong_state")
	a.exec(user.ID, "UPDATE sessions__ SET proved_at = NOW(3), proved_by = 'password' WHERE user_id = ?", user.ID)
	refused(t, "a session that only the password has proved", a.proved(mine), "step_up_required")
	guess := wrongCode(p)
	refused(t, "a wrong code", up(mine.Session, nil, &guess), kindCode)
	code := p.pass()
	for range 2 { // the second one is the repetition of a request whose answer was lost
		if err := up(mine.Session, nil, &code); err != nil {
			t.Error(err)
		}
	}
	if err := a.proved(mine); err != nil {
		t.Errorf("after a code: %v", err)
	}
	refused(t, "the code at another session", up(other.Session, nil, &code), kindCode)
	refused(t, "the code with another key", a.StepUp(ctx, from("v"), user.ID, mine.Session, nil, &code), kindCode)
	age()
	refused(t, "a factor that was proved long ago", a.proved(mine), "step_up_required")
	if err := a.EndSession(ctx, user.ID, mine.Session); err != nil {
		t.Fatal(err)
	}
	code = p.pass()
	refused(t, "a session that has ended", up(mine.Session, nil, &code), "unknown_session")
	if in := must(a.FinishSignIn(ctx, from("f"), a.second("s"), code))(t); a.proved(in) != nil { // nor has it cost the code
		t.Error("a session that a code began is not proved")
	}
	a.exec(user.ID, "UPDATE sessions__ SET ends_at = NOW(3) WHERE user_id = ?", user.ID)
	refused(t, "a session whose time is over", a.proved(other), "step_up_required")
	refused(t, "a user without a password", a.StepUp(ctx, from("w"), 4711, 1, &right, nil), "wrong_state")
}

func TestRemoveSecondFactor(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	p, codes := a.factor(must(a.signIn(mia, good, "s"))(t))
	challenge := a.second("1")
	refused(t, "a wrong password", a.RemoveFactor(ctx, from("r"), user.ID, another), "credentials_refused")
	for range 2 {
		if err := a.RemoveFactor(ctx, from("r"), user.ID, good); err != nil {
			t.Fatal(err)
		}
	}
	if m := a.last("totp_removed"); m.To != mia || len(a.messages()) != 3 { // with that of the registration and that of the factor
		t.Errorf("%+v of %d", m, len(a.messages()))
	}
	_, err := a.FinishSignIn(ctx, from("f"), challenge, p.pass())
	refused(t, "a sign-in that waited", err, kindCode)
	must(a.signIn(mia, good, "2"))(t)
	a.now.Add(int64(time.Hour))
	next, fresh := a.factor(must(a.signIn(mia, good, "3"))(t))
	if next.secret == p.secret || slices.Equal(codes, fresh) {
		t.Error("a new factor is the old one")
	}
	if m := a.last("totp_set"); len(a.messages()) != 4 || m.User != user.ID {
		t.Errorf("%+v of %d", m, len(a.messages()))
	}
}

// A secret waits for its first code for a while, and nothing is left of one that never came.
func TestFactorsThatNobodyConfirms(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "s"))(t)
	confirm := func(p app) error {
		_, err := a.ConfirmFactor(ctx, from("c"), user.ID, mine.Session, p.code(0))
		return err
	}
	refused(t, "before it has begun", confirm(app{a, "GEZDGNBVGY3TQOJQ"}), "wrong_state")
	first := app{a, must(a.BeginFactor(ctx, from("1"), user.ID))(t).Secret}
	second := app{a, must(a.BeginFactor(ctx, from("2"), user.ID))(t).Secret}
	refused(t, "a secret that another one has replaced", confirm(first), kindCode)
	a.exec(user.ID, "UPDATE factors__ SET made_at = NOW(3) - INTERVAL 16 MINUTE")
	refused(t, "a secret after its time", confirm(second), "wrong_state")
	a.exec(user.ID, "UPDATE factors__ SET made_at = NOW(3) - INTERVAL 2 DAY")
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, place := range a.databases.All(shard.Users) {
		var n int
		if err := place.In(place.Writer()).QueryRowContext(ctx, "SELECT COUNT(*) FROM factors__").Scan(&n); err != nil {
			t.Fatal(err)
		}
		left += n
	}
	if left != 0 {
		t.Errorf("%d are left", left)
	}
	a.factor(mine)
	a.exec(user.ID, "UPDATE factors__ SET made_at = NOW(3) - INTERVAL 2 DAY")
	if err := a.Sweep(ctx); err != nil || !must(a.Factor(ctx, user.ID))(t).Active {
		t.Errorf("a factor that counts was swept: %v", err)
	}
	_, err := a.BeginFactor(context.WithoutCancel(ctx), from("3"), 4711)
	refused(t, "a user without a password", err, "wrong_state")
}
