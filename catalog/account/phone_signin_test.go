package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/core/ids"
	"sluice/core/shard"
	"sluice/core/stock"
)

const (
	miaPhone = "+4915112345678"
	evePhone = "+4915187654321"
)

func byPhone(phone string) account.PhoneRegistration {
	return account.PhoneRegistration{Phone: phone, Home: home}
}

// askPhone asks for a code to a number from an address of its own, so that no limit is met.
func (a *accounts) askPhone(phone, key string) (challenge, code string) {
	a.t.Helper()
	n := a.now.Add(1)
	by := account.Caller{Address: netip.AddrFrom4([4]byte{10, 1, byte(n / 250), byte(n % 250)}), Key: key}
	asked := must(a.AskPhone(a.t.Context(), by, byPhone(phone)))(a.t)
	m := a.last("sign_in_code")
	if m.By != account.KindPhone || !strings.HasPrefix(m.To, "+") {
		a.t.Errorf("%+v", m)
	}
	return asked.Challenge, m.Values["code"]
}

// enterByPhone signs in, or registers.
func (a *accounts) enterByPhone(phone, key string) account.Tokens {
	a.t.Helper()
	challenge, code := a.askPhone(phone, key)
	return must(a.EnterByPhone(a.t.Context(), from(key), challenge, code))(a.t).Tokens
}

// claims runs a statement about claims.
func (a *accounts) claims(statement string) {
	a.t.Helper()
	for _, p := range a.databases.All(shard.Values) {
		if _, err := p.In(p.Writer()).ExecContext(a.t.Context(), statement); err != nil {
			a.t.Fatal(err)
		}
	}
}

const oldClaims = "UPDATE claims__ SET claimed_at = NOW(3) - INTERVAL 1 HOUR"

// One code registers and signs in, in whatever form the number is written.
func TestSignInByPhone(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	challenge, code := a.askPhone("+49 (0)151 1234-5678", "first")
	if again, _ := a.askPhone("+49.151.12345678", "first"); again != challenge || len(a.messages()) != 1 {
		t.Errorf("a repetition: %s after %s, %d messages", again, challenge, len(a.messages()))
	}
	m := a.last("sign_in_code")
	if m.To != miaPhone || m.Locale != "de" || m.Values["minutes"] != "15" || m.User != 0 {
		t.Errorf("%+v", m)
	}
	first := must(a.EnterByPhone(ctx, from("e"), challenge, code))(t)
	if same := must(a.EnterByPhone(ctx, from("e"), challenge, code))(t); same.Session != first.Session || same.Refresh != first.Refresh || same.User != first.User {
		t.Errorf("a repetition: %+v after %+v", same, first)
	}
	_, err := a.EnterByPhone(ctx, from("f"), challenge, code)
	refused(t, "the code with another key", err, kindCode)
	user := must(a.User(ctx, first.User, 0))(t)
	if user.Home != home || user.State != account.StateActive || a.who(first.Tokens).Subject != int64(user.ID) {
		t.Errorf("%+v", user)
	}
	second := a.enterByPhone("+49-151-12345678", "second")
	if second.User != first.User || second.Session == first.Session {
		t.Errorf("%+v after %+v", second, first)
	}
	all := must(a.Identities(ctx, first.User))(t)
	if len(all) != 1 || all[0].Kind != account.KindPhone || all[0].Value != miaPhone {
		t.Errorf("%+v", all)
	}
	a.exec(first.User, "UPDATE users__ SET state = 'locked'")
	challenge, code = a.askPhone(miaPhone, "locked")
	_, err = a.EnterByPhone(ctx, from("locked"), challenge, code)
	refused(t, "a locked user", err, "user_locked")
}

