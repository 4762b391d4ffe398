package account_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/core/ids"
	"sluice/core/problem"
	"sluice/core/shard"
	"sluice/core/stock"
)

const miaNext = "mia@example.net"

// askEmail asks for a code that gives a user an address.
func (a *accounts) askEmail(user ids.User, address, key string, chosen *string) (challenge, code string) {
	a.t.Helper()
	asked := must(a.AskSetEmail(a.t.Context(), from("ask "+key), user, address, chosen))(a.t)
	m := a.last("verify_email")
	if m.To != address || m.User != user {
		a.t.Errorf("%+v", m)
	}
	return asked.Challenge, m.Values["code"]
}

// setEmail gives a user an address.
func (a *accounts) setEmail(who account.Holder, address, key string) (account.Identity, error) {
	a.t.Helper()
	challenge, code := a.askEmail(who.User, address, key, nil)
	return a.SetEmail(a.t.Context(), from(key), who, challenge, code)
}

// pending counts claims that are not final.
func (a *accounts) pending() (n int) {
	a.t.Helper()
	for _, p := range a.databases.All(shard.Values) {
		var here int
		if err := p.In(p.Writer()).QueryRowContext(a.t.Context(), "SELECT COUNT(*) FROM claims__ WHERE NOT final").Scan(&here); err != nil {
			a.t.Fatal(err)
		}
		n += here
	}
	return n
}

// sweep lets claims grow old, and sweeps.
func (a *accounts) sweep() {
	a.t.Helper()
	a.claims(oldClaims)
	if err := a.Sweep(a.t.Context()); err != nil || a.pending() > 0 {
		a.t.Errorf("%d claims are pending, %v", a.pending(), err)
	}
}

// isFree registers an address: it is nobody's.
func (a *accounts) isFree(address string) {
	a.t.Helper()
	asked := must(a.Register(a.t.Context(), from("free "+address), account.Registration{Email: address, Password: another, Home: home}))(a.t)
	if _, err := a.Verify(a.t.Context(), from("free "+address), asked.Challenge, a.last("verify_email").Values["code"]); err != nil {
		a.t.Errorf("%s is not free: %v", address, err)
	}
}

// An account changes its address by a code to the new one. The password stays, all other sessions end, and the old address is told, and is free.
func TestAddressesChange(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine, other := must(a.signIn(mia, good, "mine"))(t), must(a.signIn(mia, good, "other"))(t)
	who := account.Holder{User: user.ID, Session: mine.Session}
	phone := must(a.AskSetPhone(ctx, from("phone"), user.ID, miaPhone, ""))(t)
	must(a.SetPhone(ctx, from("phone"), who, phone.Challenge, a.last("sign_in_code").Values["code"]))(t)
	reset := must(a.AskReset(ctx, from("reset"), mia))(t)
	resetCode := a.last("reset_password").Values["code"]

	challenge, code := a.askEmail(user.ID, miaNext, "1", nil)
	before := len(a.messages())
	if again := must(a.AskSetEmail(ctx, from("ask 1"), user.ID, miaNext, nil))(t); again.Challenge != challenge || len(a.messages()) != before {
		t.Errorf("a repetition: %s after %s, %d messages", again.Challenge, challenge, len(a.messages())-before)
	}
	_, err := a.SetEmail(ctx, from("1"), account.Holder{User: user.ID + 1}, challenge, code)
	refused(t, "by another user", err, kindCode)
	_, err = a.SetEmail(ctx, from("1"), who, challenge, wrongOf(code))
	refused(t, "a wrong code", err, kindCode)
	_, err = a.Verify(ctx, from("1"), challenge, code)
	refused(t, "a code for an account's address for a registration", err, kindCode)
	set := must(a.SetEmail(ctx, from("1"), who, challenge, code))(t)
	if again := must(a.SetEmail(ctx, from("1"), who, challenge, code))(t); again != set || set.Value != miaNext || set.Kind != account.KindEmail {
		t.Errorf("%+v after %+v", again, set)
	}
	_, err = a.SetEmail(ctx, from("2"), who, challenge, code)
	refused(t, "the code with another key", err, kindCode)
	told := a.messages()[before:]
	if len(told) != 2 || told[0].Template != "email_changed" || told[0].To != mia || told[0].Values["address"] != "m***@example.net" ||
		told[1].Template != "sign_in_added" || told[1].To != miaPhone {
		t.Errorf("%+v", told)
	}
	if live := a.live(user.ID); len(live) != 1 || live[0] != mine.Session {
		t.Errorf("%v are left of %v and %v", live, mine.Session, other.Session)
	}
	_, err = a.signIn(mia, good, "old")
	refused(t, "by the old address", err, "credentials_refused")
	if in := must(a.signIn(miaNext, good, "new"))(t); in.User != user.ID {
		t.Errorf("user %d signs in", in.User)
	}
	_, err = a.Reset(ctx, from("reset"), reset.Challenge, resetCode, another)
	refused(t, "a code to the old address", err, kindCode)
	if all := must(a.Identities(ctx, user.ID))(t); len(all) != 2 || a.pending() != 0 {
		t.Errorf("%+v, %d claims are pending", all, a.pending())
	}
	a.isFree(mia)
	_, err = a.setEmail(who, mia, "back")
	refused(t, "an address of another account", err, "address_taken")
	if same := must(a.setEmail(who, miaNext, "same"))(t); same.ID != set.ID {
		t.Errorf("%+v, want %+v", same, set)
	}
	must(a.signIn(miaNext, good, "still"))(t)
}

