package account_test

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/internal/vault"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/shard"
)

// These make the test binary a shop that changes an address and ends itself at a step.
const (
	dsnEnv, secretEnv, stepEnv = "SLUICE_TEST_ACCOUNT_DSN", "SLUICE_TEST_ACCOUNT_SECRET", "SLUICE_TEST_ACCOUNT_STEP"
	userEnv, sessionEnv        = "SLUICE_TEST_ACCOUNT_USER", "SLUICE_TEST_ACCOUNT_SESSION"
	challengeEnv, codeEnv      = "SLUICE_TEST_ACCOUNT_CHALLENGE", "SLUICE_TEST_ACCOUNT_CODE"
)

// book is a messenger that writes notices into a table, in their transactions.
type book struct{ postbox }

// Add implements account.Messenger.
func (*book) Add(ctx context.Context, tx *sql.Tx, _ place.Place, m account.Message) error {
	_, err := tx.ExecContext(ctx, "INSERT IGNORE INTO told (event, template, recipient) VALUES (?, ?, ?)", m.Event, m.Template, m.To)
	return err
}

// otherProcess is another process of the same shop.
func otherProcess(dsn, secretFile string) (*account.Accounts, *place.Databases, error) {
	d, err := place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(dsn), ConnsMax: 2, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, nil, err
	}
	secret, err := account.ReadSecret(secretFile)
	if err != nil {
		return nil, nil, err
	}
	ring, err := vault.ReadRing(secretFile+".vault", slog.New(slog.DiscardHandler))
	return account.New(account.Config{
		Databases: d, Secret: secret, Vault: account.NewVault(d, ring), Messenger: new(book), HashesMax: 1, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}), d, err
}

// killedChange answers a code, and ends the process by SIGKILL at a step.
func killedChange(dsn string) {
	a, _, err := otherProcess(dsn, os.Getenv(secretEnv))
	if err != nil {
		panic(err)
	}
	a.Stop(func(step string) {
		if step == os.Getenv(stepEnv) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	user, err1 := strconv.ParseInt(os.Getenv(userEnv), 10, 64)
	session, err2 := strconv.ParseInt(os.Getenv(sessionEnv), 10, 64)
	if err1 != nil || err2 != nil {
		panic(err1)
	}
	who := account.Holder{User: ids.User(user), Session: ids.Session(session)}
	_, err = a.SetEmail(context.Background(), from("killed"), who, os.Getenv(challengeEnv), os.Getenv(codeEnv))
	panic(err)
}

// holdsOne checks that a user has the old address and both sessions or, once it is switched, the new one and the session that did it,
// and that the old one was told exactly then.
func (a *accounts) holdsOne(user ids.User, mine, other ids.Session, when string, switched bool) {
	a.t.Helper()
	has, not, told := mia, miaNext, 0
	if switched {
		has, not, told = miaNext, mia, 1
	}
	if all := must(a.Identities(a.t.Context(), user))(a.t); len(all) != 1 || all[0].Value != has {
		a.t.Errorf("%s the account has %+v, want %s", when, all, has)
	}
	if live := a.live(user); !slices.Contains(live, mine) || slices.Contains(live, other) == switched {
		a.t.Errorf("%s %v live, of %v and %v", when, live, mine, other)
	}
	if in := must(a.signIn(has, good, when))(a.t); in.User != user {
		a.t.Errorf("%s user %d signs in", when, in.User)
	}
	_, err := a.signIn(not, good, when)
	refused(a.t, when+" by "+not, err, "credentials_refused")
	if n := a.count("SELECT COUNT(*) FROM told WHERE template = 'email_changed' AND recipient = ?", mia); n != told {
		a.t.Errorf("%s the old address is told %d times", when, n)
	}
}

// TestKilledChanges ends the shop between all steps of a change of the address. The account has one address at any time, the old one is
// told exactly if it has the new one, and after a sweep, or the same request again, one address belongs to it and the other is free.
func TestKilledChanges(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"claimed", "reopened", "writing", "switched", "final", "ended"} {
		for _, sweeps := range []bool{true, false} {
			t.Run(step+map[bool]string{true: ", swept"}[sweeps], func(t *testing.T) {
				t.Parallel()
				a, ctx := newAccounts(t), t.Context()
				for _, p := range a.databases.All(shard.Users) {
					_, err := p.In(p.Writer()).ExecContext(ctx, "CREATE TABLE told (event VARCHAR(100), template VARCHAR(30), recipient VARCHAR(100), PRIMARY KEY (event, template, recipient))")
					if err != nil {
						t.Fatal(err)
					}
				}
				user := a.member(mia)
				mine, other := must(a.signIn(mia, good, "mine"))(t), must(a.signIn(mia, good, "other"))(t)
				challenge, code := a.askEmail(user.ID, miaNext, "1", nil)
				killed := exec.CommandContext(ctx, os.Args[0])
				killed.Env = append(slices.Clone(os.Environ()), dsnEnv+"="+a.dsn, secretEnv+"="+a.secret, stepEnv+"="+step,
					userEnv+"="+strconv.FormatInt(int64(user.ID), 10), sessionEnv+"="+strconv.FormatInt(int64(mine.Session), 10),
					challengeEnv+"="+challenge, codeEnv+"="+code)
				if out, err := killed.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
					t.Fatalf("%v\n%s", err, out)
				}
				switched := !slices.Contains([]string{"claimed", "reopened", "writing"}, step) // else nothing was committed
				holds := func(when string, switched bool) {
					t.Helper()
					a.holdsOne(user.ID, mine.Session, other.Session, when, switched)
				}
				holds("when it was killed", switched)
				if sweeps {
					a.sweep()
					holds("after the sweep", switched)
				}
				same, d, err := otherProcess(a.dsn, a.secret)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = d.Close() }()
				who := account.Holder{User: user.ID, Session: mine.Session}
				if set := must(same.SetEmail(ctx, from("killed"), who, challenge, code))(t); set.Value != miaNext {
					t.Errorf("%+v", set)
				}
				holds("after the same request", true)
				if !sweeps { // back, though the claim of before may be open
					must(a.setEmail(who, mia, "back"))(t)
					must(a.signIn(mia, good, "back"))(t)
				}
				a.sweep()
				if sweeps {
					a.isFree(mia)
				} else {
					a.isFree(miaNext)
				}
			})
		}
	}
}
