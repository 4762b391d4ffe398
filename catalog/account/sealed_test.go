package account_test

import (
	"context"
	"testing"

	"sluice/catalog/account"
	"sluice/core/ids"
	"sluice/core/shard"
)

// kept counts the challenges that know where their code went.
func (a *accounts) kept(ctx context.Context, user ids.User) (n int) {
	a.t.Helper()
	p := a.databases.At(shard.OfUser(int64(user)))
	if err := p.In(p.Writer()).QueryRowContext(ctx, "SELECT COUNT(*) FROM challenges__ WHERE value <> ''").Scan(&n); err != nil {
		a.t.Fatal(err)
	}
	return n
}

// Where a code went is forgotten when it is used, and once it is over.
func TestCodesForgetWhereTheyWent(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia).ID
	if n := a.kept(ctx, user); n != 0 {
		t.Errorf("after a registration %d are kept", n)
	}
	who := account.Holder{User: user, Session: must(a.signIn(mia, good, "s"))(t).Session}
	asked := must(a.AskSetPhone(ctx, from("p"), user, miaPhone, ""))(t)
	if n := a.kept(ctx, user); n != 1 {
		t.Errorf("of a number that is being added %d are kept, want 1", n)
	}
	code := a.last("sign_in_code").Values["code"]
	set := func() account.Identity {
		return must(a.SetPhone(ctx, from("set"), who, asked.Challenge, code))(t)
	}
	if added, again := set(), set(); added.Value != miaPhone || again.Value != miaPhone || a.kept(ctx, user) != 0 {
		t.Errorf("%+v and %+v, and %d are kept", added, again, a.kept(ctx, user))
	}
	must(a.AskSetEmail(ctx, from("e"), user, "next@example.org", nil))(t)
	must(a.Register(ctx, from("r"), account.Registration{Email: "eve@example.org", Password: good, Home: home}))(t)
	sweep := func(want int, when string) {
		t.Helper()
		err := a.Sweep(ctx)
		if n := a.kept(ctx, user); err != nil || n != want {
			t.Errorf("%s %d are kept, want %d: %v", when, n, want, err)
		}
	}
	sweep(2, "while they count")
	a.exec(user, "UPDATE challenges__ SET ends_at = NOW(3) - INTERVAL 20 SECOND")
	sweep(0, "once they are over")
}

// A code to the number of a user does not keep the number: it lets the user in, and makes nobody of who has the number next.
func TestCodesOfUsersKeepNoNumber(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	in := a.enterByPhone(miaPhone, "first")
	challenge, code := a.askPhone(miaPhone, "second")
	other, otherCode := a.askPhone(miaPhone, "third")
	if same := must(a.EnterByPhone(ctx, from("second"), challenge, code))(t); same.User != in.User {
		t.Errorf("user %d, want %d", same.User, in.User)
	}
	a.erase(in.User)
	a.work()
	_, err := a.EnterByPhone(ctx, from("third"), other, otherCode)
	refused(t, "a code of who was erased", err, kindCode)
	challenge, code = a.askPhone(miaPhone, "fourth")
	if next := must(a.EnterByPhone(ctx, from("fourth"), challenge, code))(t); next.User == in.User {
		t.Error("the erased user is back")
	}
}

// What a user asked a code for is under the user's key: without it nobody learns of it, and the code counts for nobody.
func TestValuesOfUsersGoWithTheirKey(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia).ID
	who := account.Holder{User: user, Session: must(a.signIn(mia, good, "s"))(t).Session}
	asked := must(a.AskSetPhone(ctx, from("p"), user, miaPhone, ""))(t)
	a.exec(user, "UPDATE account_keys__ SET key_id = NULL, wrapped = NULL, erased_at = NOW(3)")
	_, err := a.SetPhone(ctx, from("set"), who, asked.Challenge, a.last("sign_in_code").Values["code"])
	refused(t, "an addition", err, "unknown_user")
	_, err = a.Identities(ctx, user)
	refused(t, "a list", err, "unknown_user")
	_, err = a.SignIns(ctx, user)
	refused(t, "the history", err, "unknown_user")
}
