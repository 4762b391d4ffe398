package account_test

import (
	"context"
	"testing"

	"golang.org/x/sync/errgroup"

	"sluice/catalog/account/internal/password"
	"sluice/core/ids"
	"sluice/core/shard"
)

// waits returns once a statement of another connection waits, so that it has begun at an earlier time of the database than what follows.
func (a *accounts) waits(user ids.User, statement string) {
	a.t.Helper()
	p := a.databases.At(shard.OfUser(int64(user)))
	ask := func(query string, values ...any) (answer string) {
		a.t.Helper()
		if err := p.Writer().QueryRowContext(a.t.Context(), query, values...).Scan(&answer); err != nil {
			a.t.Fatal(err)
		}
		return answer
	}
	for ask("SELECT COUNT(*) FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND info LIKE ? AND time_ms > 50", statement) == "0" {
		if a.t.Context().Err() != nil {
			a.t.Fatal("nobody waits in " + statement)
		}
	}
}

// A refresh that waits for the end of its session brings nothing back.
func TestRefreshBehindAReset(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	mine := must(a.signIn(mia, good, "mine"))(t)
	// With the sessions of others, statements find a session by its key, as in a shop.
	a.exec(user.ID, "INSERT INTO sessions__ (user_id, session_id, seed, created_at, rotated_at, ends_at) "+
		"SELECT seq, seq, REPEAT('x', 16), NOW(3), NOW(3), NOW(3) + INTERVAL 1 DAY FROM seq_1_to_2000")
	a.exec(user.ID, "ANALYZE TABLE sessions__")
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	code := a.last("reset_password").Values["code"]
	var refresh errgroup.Group
	a.Stop(func(step string) {
		if step == "others" { // the reset has the session's lock, and has not ended it
			refresh.Go(func() error { _, err := a.Refresh(ctx, mine.Refresh); return err })
			a.waits(user.ID, "UPDATE sessions%rotated_at%") //nolint:contextcheck // it takes the test's
		}
	})
	must(a.Reset(ctx, from("reset"), asked.Challenge, code, another))(t)
	refused(t, "a refresh of a session that a reset has ended", refresh.Wait(), "unauthorized")
	if all := a.live(user.ID); len(all) > 0 {
		t.Errorf("%v are left", all)
	}
}

// Who signs in by a password that is replaced meanwhile gets no session.
func TestSignInBehindANewPassword(t *testing.T) {
	t.Parallel()
	for what, replace := range map[string]func(ctx context.Context, a *accounts, user ids.User) error{
		"a reset": func(ctx context.Context, a *accounts, _ ids.User) error {
			asked, err := a.AskReset(ctx, from("ask"), mia)
			if err == nil {
				_, err = a.Reset(ctx, from("reset"), asked.Challenge, a.last("reset_password").Values["code"], another)
			}
			return err
		},
		"a change": func(ctx context.Context, a *accounts, user ids.User) error {
			return a.ChangePassword(ctx, from("change"), user, 0, good, another)
		},
	} {
		a := newAccounts(t)
		user := a.member(mia)
		replaced := false
		a.Stop(func(step string) {
			if step == "verified" && !replaced {
				replaced = true
				if err := replace(t.Context(), a, user.ID); err != nil {
					t.Error(err)
				}
			}
		})
		_, err := a.signIn(mia, good, "old")
		refused(t, "the old password behind "+what, err, "credentials_refused")
		if all := a.live(user.ID); !replaced || len(all) > 0 {
			t.Errorf("behind %s %v are left", what, all)
		}
	}
}

// Who signs in while another sign-in renews the hash of the same password gets a session.
func TestSignInBehindANewHash(t *testing.T) {
	t.Parallel()
	a := newAccounts(t)
	user := a.member(mia)
	hash := must(password.NewHasher(1).Hash(t.Context(), must(password.Read(good))(t), password.Salt()))(t)
	a.Stop(func(step string) {
		if step == "verified" {
			a.exec(user.ID, "UPDATE credentials__ SET password = ? WHERE user_id = ?", hash, user.ID)
		}
	})
	if tokens := must(a.signIn(mia, good, "s"))(t); len(a.live(user.ID)) != 1 || tokens.User != user.ID {
		t.Errorf("%v are there", a.live(user.ID))
	}
}

// Who changes the password while a sign-in renews the hash of the same password has changed it. Behind another password it is refused.
func TestNewPasswordBehindANewHash(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ hashed, refusal string }{
		"a renewed hash": {good, ""}, "another password": {another, "credentials_refused"},
	} {
		a, ctx := newAccounts(t), t.Context()
		user := a.member(mia)
		hash := must(password.NewHasher(1).Hash(ctx, must(password.Read(c.hashed))(t), password.Salt()))(t)
		replaced := false
		a.Stop(func(step string) {
			if step == "hashed" && !replaced {
				replaced = true
				a.exec(user.ID, "UPDATE credentials__ SET password = ? WHERE user_id = ?", hash, user.ID)
			}
		})
		const third = "a third password of mine"
		err, now := a.ChangePassword(ctx, from("c"), user.ID, 0, good, third), third
		if c.refusal != "" {
			refused(t, "behind "+what, err, c.refusal)
			now = c.hashed
		} else if err != nil {
			t.Errorf("behind %s: %v", what, err)
		}
		must(a.signIn(mia, now, "s"))(t)
	}
}

// Of a reset that is asked for twice at once, with two passwords, one is done and the other is told so.
func TestResetWithTwoPasswords(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	asked := must(a.AskReset(ctx, from("ask"), mia))(t)
	code, inner := a.last("reset_password").Values["code"], false
	a.Stop(func(step string) {
		if step == "hashed" && !inner {
			inner = true
			must(a.Reset(ctx, from("r"), asked.Challenge, code, another))(t)
		}
	})
	_, err := a.Reset(ctx, from("r"), asked.Challenge, code, "a third password")
	refused(t, "the other password", err, "mismatch")
	must(a.signIn(mia, another, "s"))(t)
}