// Who asks for an address of another account is told and sent the same as for one of nobody.
func TestNobodyLearnsWhoHasAnAddress(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	a.member("eve@example.org")
	known := must(a.AskSetEmail(ctx, from("k"), user.ID, "eve@example.org", nil))(t)
	m := a.last("verify_email")
	unknown := must(a.AskSetEmail(ctx, from("u"), user.ID, "bob@example.org", nil))(t)
	n := a.last("verify_email")
	if len(known.Challenge) != len(unknown.Challenge) || m.To != "eve@example.org" || m.User != n.User || len(m.Values) != len(n.Values) || m.Within != n.Within {
		t.Errorf("%+v and %+v", m, n)
	}
}

// An account with a phone only chooses its password with its first address. One that has a password keeps it.
func TestFirstAddress(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	in := a.enterByPhone(miaPhone, "mia")
	who := account.Holder{User: in.User, Session: in.Session}
	chosen, weak := good, "password1"
	_, err := a.AskSetEmail(ctx, from("none"), in.User, mia, nil)
	refused(t, "without a password", err, "wrong_state")
	_, err = a.AskSetEmail(ctx, from("weak"), in.User, mia, &weak)
	refused(t, "a weak password", err, "password_refused")
	challenge, code := a.askEmail(in.User, mia, "1", &chosen)
	late, lateCode := a.askEmail(in.User, miaNext, "late", &chosen)
	other := another
	same, sameCode := a.askEmail(in.User, mia, "same", &other)
	_, err = a.AskSetEmail(ctx, from("ask 1"), in.User, mia, &other)
	refused(t, "the key with another password", err, "mismatch")
	must(a.SetEmail(ctx, from("1"), who, challenge, code))(t)
	if m := a.last("sign_in_added"); m.To != miaPhone || m.Values["way"] != "m***@example.org" {
		t.Errorf("%+v", m)
	}
	if signed := must(a.signIn(mia, good, "s"))(t); signed.User != in.User || len(a.live(in.User)) != 2 {
		t.Errorf("user %d, %d sessions", signed.User, len(a.live(in.User)))
	}
	_, err = a.SetEmail(ctx, from("same"), who, same, sameCode)
	refused(t, "another password with the same address", err, "wrong_state")
	_, err = a.SetEmail(ctx, from("late"), who, late, lateCode)
	refused(t, "another password with another address", err, "wrong_state")
	_, err = a.AskSetEmail(ctx, from("both"), in.User, miaNext, &chosen)
	refused(t, "a second password", err, "wrong_state")
	must(a.setEmail(who, miaNext, "2"))(t)
	must(a.signIn(miaNext, good, "kept"))(t)
	email := must(a.Identities(ctx, in.User))(t)[1]
	if err := a.RemoveIdentity(ctx, who, email.ID); err != nil {
		t.Fatal(err)
	}
	again, againCode := a.askEmail(in.User, miaNext, "again", &other)
	must(a.SetEmail(ctx, from("again"), who, again, againCode))(t)
	must(a.signIn(miaNext, another, "with the new password"))(t)
}

