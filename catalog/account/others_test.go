package account_test

import (
	"testing"

	"sluice/catalog/account"
)

// TestOthersAsk is what other packages ask and tell: of users who have an address, of those who have none, and of the erased.
func TestOthersAsk(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := must(a.verify("Mia@example.org", "de", from("verify")))(t)
	other := must(a.verify("eve@example.org", "de", from("verify eve")))(t)
	has := func(of account.User, email string, want bool) {
		t.Helper()
		if got, err := a.HasEmail(ctx, of.ID, account.Email(email)); got != want || err != nil {
			t.Errorf("%d has %s: %v, %v", of.ID, email, got, err)
		}
	}
	has(user, "mia@example.org", true)
	has(other, "mia@example.org", false)
	has(account.User{ID: 4711}, "mia@example.org", false)
	told := func(of account.User, want int) {
		t.Helper()
		for range 2 { // the same event is told once
			n := account.Notice{Event: "e", Template: "member_removed", Values: map[string]string{"seller": "Books", "at": "2026-01-02T03:04:05Z"}}
			if err := a.Tell(ctx, of.ID, n); err != nil {
				t.Error(err)
			}
		}
		got := 0
		for _, m := range a.post.all {
			if m.User == of.ID && m.Template == "member_removed" && m.To == "Mia@example.org" && m.Locale == "de" {
				got++
			}
		}
		if got != want {
			t.Errorf("%d is told %d times, want %d", of.ID, got, want)
		}
	}
	told(user, 1)
	told(account.User{ID: 4711}, 0)
	a.erase(user.ID)
	has(user, "mia@example.org", false)
	told(user, 0)
}
