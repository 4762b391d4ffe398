package account_test

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"sluice/catalog/account"
	"sluice/catalog/internal/task"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/lifecycle"
	"sluice/core/shard"
)

// erase erases a user, and does what follows.
func (a *accounts) erase(user ids.User) {
	a.t.Helper()
	if err := a.Erase(a.t.Context(), user); err != nil {
		a.t.Fatal(err)
	}
	a.work()
}

// work does the tasks that are there.
func (a *accounts) work() {
	a.t.Helper()
	w := task.NewWorker(task.Config{
		Owner: "account", Places: a.databases.All(shard.Users), Handlers: a.Work().Tasks, Every: 10 * time.Millisecond,
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithTimeout(a.t.Context(), time.Minute)
	ended := make(chan struct{})
	go func() { w.Run(ctx); close(ended) }()
	defer func() { cancel(); <-ended }()
	err := lifecycle.Poll(ctx, 10*time.Millisecond, func() error {
		if n := a.count("SELECT COUNT(*) FROM account_tasks__"); n > 0 {
			return errors.New("tasks wait")
		}
		return nil
	}, func(error) bool { return false })
	if err != nil {
		a.t.Fatal(err)
	}
}

// count is a number of rows in all places.
func (a *accounts) count(query string, values ...any) (all int) {
	a.t.Helper()
	for _, p := range a.databases.All(shard.Users) {
		var n int
		if err := p.In(p.Writer()).QueryRowContext(a.t.Context(), query, values...).Scan(&n); err != nil {
			a.t.Fatal(err)
		}
		all += n
	}
	return all
}

// kept are the tables that may have rows of an erased user: nothing in them is personal.
var kept = []string{"users", "consents"}

// left lists the tables that have rows of a user, whoever adds more of them.
func (a *accounts) left(user ids.User) (tables []string) {
	a.t.Helper()
	for _, p := range a.databases.All(shard.Users) {
		var names []string
		err := db.Rows(a.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
			var name string
			err := row.Scan(&name)
			names = append(names, name)
			return err
		}, "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'user_id'")
		if err != nil || len(names) < 5 {
			a.t.Fatal(names, err)
		}
		for _, name := range names {
			if !slices.Contains(kept, name) && a.count("SELECT COUNT(*) FROM `"+name+"` WHERE user_id = ?", user) > 0 {
				tables = append(tables, name)
			}
		}
	}
	return tables
}

// Nothing lets an erased user in, and all refusals are those that anybody gets.
func TestErasedUsersStayOut(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	user := a.member(mia)
	bystander := a.member("bob@example.org")
	tokens := must(a.signIn(mia, good, "s1"))(t)
	theirs := must(a.signIn("bob@example.org", good, "s1"))(t)
	reset := must(a.AskReset(ctx, from("reset"), mia))(t)
	code := a.last("reset_password").Values["code"]
	// Strangers may ask for codes of the address, too.
	must(a.Register(ctx, from("eve"), account.Registration{Email: mia, Password: another, Home: home}))(t)
	if len(a.left(user.ID)) < 4 {
		t.Errorf("only %v have rows of a user", a.left(user.ID))
	}
	a.erase(user.ID)
	if left := a.left(user.ID); len(left) > 0 {
		t.Errorf("%v have rows of an erased user", left)
	}
	if n := a.count("SELECT COUNT(*) FROM challenges__"); n != 1 { // that of bob
		t.Errorf("%d codes are left", n)
	}
	if n := a.count("SELECT COUNT(*) FROM claims__"); n != 1 {
		t.Errorf("%d claims are left", n)
	}
	if slices.ContainsFunc(a.messages(), func(m account.Message) bool { return m.User == user.ID }) {
		t.Error("messages are left")
	}
	told := a.told(user.ID)
	if want := []string{"user_made", "sessions_ended", "user_erased"}; !slices.Equal(told, want) {
		t.Errorf("told: %v, want %v", told, want)
	}

	_, err := a.signIn(mia, good, "s2")
	refused(t, "sign-in", err, "credentials_refused")
	_, err = a.signIn(mia, good, "s1")
	refused(t, "a repeated sign-in", err, "credentials_refused")
	_, err = a.SignIn(ctx, from("s3"), account.SignIn{Email: mia, Password: good, Device: tokens.Device})
	refused(t, "sign-in at a known device", err, "credentials_refused")
	_, err = a.Refresh(ctx, tokens.Refresh)
	refused(t, "refresh", err, "unauthorized")
	_, err = a.Reset(ctx, from("use"), reset.Challenge, code, another)
	refused(t, "a code from before", err, kindCode)
	refused(t, "another password", a.ChangePassword(ctx, from("c"), user.ID, tokens.Session, good, another), "wrong_state")
	refused(t, "the end of a session", a.EndSession(ctx, user.ID, tokens.Session), "unknown_session")
	_, _, err = a.Make(ctx, user.ID, home, tester)
	refused(t, "the same id", err, "wrong_state")
	_, err = a.Register(ctx, from("register "+mia), account.Registration{Email: mia, Password: good, Home: home})
	refused(t, "the registration from before", err, "mismatch")
	sent := len(a.messages())
	must(a.AskReset(ctx, from("reset 2"), mia))(t)
	if m := a.last("no_account"); len(a.messages()) != sent+1 || m.User != 0 {
		t.Errorf("%+v", m)
	}
	if err := a.Erase(ctx, user.ID); err != nil || !slices.Equal(a.told(user.ID), told) {
		t.Errorf("again: %v, told %v", err, a.told(user.ID))
	}

	a.now.Add(int64(24 * time.Hour)) // who asks for many messages waits
	// The address is free, and a new account knows nothing of the old one.
	asked := must(a.Register(ctx, from("anew"), account.Registration{Email: mia, Password: another, Home: home}))(t)
	anew := must(a.Verify(ctx, from("anew"), asked.Challenge, a.last("verify_email").Values["code"]))(t)
	if anew.ID == user.ID {
		t.Error("the id is that of the erased user")
	}
	_, err = a.signIn(mia, good, "s4")
	refused(t, "the old password", err, "credentials_refused")
	must(a.signIn(mia, another, "s5"))(t)
	must(a.Refresh(ctx, theirs.Refresh))(t)
	if gone := must(a.User(ctx, user.ID, db.Never))(t); gone.State != account.StateErased {
		t.Errorf("%+v", gone)
	}
	if there := must(a.User(ctx, bystander.ID, db.Never))(t); there.State != account.StateActive {
		t.Errorf("%+v", there)
	}
}

// told are the types of a user's events, in their order.
func (a *accounts) told(user ids.User) (types []string) {
	a.t.Helper()
	p := a.databases.At(shard.OfUser(int64(user)))
	err := db.Rows(a.t.Context(), p.In(p.Writer()), func(row *sql.Rows) error {
		var kind string
		err := row.Scan(&kind)
		types = append(types, kind)
		return err
	}, "SELECT type FROM account_outbox__ WHERE aggregate_id = ? ORDER BY version", user)
	if err != nil {
		a.t.Fatal(err)
	}
	return types
}

// What goes on while its user is erased leaves nothing behind.
func TestErasureMeetsWhatGoesOn(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(a *accounts, user ids.User, erase func()) error{
		"sign-in": func(a *accounts, _ ids.User, erase func()) error {
			a.Stop(func(step string) {
				if step == "verified" {
					erase()
				}
			})
			_, err := a.signIn(mia, good, "s")
			return err
		},
		"reset": func(a *accounts, _ ids.User, erase func()) error {
			asked := must(a.AskReset(a.t.Context(), from("r"), mia))(a.t)
			a.Stop(func(step string) {
				if step == "hashed" {
					erase()
				}
			})
			_, err := a.Reset(a.t.Context(), from("r"), asked.Challenge, a.last("reset_password").Values["code"], another)
			return err
		},
		"second factor": func(a *accounts, _ ids.User, erase func()) error {
			p, _ := a.factor(must(a.signIn(mia, good, "s"))(a.t))
			asked := must(a.SignIn(a.t.Context(), from("n"), account.SignIn{Email: mia, Password: good}))(a.t)
			a.Stop(func(step string) {
				if step == "tried" {
					erase()
				}
			})
			_, err := a.FinishSignIn(a.t.Context(), from("n"), asked.Second.Challenge, p.pass())
			return err
		},
		"answer": func(a *accounts, _ ids.User, erase func()) error {
			p, _ := a.factor(must(a.signIn(mia, good, "s"))(a.t))
			asked := must(a.SignIn(a.t.Context(), from("n"), account.SignIn{Email: mia, Password: good}))(a.t)
			a.Stop(func(step string) {
				if step == "answered" {
					erase()
				}
			})
			_, err := a.FinishSignIn(a.t.Context(), from("n"), asked.Second.Challenge, p.pass())
			return err
		},
		"ask": func(a *accounts, _ ids.User, erase func()) error {
			a.post.asked = erase
			_, err := a.AskReset(a.t.Context(), from("r"), mia)
			return err
		},
		"profile": func(a *accounts, user ids.User, erase func()) error {
			a.Stop(func(step string) {
				if step == "found" {
					erase()
				}
			})
			return a.addAddress(user, "k")
		},
	} {
		want := map[string]string{"sign-in": "credentials_refused", "reset": kindCode, "second factor": kindCode, "answer": kindCode, "profile": "unknown_user"}[name]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccounts(t)
			user := a.member(mia).ID
			erased := false
			err := do(a, user, func() {
				if !erased {
					erased = true
					a.erase(user)
				}
			})
			if want != "" {
				refused(t, name, err, want)
			} else if err == nil {
				t.Error("it was done")
			}
			a.Stop(func(string) {})
			a.post.asked = nil
			a.work()
			if left := a.left(user); !erased || len(left) > 0 {
				t.Errorf("erased: %v, %v have rows of the user", erased, left)
			}
		})
	}
}

// addAddress adds an address.
func (a *accounts) addAddress(user ids.User, key string) error {
	answer, err := a.TestAddress(a.t.Context(), user, key)
	if err == nil && answer.Status != http.StatusCreated {
		a.t.Fatal(answer.Status)
	}
	return err
}
