package account_test

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/account/provider/providertest"
	"sluice/core/shard"
	"sluice/core/stock"
)

// A client that goes away while the provider is asked finds the answer.
func TestClientsThatGoAway(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	back := a.comesBack("plain", p.plain, miaThere)
	gone, cancel := context.WithCancel(t.Context())
	a.Stop(func(step string) {
		if step == "exchanging" {
			cancel()
		}
	})
	if _, err := a.EnterByProvider(gone, from("gone"), "plain", back); err == nil {
		t.Fatal("it did not stop")
	}
	a.Stop(func(string) {})
	in := must(a.enterBy("plain", back, "gone"))(t)
	if p.plain.Asked() != 1 || in.Access == "" {
		t.Errorf("%+v after %d questions", in, p.plain.Asked())
	}
}

// stopped has a process end before a step of what it does.
func (a *accounts) stopped(at string, do func(ctx context.Context) error) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(a.t.Context())
	ended := false
	func() {
		defer func() { ended = recover() != nil }()
		a.Stop(func(step string) {
			if step == at {
				panic("the process ends")
			}
		})
		_ = do(ctx)
	}()
	cancel() // its transaction
	a.Stop(func(string) {})
	if !ended {
		a.t.Errorf("it did not end at %s", at)
	}
}

// goesOn repeats what has stopped at a step, as its client does.
func (a *accounts) goesOn(at, outcome string, do func(ctx context.Context) error) {
	a.t.Helper()
	if outcome == "" {
		if err := do(a.t.Context()); err != nil {
			a.t.Errorf("%s: %v", at, err)
		}
		return
	}
	refused(a.t, at+": while the other process may have its turn", do(a.t.Context()), "in_progress")
	for _, of := range a.databases.All(shard.Users) {
		if _, err := of.In(of.Writer()).ExecContext(a.t.Context(), "UPDATE challenges__ SET ends_at = ends_at - INTERVAL 1 MINUTE WHERE decoy"); err != nil {
			a.t.Fatal(err)
		}
	}
	err := do(a.t.Context())
	if outcome == "later" && err != nil {
		a.t.Errorf("%s: %v", at, err)
	}
	if outcome == "refused" {
		refused(a.t, at+": a code that the provider has taken", err, kindCode)
	}
}

// What becomes of a request whose process ends before a step: its repetition succeeds at once (""), or once the other's turn is over, or
// its code is refused then, because the provider has answered before.
var (
	stopsOfSignIn = map[string]string{"exchanging": "later", "exchanged": "refused", "claimed": ""}
	stopsOfAdding = map[string]string{
		"exchanging": "later", "exchanged": "refused", "claimed": "", "reopened": "", "writing": "", "switched": "", "final": "", "ended": "",
	}
)

// goes are the steps of what is done without an end.
func (a *accounts) goes(do func(ctx context.Context) error) []string {
	a.t.Helper()
	var steps []string
	a.Stop(func(step string) { steps = append(steps, step) })
	if err := do(a.t.Context()); err != nil {
		a.t.Fatal(err)
	}
	a.Stop(func(string) {})
	return slices.Sorted(slices.Values(steps))
}

// A process that ends at any step of a sign-in leaves it to the repetition, or to a new one: in the end the person is one user.
func TestSignInsThatStop(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	signIn := func(as providertest.Person) func(context.Context) error {
		back := a.comesBack("plain", p.plain, as)
		return func(ctx context.Context) error {
			_, err := a.EnterByProvider(ctx, from("in"+as.ID), "plain", back)
			return err
		}
	}
	if steps, want := a.goes(signIn(miaThere)), slices.Sorted(maps.Keys(stopsOfSignIn)); !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	for step, outcome := range stopsOfSignIn {
		as := providertest.Person{ID: "at-" + step, Name: step}
		do := signIn(as)
		a.stopped(step, do)
		a.goesOn(step, outcome, do)
		first := must(a.enterBy("plain", a.comesBack("plain", p.plain, as), "first"+step))(t)
		if next := must(a.enterBy("plain", a.comesBack("plain", p.plain, as), "next"+step))(t); next.User != first.User {
			t.Errorf("%s: user %d, then %d", step, first.User, next.User)
		}
	}
}

// The same of the adding of a provider: in the end the account has it once, and it signs in to this account.
func TestAddingsThatStop(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	person := func(name string) (who account.Holder, as providertest.Person) {
		as = providertest.Person{ID: "at-" + name, Name: name}
		in := must(a.enterBy("other", a.comesBack("other", p.other, as), "made"+name))(t)
		return account.Holder{User: in.User, Session: in.Session}, as
	}
	add := func(who account.Holder, as providertest.Person, key string) func(context.Context) error {
		back := brought(p.plain.SignIn, must(a.BeginAdding(t.Context(), who, "plain"))(t), as)
		return func(ctx context.Context) error {
			_, err := a.AddProvider(ctx, from(key+as.ID), who, "plain", back)
			return err
		}
	}
	who, as := person("all")
	if steps, want := a.goes(add(who, as, "all")), slices.Sorted(maps.Keys(stopsOfAdding)); !slices.Equal(steps, want) {
		t.Errorf("steps %q, want %q", steps, want)
	}
	for step, outcome := range stopsOfAdding {
		who, as := person(step)
		do := add(who, as, "add")
		a.stopped(step, do)
		a.goesOn(step, outcome, do)
		if err := add(who, as, "again")(t.Context()); err != nil {
			t.Errorf("%s: %v", step, err)
		}
		if all := must(a.Identities(t.Context(), who.User))(t); len(all) != 2 {
			t.Errorf("%s: %+v", step, all)
		}
		if in := must(a.enterBy("plain", a.comesBack("plain", p.plain, as), "in"+step))(t); in.User != who.User {
			t.Errorf("%s: user %d, want %d", step, in.User, who.User)
		}
	}
}

// What a provider has said is kept within its time: a request ends also if no connection of MySQL comes free.
func TestExchangesEnd(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	a.BoundExchanges(2 * time.Second)
	back := a.comesBack("plain", p.plain, miaThere)
	var taken []*sql.Conn
	a.Stop(func(step string) {
		if step != "exchanged" {
			return
		}
		for range 8 { // all
			held, err := a.databases.All(shard.Users)[0].Writer().Conn(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			taken = append(taken, held)
		}
	})
	_, err := a.enterBy("plain", back, "held")
	for _, held := range taken {
		if err := held.Close(); err != nil {
			t.Error(err)
		}
	}
	if !errors.Is(err, stock.ErrNotApplied) && !errors.Is(err, stock.ErrUnknown) || len(taken) != 8 {
		t.Errorf("%v, with %d connections taken", err, len(taken))
	}
}
