package account_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"sluice/catalog/account"
	"sluice/core/ids"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/shard"
)

// postbox is a messenger that keeps messages in memory, each event's once.
type postbox struct {
	mu      sync.Mutex
	all     []account.Message
	refusal error // of all that somebody asks for
	silent  error // of all
	asked   func()
}

// Allow implements account.Messenger.
func (o *postbox) Allow(context.Context, account.Ask) error {
	if o.asked != nil {
		o.asked()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.refusal
}

// Add implements account.Messenger.
func (o *postbox) Add(_ context.Context, _ *sql.Tx, _ place.Place, m account.Message) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent != nil {
		return o.silent
	}
	if !slices.ContainsFunc(o.all, func(held account.Message) bool {
		return held.Event == m.Event && held.Template == m.Template && held.By == m.By
	}) {
		o.all = append(o.all, m)
	}
	return nil
}

// Forget implements account.Messenger.
func (o *postbox) Forget(_ context.Context, _ place.Place, user ids.User) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = slices.DeleteFunc(o.all, func(m account.Message) bool { return m.User == user })
	return nil
}

// Who asks for a message that is refused is told so, whoever has an account, and nothing is written.
func TestRefusedMessageRefusesTheRequest(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	a.member(mia)
	sent := len(a.messages())
	a.post.refusal = &problem.Problem{Kind: problem.WrongState}
	for _, email := range []string{mia, "eve@example.org"} {
		_, err := a.Register(ctx, from("refused"), account.Registration{Email: email, Password: good, Home: home})
		refused(t, "register "+email, err, "wrong_state")
		_, err = a.AskReset(ctx, from("refused"), email)
		refused(t, "reset "+email, err, "wrong_state")
	}
	if len(a.messages()) != sent {
		t.Errorf("%d messages, want %d", len(a.messages()), sent)
	}
	a.post.refusal = nil
	must(a.AskReset(ctx, from("refused"), mia))(t)
	a.last("reset_password")
}

// A request that comes again after its challenge is over sends another code: the first one is of no use any more.
func TestKeyIsNewAfterItsChallenge(t *testing.T) {
	t.Parallel()
	a, ctx := newAccounts(t), t.Context()
	r := account.Registration{Email: mia, Password: good, Home: home}
	must(a.Register(ctx, from("r"), r))(t)
	for _, p := range a.databases.All(shard.Users) {
		if _, err := p.In(p.Writer()).ExecContext(ctx, "UPDATE challenges__ SET ends_at = NOW(3) - INTERVAL 1 YEAR"); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	asked := must(a.Register(ctx, from("r"), r))(t)
	if len(a.messages()) != 2 {
		t.Fatalf("%d messages, want 2", len(a.messages()))
	}
	must(a.Verify(ctx, from("v"), asked.Challenge, a.last("verify_email").Values["code"]))(t)
}

// What a message to nobody says opens for its row only, and its counts for their name only.
func TestMessagesOpenForTheirRowOnly(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := account.CreateSecret(file); err != nil {
		t.Fatal(err)
	}
	secret := must(account.ReadSecret(file))(t)
	sealed := secret.SealMessage(1, []byte("a code"))
	if plain, err := secret.OpenMessage(1, sealed); err != nil || string(plain) != "a code" {
		t.Errorf("%q, %v", plain, err)
	}
	for _, row := range []int64{0, 2, -1} {
		if plain, err := secret.OpenMessage(row, sealed); err == nil {
			t.Errorf("it opens for row %d: %q", row, plain)
		}
	}
	index := secret.IndexMessage("a", "bc")
	if again := must(account.ReadSecret(file))(t).IndexMessage("a", "bc"); again != index {
		t.Error("each process counts for itself")
	}
	if other := secret.IndexMessage("ab", "c"); other == index {
		t.Error("the index does not tell a name from a value")
	}
}
