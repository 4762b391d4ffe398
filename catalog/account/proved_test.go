package account_test

import (
	"testing"

	"sluice/catalog/account"
)

// A session is proved by what began it, for five minutes: by a code of a phone too, if the user has a password. A refresh proves nothing,
// and of who has a second factor only that counts.
func TestWhatProvesASession(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "1"))(t)
	challenge := must(a.AskSetPhone(ctx, from("ask"), user.ID, miaPhone, ""))(t).Challenge
	must(a.SetPhone(ctx, from("set"), account.Holder{User: user.ID, Session: mine.Session}, challenge, a.last("sign_in_code").Values["code"]))(t)
	a.exec(user.ID, "UPDATE sessions__ SET proved_at = proved_at - INTERVAL 5 MINUTE WHERE user_id = ?", user.ID)
	refreshed := must(a.Refresh(ctx, mine.Refresh))(t)
	refused(t, "a session that was refreshed", a.proved(refreshed), "step_up_required")
	byPhone := a.enterByPhone(miaPhone, "phone")
	if err := a.proved(byPhone); err != nil {
		t.Errorf("a session that a code of the phone began: %v", err)
	}
	right := good
	if err := a.StepUp(ctx, from("up"), user.ID, refreshed.Session, &right, nil); err != nil {
		t.Fatal(err)
	}
	a.factor(refreshed)
	refused(t, "the session of the phone, since there is a factor", a.proved(byPhone), "step_up_required")
	again, code := a.askPhone(miaPhone, "again")
	if in := must(a.EnterByPhone(ctx, from("again"), again, code))(t); in.Second == nil || in.Access != "" {
		t.Errorf("a code of the phone lets past the factor: %+v", in)
	}
}