// Codes of a phone have few tries, and are none of other flows.
func TestCodesOfPhones(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	challenge, code := a.askPhone(evePhone, "k")
	_, err := a.Verify(ctx, from("v"), challenge, code)
	refused(t, "a code of a phone for an address", err, kindCode)
	_, err = a.Reset(ctx, from("v"), challenge, code, another)
	refused(t, "a code of a phone for a password", err, kindCode)
	_, err = a.SetPhone(ctx, from("v"), account.Holder{User: user.ID}, challenge, code)
	refused(t, "a code to sign in for another account's phone", err, kindCode)
	reset := must(a.AskReset(ctx, from("reset"), mia))(t)
	resetCode := a.last("reset_password").Values["code"]
	_, err = a.EnterByPhone(ctx, from("e"), reset.Challenge, resetCode)
	refused(t, "a code of a reset for a session", err, kindCode)
	set := must(a.AskSetPhone(ctx, from("set"), user.ID, miaPhone, ""))(t)
	setCode := a.last("sign_in_code").Values["code"]
	_, err = a.EnterByPhone(ctx, from("e"), set.Challenge, setCode)
	refused(t, "a code for an account's phone for a session", err, kindCode)
	_, err = a.SetPhone(ctx, from("s"), account.Holder{User: user.ID + 1}, set.Challenge, setCode)
	refused(t, "the code of another account", err, kindCode)
	for range 5 {
		_, err = a.EnterByPhone(ctx, from("e"), challenge, wrongOf(code))
		refused(t, "a guess", err, kindCode)
	}
	_, err = a.EnterByPhone(ctx, from("e"), challenge, code)
	refused(t, "the right code after five guesses", err, kindCode)
	for phone, country := range map[string]string{"": "", "0151 12345678": "", "112": "DE", "+49 30 12345678": "", "+４９15112345678": ""} {
		_, err := a.AskPhone(ctx, from("x"), account.PhoneRegistration{Phone: phone, Country: country, Home: home})
		refused(t, phone, err, "malformed")
	}
	if all := must(a.Identities(ctx, user.ID))(t); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

// A number that has an account and one that has none get the same answers, and the same message.
func TestNobodyLearnsWhoHasAPhone(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.enterByPhone(miaPhone, "mia")
	known := must(a.AskPhone(ctx, from("k"), byPhone(miaPhone)))(t)
	m := a.last("sign_in_code")
	unknown := must(a.AskPhone(ctx, from("u"), byPhone(evePhone)))(t)
	n := a.last("sign_in_code")
	if len(known.Challenge) != len(unknown.Challenge) || m.User != n.User || len(m.Values) != len(n.Values) || m.Within != n.Within {
		t.Errorf("%+v and %+v", m, n)
	}
}

// Of several who register a number at once one becomes a user, and all sign in as that one.
func TestAPhoneHasOneUser(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	type try struct{ challenge, code string }
	var tries []try
	for i := range 5 {
		challenge, code := a.askPhone(miaPhone, fmt.Sprint(i))
		tries = append(tries, try{challenge, code})
	}
	var mu sync.Mutex
	users := map[ids.User]int{}
	var group errgroup.Group
	for i, of := range tries {
		group.Go(func() error {
			for {
				tokens, err := a.EnterByPhone(ctx, from(fmt.Sprint(i)), of.challenge, of.code)
				if errors.Is(err, stock.ErrNotApplied) && ctx.Err() == nil { // as a client repeats it
					continue
				}
				mu.Lock()
				users[tokens.User]++
				mu.Unlock()
				return err
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(users) != 1 {
		t.Errorf("%v have the number", users)
	}
}

// A process may end between any two steps: the same request goes on, and nobody else waits for a sweep.
func TestPhonesOfRequestsThatStopped(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	challenge, code := a.askPhone(miaPhone, "stops")
	stopped, cancel := context.WithCancel(ctx)
	a.Stop(func(step string) {
		if step == "claimed" {
			cancel()
		}
	})
	if _, err := a.EnterByPhone(stopped, from("stops"), challenge, code); err == nil {
		t.Fatal("it did not stop")
	}
	a.Stop(func(string) {})
	other := a.enterByPhone(miaPhone, "other")
	same := must(a.EnterByPhone(ctx, from("stops"), challenge, code))(t)
	if same.User != other.User {
		t.Errorf("user %d, and %d", other.User, same.User)
	}
}

// The phone of an account changes by a code to the new number, and the old one is told. It is free for others then.
func TestPhoneOfAnAccount(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine, other := must(a.signIn(mia, good, "mine"))(t), must(a.signIn(mia, good, "other"))(t)
	who := account.Holder{User: user.ID, Session: mine.Session}
	set := func(phone, key string) (account.Identity, error) {
		t.Helper()
		asked := must(a.AskSetPhone(ctx, from("ask "+key), user.ID, phone, ""))(t)
		return a.SetPhone(ctx, from(key), who, asked.Challenge, a.last("sign_in_code").Values["code"])
	}
	first := must(set(miaPhone, "1"))(t)
	if first.Kind != account.KindPhone || first.Value != miaPhone {
		t.Errorf("%+v", first)
	}
	if m := a.last("sign_in_added"); m.To != mia || m.By != account.KindEmail || m.Values["way"] != "+49*********78" || m.User != user.ID {
		t.Errorf("%+v", m)
	}
	if live := a.live(user.ID); len(live) != 2 {
		t.Errorf("%d sessions are left, want %v and %v", len(live), mine.Session, other.Session)
	}
	challenge, code := a.askPhone(miaPhone, "by phone")
	for range 2 {
		if in := must(a.EnterByPhone(ctx, from("by phone"), challenge, code))(t); in.User != user.ID {
			t.Errorf("user %d signs in, want %d", in.User, user.ID)
		}
	}
	stranger := a.enterByPhone("+4915199999999", "stranger")
	_, err := set("+4915199999999", "taken")
	refused(t, "a number of another account", err, "address_taken")

	before := len(a.messages())
	second := must(set(evePhone, "2"))(t)
	told := a.messages()[before+1:] // the first is the code
	if len(told) != 2 || told[0].To != miaPhone || told[0].Template != "sign_in_removed" || told[1].To != mia || told[1].Template != "sign_in_added" {
		t.Errorf("%+v", told)
	}
	if again := must(a.Identities(ctx, user.ID))(t); len(again) != 2 || again[1] != second {
		t.Errorf("%+v", again)
	}
	if live := a.live(user.ID); len(live) != 1 || live[0] != mine.Session {
		t.Errorf("%v are left, want %v", live, mine.Session)
	}
	if in := a.enterByPhone(miaPhone, "free"); in.User == user.ID || in.User == stranger.User {
		t.Errorf("the old number still signs in as %d", in.User)
	}
	a.exec(user.ID, "UPDATE challenges__ SET ends_at = NOW(3)")
	a.exec(user.ID+1, "UPDATE challenges__ SET ends_at = NOW(3)")
	_, err = a.EnterByPhone(ctx, from("by phone"), challenge, code)
	refused(t, "a used code of what is another's number", err, kindCode)
	if in := a.enterByPhone(evePhone, "new"); in.User != user.ID {
		t.Errorf("the new number signs in as %d", in.User)
	}
	a.claims(oldClaims)
	if err := a.Sweep(ctx); err != nil {
		t.Error(err)
	}
	if in := a.enterByPhone(evePhone, "swept"); in.User != user.ID {
		t.Errorf("after a sweep the new number signs in as %d", in.User)
	}
}

// A way to sign in is removed once, never the last one, and whatever process ends when, it is free for others after a sweep.
func TestIdentitiesAreRemoved(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	who := account.Holder{User: user.ID, Session: mine.Session}
	email := must(a.Identities(ctx, user.ID))(t)[0]
	refused(t, "the last way", a.RemoveIdentity(ctx, who, email.ID), "wrong_state")
	asked := must(a.AskSetPhone(ctx, from("set"), user.ID, miaPhone, ""))(t)
	phone := must(a.SetPhone(ctx, from("set"), who, asked.Challenge, a.last("sign_in_code").Values["code"]))(t)
	refused(t, "of another user", a.RemoveIdentity(ctx, account.Holder{User: user.ID + 1}, phone.ID), "unknown_identity")
	refused(t, "none", a.RemoveIdentity(ctx, who, phone.ID+1), "unknown_identity")

	stopped, cancel := context.WithCancel(ctx)
	a.Stop(func(step string) {
		if step == "reopened" {
			cancel()
		}
	})
	if err := a.RemoveIdentity(stopped, who, email.ID); err == nil {
		t.Fatal("it did not stop")
	}
	a.Stop(func(string) {})
	a.claims(oldClaims)
	if err := a.Sweep(ctx); err != nil {
		t.Error(err)
	}
	must(a.signIn(mia, good, "still"))(t)

	if err := errors.Join(a.RemoveIdentity(ctx, who, email.ID), a.RemoveIdentity(ctx, who, email.ID)); err != nil {
		t.Fatal(err)
	}
	told := a.messages()[len(a.messages())-2:]
	if told[0].To != mia || told[1].To != miaPhone || told[0].Values["way"] != "m***@example.org" {
		t.Errorf("%+v", told)
	}
	_, err := a.signIn(mia, good, "gone")
	refused(t, "by a removed address", err, "credentials_refused")
	refused(t, "the last way", a.RemoveIdentity(ctx, who, phone.ID), "wrong_state")
	if live := a.live(user.ID); len(live) != 1 || live[0] != mine.Session {
		t.Errorf("%v are left", live)
	}
	next := must(a.Register(ctx, from("next"), account.Registration{Email: mia, Password: good, Home: home}))(t)
	if made := must(a.Verify(ctx, from("next"), next.Challenge, a.last("verify_email").Values["code"]))(t); made.ID == user.ID {
		t.Error("the address is still the user's")
	}
}

// A verification that is repeated after its address was given up claims nothing for good.
func TestRepeatedVerificationClaimsNothing(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	registered := must(a.Register(ctx, from("r"), account.Registration{Email: mia, Password: good, Home: home}))(t)
	code := a.last("verify_email").Values["code"]
	user := must(a.Verify(ctx, from("v"), registered.Challenge, code))(t)
	who := account.Holder{User: user.ID}
	email := must(a.Identities(ctx, user.ID))(t)[0]
	asked := must(a.AskSetPhone(ctx, from("set"), user.ID, miaPhone, ""))(t)
	must(a.SetPhone(ctx, from("set"), who, asked.Challenge, a.last("sign_in_code").Values["code"]))(t)
	if err := a.RemoveIdentity(ctx, who, email.ID); err != nil {
		t.Fatal(err)
	}
	must(a.Verify(ctx, from("v"), registered.Challenge, code))(t)
	a.claims(oldClaims)
	if err := a.Sweep(ctx); err != nil {
		t.Error(err)
	}
	must(a.Register(ctx, from("next"), account.Registration{Email: mia, Password: good, Home: home}))(t)
	if all := a.messages(); all[len(all)-1].Template != "verify_email" {
		t.Errorf("who registers the free address gets %s", all[len(all)-1].Template)
	}
}

// Two who remove two ways at once leave one.
func TestOneWayIsLeft(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	who := account.Holder{User: user.ID}
	asked := must(a.AskSetPhone(ctx, from("set"), user.ID, miaPhone, ""))(t)
	must(a.SetPhone(ctx, from("set"), who, asked.Challenge, a.last("sign_in_code").Values["code"]))(t)
	var group errgroup.Group
	for _, i := range must(a.Identities(ctx, user.ID))(t) {
		group.Go(func() error { return a.RemoveIdentity(ctx, who, i.ID) })
	}
	refused(t, "one of two", group.Wait(), "wrong_state")
	if left := must(a.Identities(ctx, user.ID))(t); len(left) != 1 {
		t.Errorf("%+v are left", left)
	}
}

// Who signs in by phone at a device that the account knows is told of nothing, and the history has the device's name.
func TestDevicesOfPhones(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	asked := must(a.AskSetPhone(ctx, from("set"), user.ID, miaPhone, ""))(t)
	must(a.SetPhone(ctx, from("set"), account.Holder{User: user.ID, Session: mine.Session}, asked.Challenge, a.last("sign_in_code").Values["code"]))(t)
	a.settle(user)
	in := func(device, name string) (account.Tokens, bool) {
		t.Helper()
		challenge, code := a.askPhone(miaPhone, name) //nolint:contextcheck // it takes the test's
		by := from(name)
		by.Device, by.DeviceName = device, name
		before := len(a.messages())
		tokens := must(a.EnterByPhone(ctx, by, challenge, code))(t)
		return tokens.Tokens, len(a.messages()) > before
	}
	if _, told := in(mine.Device, "known"); told {
		t.Error("the user is told of a known device")
	}
	first, told := in("", "unknown")
	if m := a.last("new_sign_in"); !told || m.To != mia || !strings.HasPrefix(m.Values["device"], "unknown (") {
		t.Errorf("%v, %+v", told, m)
	}
	if _, told := in(first.Device, "again"); told {
		t.Error("the user is told of a device of a session by phone")
	}
	names := map[string]bool{}
	for _, s := range must(a.SignIns(ctx, user.ID))(t) {
		names[s.Device] = true
	}
	if !names["known"] || !names["unknown"] || !names["again"] {
		t.Errorf("the history has %v", names)
	}
	challenge, code := a.askPhone(miaPhone, "malformed")
	for _, by := range []account.Caller{{Key: "k", DeviceName: "two\nlines"}, {Key: "k", Device: strings.Repeat("x", 201)}} {
		_, err := a.EnterByPhone(ctx, by, challenge, code)
		refused(t, "a wrong form", err, "malformed")
	}
}
