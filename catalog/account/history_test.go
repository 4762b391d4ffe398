package account_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/internal/vault"
	"sluice/core/problem"
	"sluice/core/shard"
)

// settle makes a user an older one, who is told of new devices.
func (a *accounts) settle(user account.User) {
	a.t.Helper()
	a.exec(user.ID, "UPDATE users__ SET created_at = created_at - INTERVAL 1 DAY WHERE user_id = ?", user.ID)
}

// shown are sign-ins, the newest first, without their times and ids.
func shown(all []account.SignInMade) (texts []string) {
	for _, s := range all {
		texts = append(texts, fmt.Sprintf("%s by %q at %q in %s, session %v", s.Outcome, s.By, s.Device, s.Network, s.Session != 0))
	}
	return texts
}

func TestHistoryOfSignIns(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	eve := a.member("eve@example.org")
	at := func(address, name string) account.Caller {
		return account.Caller{Address: netip.MustParseAddr(address), Key: address + name, DeviceName: name}
	}
	order := func() { // within a millisecond nobody can tell
		t.Helper()
		a.exec(user.ID, "UPDATE sign_ins__ SET made_at = made_at - INTERVAL 1 SECOND WHERE user_id = ?", user.ID)
	}
	first := must(a.SignIn(ctx, at("192.0.2.77", ""), account.SignIn{Email: mia, Password: good}))(t)
	must(a.SignIn(ctx, at("192.0.2.77", ""), account.SignIn{Email: mia, Password: good}))(t) // a repetition
	order()
	_, err := a.SignIn(ctx, at("192.0.2.77", "guess"), account.SignIn{Email: mia, Password: another})
	refused(t, "a guess", err, "credentials_refused")
	second := must(a.SignIn(ctx, at("2001:db8:1:2::", "Mia's 手机"), account.SignIn{Email: mia, Password: good}))(t)
	order()
	p, codes := a.factor(second.Tokens)
	challenge := a.second("s")
	_, err = a.FinishSignIn(ctx, at("198.51.100.9", "thief"), challenge, wrongCode(p))
	refused(t, "a guess", err, kindCode)
	order()
	must(a.FinishSignIn(ctx, at("198.51.100.9", "tablet"), challenge, codes[0]))(t)
	all := must(a.SignIns(ctx, user.ID))(t)
	if got, want := shown(all), []string{
		`signed_in by "recovery" at "tablet" in 198.51.100.0/24, session true`,
		`code_refused by "" at "thief" in 198.51.100.0/24, session false`,
		`signed_in by "password" at "Mia's 手机" in 2001:db8:1:2::/64, session true`,
		`signed_in by "password" at "" in 192.0.2.0/24, session true`,
	}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if all[3].Session != first.Session || time.Since(all[0].At).Abs() > time.Hour {
		t.Errorf("%+v", all)
	}
	if hers := must(a.SignIns(ctx, eve.ID))(t); len(hers) > 0 {
		t.Errorf("another user sees %q", shown(hers))
	}
	for _, name := range []string{"two\nlines", "a\x00b", strings.Repeat("x", 101), "\xff"} {
		_, err := a.SignIn(ctx, at("192.0.2.77", name), account.SignIn{Email: mia, Password: good})
		refused(t, fmt.Sprintf("the name %q", name), err, "malformed")
		_, err = a.FinishSignIn(ctx, at("192.0.2.77", name), challenge, codes[1])
		refused(t, fmt.Sprintf("the name %q", name), err, "malformed")
	}
	place := a.databases.At(shard.OfUser(int64(user.ID)))
	var plain int
	if err := place.In(place.Writer()).QueryRowContext(ctx, "SELECT COUNT(*) FROM sign_ins__ WHERE LOCATE('192.0', origin) > 0 OR LOCATE('tablet', origin) > 0").Scan(&plain); err != nil || plain > 0 {
		t.Errorf("%d rows have what is personal as it is, %v", plain, err)
	}
}

