package account_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/catalog/account/provider"
	"sluice/catalog/account/provider/providertest"
	"sluice/core/ids"
	"sluice/core/stock"
)

const page = "https://shop.example/back"

// providers are those of a test: two plain ones, so that one may be taken for the other, one without PKCE, and one of OpenID Connect.
type providers struct {
	plain, other, bare *providertest.Plain
	open               *providertest.OpenID
	all                *provider.Providers
}

func newProviders(t *testing.T) *providers {
	t.Helper()
	p := &providers{
		plain: providertest.NewPlain(t), other: providertest.NewPlain(t), bare: providertest.NewPlainWithoutPKCE(t),
		open: providertest.NewOpenID(t, page+"/open"),
	}
	cfg := provider.Config{
		File: providertest.WriteFile(t, p.plain.File("plain", page+"/plain"), p.other.File("other", page+"/other"), p.bare.File("bare", page+"/bare"),
			p.open.File("open", page+"/open")),
		Networks: []string{"127.0.0.0/8"}, Timeout: 10 * time.Second,
	}
	var err error
	p.all, err = cfg.Open(provider.Options{Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.all.Close)
	return p
}

var (
	miaThere = providertest.Person{ID: "union-mia", Name: "Mia", Email: mia, Verified: true}
	eveThere = providertest.Person{ID: "union-eve", Name: "Eve", Email: "eve@example.org", Verified: true}
)

// there is where somebody signs in.
type there interface {
	SignIn(address string, as providertest.Person) providertest.Return
}

// comesBack begins a sign-in at a provider, and brings back what that says.
func (a *accounts) comesBack(name string, at there, as providertest.Person) account.Return {
	a.t.Helper()
	return brought(at.SignIn, must(a.BeginAtProvider(a.t.Context(), name, home))(a.t), as)
}

func brought(signIn func(string, providertest.Person) providertest.Return, begun account.Begun, as providertest.Person) account.Return {
	back := signIn(begun.Address, as)
	return account.Return{Flow: begun.Flow, Code: back.Code, State: back.State, Issuer: back.Issuer}
}

func (a *accounts) enterBy(name string, back account.Return, key string) (account.SignedIn, error) {
	return a.EnterByProvider(a.t.Context(), from(key), name, back)
}

// A code of a provider registers and signs in, once, and its repetition answers the same.
func TestSignInByProvider(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	for name, at := range map[string]there{"plain": p.plain, "open": p.open} {
		back := a.comesBack(name, at, miaThere)
		first := must(a.enterBy(name, back, "a"+name))(t)
		if same := must(a.enterBy(name, back, "a"+name))(t); same.Session != first.Session || same.Refresh != first.Refresh || same.User != first.User {
			t.Errorf("%s: a repetition: %+v after %+v", name, same, first)
		}
		_, err := a.enterBy(name, back, "b"+name)
		refused(t, name+": the code with another key", err, kindCode)
		user := must(a.User(t.Context(), first.User, 0))(t)
		if user.Home != home || user.State != account.StateActive {
			t.Errorf("%s: %+v", name, user)
		}
		second := must(a.enterBy(name, a.comesBack(name, at, miaThere), "c"+name))(t)
		if second.User != first.User || second.Session == first.Session {
			t.Errorf("%s: %+v after %+v", name, second, first)
		}
		want := map[string]string{"plain": "Mia", "open": mia}[name]
		if all := must(a.Identities(t.Context(), first.User))(t); len(all) != 1 || all[0].Kind != account.KindProvider || all[0].Provider != name || all[0].Value != want {
			t.Errorf("%s: %+v", name, all)
		}
		a.exec(first.User, "UPDATE users__ SET state = 'locked'")
		_, err = a.enterBy(name, a.comesBack(name, at, miaThere), "locked"+name)
		refused(t, name+": a locked user", err, "user_locked")
	}
	if len(a.messages()) != 0 {
		t.Errorf("%+v", a.messages())
	}
}

// Whatever does not fit together has one refusal, and no code goes to a provider that did not give it.
func TestCodesOfProviders(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	mine, others := a.comesBack("plain", p.plain, miaThere), a.comesBack("plain", p.plain, eveThere)
	there, open := a.comesBack("other", p.other, eveThere), a.comesBack("open", p.open, miaThere)
	open.Issuer = "https://other.example"
	user := a.member("lea@example.org")
	session := must(a.signIn("lea@example.org", good, "lea"))(t)
	who := account.Holder{User: user.ID, Session: session.Session}
	adding := brought(p.plain.SignIn, must(a.BeginAdding(t.Context(), who, "plain"))(t), miaThere)
	with := func(change func(*account.Return)) account.Return {
		back := mine
		change(&back)
		return back
	}
	for what, of := range map[string]struct {
		name string
		back account.Return
	}{
		"the code of another flow":        {"plain", with(func(r *account.Return) { r.Code = others.Code })},
		"the state of another flow":       {"plain", with(func(r *account.Return) { r.State = others.State })},
		"another flow":                    {"plain", with(func(r *account.Return) { r.Flow = others.Flow })},
		"a changed flow":                  {"plain", with(func(r *account.Return) { r.Flow = r.Flow[:len(r.Flow)-2] + "AA" })},
		"no flow":                         {"plain", with(func(r *account.Return) { r.Flow = "sfl_AAAA" })},
		"a guessed code":                  {"plain", with(func(r *account.Return) { r.Code = "guess" })},
		"another issuer":                  {"open", open},
		"a code of another provider":      {"plain", with(func(r *account.Return) { r.Code = there.Code })},
		"a flow at another provider":      {"other", mine},
		"a flow that adds to an account":  {"plain", adding},
		"a code there for a flow of here": {"other", with(func(r *account.Return) { r.Code, r.State = there.Code, there.State })},
	} {
		_, err := a.enterBy(of.name, of.back, what)
		refused(t, what, err, kindCode)
	}
	if p.other.Asked() != 0 {
		t.Errorf("the other provider was asked %d times", p.other.Asked())
	}
	for what, of := range map[string]struct {
		who  account.Holder
		back account.Return
	}{
		"a flow that signs in":          {who, mine},
		"a flow of another user":        {account.Holder{User: who.User + 1, Session: who.Session}, adding},
		"a flow of another session":     {account.Holder{User: who.User, Session: who.Session + 1}, adding},
		"a flow of a user, by nobody's": {account.Holder{}, adding},
	} {
		_, err := a.AddProvider(t.Context(), from(what), of.who, "plain", of.back)
		refused(t, what, err, kindCode)
	}
	_, err := a.enterBy("none", mine, "none")
	refused(t, "no provider", err, "unknown_provider")
	_, err = a.BeginAtProvider(t.Context(), "none", home)
	refused(t, "no provider", err, "unknown_provider")
	for pointer, back := range map[string]account.Return{
		"/code": with(func(r *account.Return) { r.Code = "" }), "/state": with(func(r *account.Return) { r.State = strings.Repeat("x", 101) }),
		"/flow_token": with(func(r *account.Return) { r.Flow = "x\ny" }), "/iss": with(func(r *account.Return) { r.Issuer = "ü" }),
	} {
		_, err := a.enterBy("plain", back, pointer)
		refused(t, pointer, err, "malformed")
	}
	if all := must(a.Identities(t.Context(), user.ID))(t); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	a.now.Add(int64(time.Hour))
	_, err = a.enterBy("plain", mine, "late")
	refused(t, "a flow that is over", err, kindCode)
}

// By nonce or PKCE a code counts in its own flow only. A provider that has neither takes it in anybody's, once: whoever brings it first, by
// a flow of their own, signs in as the person who got it.
func TestCodesInFlowsOfOthers(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	for what, of := range map[string]struct {
		name  string
		at    there
		takes bool
	}{
		"the code of another flow, by PKCE":      {"plain", p.plain, false},
		"the code of another flow, by a nonce":   {"open", p.open, false},
		"the code of another flow, without PKCE": {"bare", p.bare, true},
	} {
		user := must(a.enterBy(of.name, a.comesBack(of.name, of.at, miaThere), "mine"+of.name))(t).User
		got, stolen := a.comesBack(of.name, of.at, miaThere), a.comesBack(of.name, of.at, eveThere)
		stolen.Code = got.Code
		in, err := a.enterBy(of.name, stolen, "stolen"+of.name)
		if !of.takes {
			refused(t, what, err, kindCode)
			continue
		}
		if err != nil || in.User != user {
			t.Errorf("%s: user %d, want %d, %v", what, in.User, user, err)
		}
		_, err = a.enterBy(of.name, got, "late"+of.name)
		refused(t, what+", once it is used", err, kindCode)
	}
}

// An address that a provider has verified lets nobody into an account, and makes no second one. One that it has not counts for nothing.
func TestAddressesOfProvidersLetNobodyIn(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	user := a.member(mia)
	back := a.comesBack("open", p.open, miaThere)
	_, err := a.enterBy("open", back, "a")
	refused(t, "an address that has an account", err, "account_exists")
	unverified := providertest.Person{ID: "union-liar", Name: "Liar", Email: mia}
	if in := must(a.enterBy("open", a.comesBack("open", p.open, unverified), "b"))(t); in.User == user.ID {
		t.Error("an address that nobody has verified lets in")
	}
	session := must(a.signIn(mia, good, "mine"))(t)
	who := account.Holder{User: user.ID, Session: session.Session}
	adding := brought(p.open.SignIn, must(a.BeginAdding(t.Context(), who, "open"))(t), miaThere)
	must(a.AddProvider(t.Context(), from("add"), who, "open", adding))(t)
	if in := must(a.enterBy("open", a.comesBack("open", p.open, miaThere), "c"))(t); in.User != user.ID {
		t.Errorf("user %d, want %d", in.User, user.ID)
	}
	for _, address := range []string{"not an address", "", "mia@" + strings.Repeat("a", 300) + ".example"} {
		odd := providertest.Person{ID: "odd" + address[:min(len(address), 3)], Name: "Odd", Email: address, Verified: true}
		must(a.enterBy("open", a.comesBack("open", p.open, odd), "odd"+odd.ID))(t)
	}
}

// A way to sign in is added by its owner only, is nobody else's then, and is removed unless it is the last one.
func TestProvidersOfAnAccount(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a, ctx := newAccountsWith(t, "", p.all), t.Context()
	user := a.member(mia)
	mine, other := must(a.signIn(mia, good, "mine"))(t), must(a.signIn(mia, good, "other"))(t)
	who := account.Holder{User: user.ID, Session: mine.Session}
	add := func(as providertest.Person, key string) (account.Identity, error) {
		t.Helper()
		return a.AddProvider(ctx, from(key), who, "plain", brought(p.plain.SignIn, must(a.BeginAdding(ctx, who, "plain"))(t), as))
	}
	begun := brought(p.plain.SignIn, must(a.BeginAdding(ctx, who, "plain"))(t), miaThere)
	first := must(a.AddProvider(ctx, from("first"), who, "plain", begun))(t)
	if again := must(a.AddProvider(ctx, from("first"), who, "plain", begun))(t); again != first {
		t.Errorf("a repetition: %+v after %+v", again, first)
	}
	_, err := a.AddProvider(ctx, from("second"), who, "plain", begun)
	refused(t, "the code with another key", err, kindCode)
	if m := a.last("sign_in_added"); m.To != mia || m.Values["way"] != "plain" || m.User != user.ID {
		t.Errorf("%+v", m)
	}
	if same := must(add(miaThere, "again"))(t); same != first {
		t.Errorf("%+v after %+v", same, first)
	}
	stranger := must(a.enterBy("plain", a.comesBack("plain", p.plain, eveThere), "eve"))(t)
	_, err = add(eveThere, "taken")
	refused(t, "one of another account", err, "identity_taken")
	if in := must(a.enterBy("plain", a.comesBack("plain", p.plain, miaThere), "in"))(t); in.User != user.ID {
		t.Errorf("user %d, want %d", in.User, user.ID)
	}
	a.exec(user.ID, "UPDATE users__ SET state = 'locked'")
	_, err = a.AddProvider(ctx, from("locked"), who, "plain", brought(p.plain.SignIn, must(a.BeginAdding(ctx, who, "plain"))(t), miaThere))
	refused(t, "a locked user", err, "user_locked")
	a.exec(user.ID, "UPDATE users__ SET state = 'active'")

	if err := errors.Join(a.RemoveIdentity(ctx, who, first.ID), a.RemoveIdentity(ctx, who, first.ID)); err != nil {
		t.Fatal(err)
	}
	if live := a.live(user.ID); len(live) != 1 || live[0] != mine.Session {
		t.Errorf("%v are left, want %v without %v", live, mine.Session, other.Session)
	}
	_, err = a.AddProvider(ctx, from("first"), who, "plain", begun)
	refused(t, "the repetition of what was removed since", err, kindCode)
	if in := must(a.enterBy("plain", a.comesBack("plain", p.plain, miaThere), "free"))(t); in.User == user.ID || in.User == stranger.User {
		t.Errorf("the removed one signs in as %d", in.User)
	}
	only := must(a.Identities(ctx, stranger.User))(t)[0]
	refused(t, "the last way", a.RemoveIdentity(ctx, account.Holder{User: stranger.User, Session: stranger.Session}, only.ID), "wrong_state")
}

// Who has a second factor is asked for it after the provider.
func TestProviderAndSecondFactor(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a, ctx := newAccountsWith(t, "", p.all), t.Context()
	user := a.member(mia).ID
	_, recovery := a.factor(must(a.signIn(mia, good, "factor"))(t))
	who := account.Holder{User: user}
	must(a.AddProvider(ctx, from("add"), who, "plain", brought(p.plain.SignIn, must(a.BeginAdding(ctx, who, "plain"))(t), miaThere)))(t)
	back := a.comesBack("plain", p.plain, miaThere)
	in := must(a.enterBy("plain", back, "in"))(t)
	if in.Second == nil || in.Access != "" {
		t.Fatalf("%+v", in)
	}
	if again := must(a.enterBy("plain", back, "in"))(t); again.Second == nil || again.Second.Challenge != in.Second.Challenge {
		t.Errorf("%+v after %+v", again, in)
	}
	if tokens := must(a.FinishSignIn(ctx, from("finish"), in.Second.Challenge, recovery[0]))(t); tokens.User != user {
		t.Errorf("%+v", tokens)
	}
}

// Of several that bring the same code at once under one key, one asks the provider, and all are told the same or to come again.
func TestProviderIsAskedOnce(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	back := a.comesBack("plain", p.plain, miaThere)
	var mu sync.Mutex
	sessions := map[ids.Session]int{}
	var group errgroup.Group
	for range 5 {
		group.Go(func() error {
			for {
				in, err := a.enterBy("plain", back, "same")
				if err != nil && (strings.HasPrefix(err.Error(), "in_progress") || errors.Is(err, stock.ErrNotApplied)) { // as a client repeats it
					a.now.Add(int64(time.Second)) // so that no limit is met
					continue
				}
				mu.Lock()
				sessions[in.Session]++
				mu.Unlock()
				return err
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(sessions) != 1 || p.plain.Asked() != 1 {
		t.Errorf("%v after %d questions", sessions, p.plain.Asked())
	}
}

// A provider that is away may be asked again with the same code and key.
func TestProviderThatIsAway(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, "", p.all)
	back := a.comesBack("plain", p.plain, miaThere)
	p.plain.Fail(503)
	_, err := a.enterBy("plain", back, "k")
	refused(t, "one that is away", err, "provider_unavailable")
	p.plain.Fail(404)
	_, err = a.enterBy("plain", back, "k")
	refused(t, "one that answers nonsense", err, "provider_failed")
	p.plain.Fail(0)
	must(a.enterBy("plain", back, "k"))(t)
}

// Who is erased leaves nothing of a provider, and the same code makes no other user.
func TestErasedUsersOfProviders(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a, ctx := newAccountsWith(t, "", p.all), t.Context()
	back := a.comesBack("plain", p.plain, miaThere)
	in := must(a.enterBy("plain", back, "in"))(t)
	if err := a.Erase(ctx, in.User); err != nil {
		t.Fatal(err)
	}
	_, err := a.enterBy("plain", back, "in")
	refused(t, "the same code", err, kindCode)
	a.work()
	if next := must(a.enterBy("plain", a.comesBack("plain", p.plain, miaThere), "next"))(t); next.User == in.User {
		t.Error("the erased user signs in")
	}
}

// Who becomes a user by a provider is assessed, by the domain of an address that is verified too.
func TestProvidersAreAssessed(t *testing.T) {
	t.Parallel()
	p := newProviders(t)
	a := newAccountsWith(t, fileOf(t, byLocale), p.all)
	thrown := providertest.Person{ID: "thrown", Name: "Thrown", Email: "x@throw.example", Verified: true}
	_, err := a.enterBy("open", a.comesBack("open", p.open, thrown), "thrown")
	refused(t, "a domain that is denied", err, "registration_refused")
	thrown.Verified = false
	must(a.enterBy("open", a.comesBack("open", p.open, thrown), "unverified"))(t)
}