// Of two who change the address of an account at once one is last: the account has one address, and the others are free after a sweep.
func TestAddressesChangeAtOnce(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	user := a.member(mia)
	who := account.Holder{User: user.ID}
	var group errgroup.Group
	addresses := []string{"a@example.net", "b@example.net", "c@example.net"}
	var asked [3][2]string
	for i, address := range addresses { // before any is answered, which sends messages too
		asked[i][0], asked[i][1] = a.askEmail(user.ID, address, address, nil)
	}
	for i, address := range addresses {
		group.Go(func() error {
			for {
				_, err := a.SetEmail(t.Context(), from(address), who, asked[i][0], asked[i][1])
				if errors.Is(err, stock.ErrNotApplied) && t.Context().Err() == nil { // as a client repeats it
					continue
				}
				var p *problem.Problem
				if errors.As(err, &p) && p.Kind.Code == kindCode { // the account has the next address already, or the tries are used up
					err = nil
				}
				return err
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	a.sweep()
	all := must(a.Identities(t.Context(), user.ID))(t)
	if len(all) != 1 {
		t.Fatalf("%+v", all)
	}
	must(a.signIn(all[0].Value, good, "s"))(t)
	for _, address := range append(addresses, mia) {
		if address != all[0].Value {
			a.isFree(address)
		}
	}
}

// A change that is behind another one when both stop leaves no claim: the first one makes final what the second has given up.
func TestAddressThatIsGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	user := a.member(mia)
	who := account.Holder{User: user.ID}
	first, firstCode := a.askEmail(user.ID, "a@example.net", "first", nil)
	second, secondCode := a.askEmail(user.ID, "b@example.net", "second", nil)
	stopped, cancel := context.WithCancel(t.Context())
	inner := false
	a.Stop(func(step string) {
		switch {
		case step == "switched" && !inner: // the first one has a@, and its claim is not final
			inner = true
			if _, err := a.SetEmail(stopped, from("second"), who, second, secondCode); err == nil {
				t.Error("it did not stop")
			}
		case step == "switched":
			cancel() // the second one does not end the claim of a@
		}
	})
	_, err := a.SetEmail(t.Context(), from("first"), who, first, firstCode)
	refused(t, "an address that another one has replaced", err, kindCode)
	a.sweep()
	a.isFree("a@example.net")
	a.isFree(mia)
	must(a.signIn("b@example.net", good, "s"))(t)
}

// What an address ends that is replaced, nobody begins by it: a session or a new password.
func TestOldAddressBehindANewOne(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		step string
		by   func(a *accounts) error
		want string
	}{
		"a sign-in": {"verified", func(a *accounts) error { _, err := a.signIn(mia, good, "s"); return err }, "credentials_refused"},
		"a reset": {"hashed", func(a *accounts) error {
			asked := must(a.AskReset(a.t.Context(), from("ask"), mia))(a.t)
			_, err := a.Reset(a.t.Context(), from("reset"), asked.Challenge, a.last("reset_password").Values["code"], another)
			return err
		}, kindCode},
	} {
		a := newAccounts(t)
		user := a.member(mia)
		replaced := false
		a.Stop(func(step string) {
			if step == c.step && !replaced {
				replaced = true
				must(a.setEmail(account.Holder{User: user.ID}, miaNext, "change"))(t)
			}
		})
		refused(t, what, c.by(a), c.want)
		if live := a.live(user.ID); !replaced || len(live) > 0 {
			t.Errorf("behind %s %v are left", what, live)
		}
		must(a.signIn(miaNext, good, "new"))(t)
	}
}

// A session that its owner ends while it changes how they sign in changes nothing.
func TestEndedSessionChangesNoWayIn(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(a *accounts, thief account.Holder, phone ids.Identity) error{
		"an address": func(a *accounts, thief account.Holder, _ ids.Identity) error {
			_, err := a.setEmail(thief, miaNext, "change")
			return err
		},
		"a removal": func(a *accounts, thief account.Holder, phone ids.Identity) error {
			return a.RemoveIdentity(a.t.Context(), thief, phone)
		},
	} {
		a := newAccounts(t)
		user := a.member(mia)
		in := must(a.signIn(mia, good, "thief"))(t)
		thief := account.Holder{User: user.ID, Session: in.Session}
		asked := must(a.AskSetPhone(t.Context(), from("phone"), user.ID, miaPhone, ""))(t)
		phone := must(a.SetPhone(t.Context(), from("phone"), thief, asked.Challenge, a.last("sign_in_code").Values["code"]))(t).ID
		ended := false
		a.Stop(func(step string) {
			if step == "reopened" && !ended {
				ended = true
				asked := must(a.AskReset(t.Context(), from("ask"), mia))(t)
				must(a.Reset(t.Context(), from("reset"), asked.Challenge, a.last("reset_password").Values["code"], another))(t)
			}
		})
		before := must(a.Identities(t.Context(), user.ID))(t)
		refused(t, what, change(a, thief, phone), "step_up_required")
		if after := must(a.Identities(t.Context(), user.ID))(t); !ended || !slices.Equal(after, before) {
			t.Errorf("%s: %+v, want %+v", what, after, before)
		}
	}
}