// The history is bounded, and what is old goes.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	must(a.signIn(mia, good, "1"))(t)
	for n := range int64(99) {
		sealed := must(a.vault.Seal(ctx, int64(user.ID), vault.Field{Table: "sign_ins", Column: "origin", Row: n}, []byte("192.0.2.0/24\na tablet")))(t)
		a.exec(user.ID, "INSERT INTO sign_ins__ (user_id, id, made_at, outcome, origin) "+
			"VALUES (?, ?, NOW(3) - INTERVAL 99 DAY + INTERVAL ? DAY, 'signed_in', ?)", user.ID, n, n, sealed)
	}
	must(a.signIn(mia, good, "2"))(t)
	all := must(a.SignIns(ctx, user.ID))(t)
	if len(all) != 100 || all[99].At.Before(all[0].At.Add(-99*24*time.Hour)) {
		t.Errorf("%d are left, the last one of %v", len(all), all[len(all)-1].At)
	}
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	all = must(a.SignIns(ctx, user.ID))(t)
	if last := all[len(all)-1].At; len(all) != 91 || time.Since(last) > 90*24*time.Hour {
		t.Errorf("after the sweep %d are left, the last one of %v", len(all), last)
	}
}

// The owner of an account is told of a new device, once, and of a known one never.
func TestNewDevicesAreTold(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	sent := len(a.messages())
	first := must(a.signIn(mia, good, "at first each device is new"))(t)
	a.settle(user)
	known := account.SignIn{Email: mia, Password: good, Device: first.Device}
	must(a.SignIn(ctx, from("known"), known))(t)
	if n := len(a.messages()) - sent; n != 0 {
		t.Errorf("%d messages of devices that are known", n)
	}
	by := from("new")
	by.DeviceName = "a phone"
	for range 2 {
		must(a.SignIn(ctx, by, account.SignIn{Email: mia, Password: good}))(t)
	}
	if m := a.last("new_sign_in"); m.To != mia || m.User != user.ID || m.Values["device"] != "a phone (10.0.0.0/24)" || m.Values["at"] == "" || len(a.messages()) != sent+1 {
		t.Errorf("%+v, %d messages", m, len(a.messages())-sent)
	}
	_, codes := a.factor(first)
	challenge := a.second("s")
	if a.last("totp_set"); len(a.messages()) != sent+2 {
		t.Error("a password alone is told")
	}
	must(a.FinishSignIn(ctx, from("f"), challenge, codes[0]))(t)
	if m := a.last("new_sign_in"); m.Values["device"] != "(10.0.0.0/24)" || len(a.messages()) != sent+4 { // with that of the recovery code
		t.Errorf("%+v, %d messages", m, len(a.messages())-sent)
	}
	a.post.silent = &problem.Problem{Kind: problem.WrongState}
	if in := must(a.SignIn(ctx, from("silent"), account.SignIn{Email: mia, Password: good}))(t); in.Second == nil {
		t.Error("no second factor is asked for")
	}
	if err := a.RemoveFactor(ctx, from("r"), user.ID, good); err == nil {
		t.Error("a factor is removed, and nobody is told")
	}
	a.exec(user.ID, "DELETE FROM factors__")
	must(a.signIn(mia, good, "a shop that sends nothing lets people in"))(t)
}

// A device that is known with one password is a stranger's with the next: the user is told of it, and strangers' tries count against it.
func TestDevicesEndWithThePassword(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	a.settle(user)
	key := 0
	in := func(word, device string) (account.Tokens, bool) {
		t.Helper()
		key++
		a.now.Add(int64(time.Minute)) // the limit of tries
		before := len(a.messages())
		tokens := must(a.SignIn(ctx, from(fmt.Sprint(key)), account.SignIn{Email: mia, Password: word, Device: device}))(t)
		return tokens.Tokens, len(a.messages()) > before
	}
	first, _ := in(good, "")
	if again, told := in(good, first.Device); told {
		t.Error("the user is told of a known device")
	} else if _, told := in(good, again.Device); told {
		t.Error("the user is told of a known device with another token")
	}
	if err := a.ChangePassword(ctx, from("change"), user.ID, first.Session, good, another); err != nil {
		t.Fatal(err)
	}
	second, told := in(another, first.Device)
	if !told {
		t.Error("the user is not told of a device of the last password")
	}
	if _, told := in(another, second.Device); told {
		t.Error("the user is told of a device of the password")
	}
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	code := a.last("reset_password").Values["code"]
	reset := must(a.Reset(ctx, from("reset"), asked.Challenge, code, good))(t)
	again := must(a.Reset(ctx, from("reset"), asked.Challenge, code, good))(t)
	for what, of := range map[string]struct {
		device string
		told   bool
	}{"before the reset": {second.Device, true}, "of the reset": {reset, false}, "of its repetition": {again, false}} {
		if _, told := in(good, of.device); told != of.told {
			t.Errorf("a device %s: told %v", what, told)
		}
	}
}
