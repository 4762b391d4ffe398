package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/go-json-experiment/json"
	"github.com/pquerna/otp/totp"

	"sluice/catalog/account"
	"sluice/catalog/account/provider"
	"sluice/catalog/account/provider/providertest"
	"sluice/catalog/assess"
	"sluice/catalog/cart"
	"sluice/catalog/internal/objects/objectstest"
	"sluice/catalog/internal/task"
	"sluice/catalog/internal/vault"
	"sluice/catalog/internal/web"
	"sluice/catalog/internal/work"
	"sluice/catalog/notify"
	"sluice/catalog/offer"
	"sluice/catalog/price"
	"sluice/catalog/product"
	"sluice/catalog/seller"
	"sluice/catalog/stock"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/lifecycle"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/shard"
	"sluice/core/tally"
)

// TestCallsOfMySQL counts what each operation asks MySQL. A statement is a call, once its connection has prepared it, and a transaction
// is two more. An operation that asked row by row would make more calls for more rows.
func TestCallsOfMySQL(t *testing.T) {
	t.Parallel()
	databases, err := place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(servicetest.MariaDB(t)), ConnsMax: 4, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = databases.Close() })
	if err := databases.Migrate(t.Context(), Schemas(), place.Quiet); err != nil {
		t.Fatal(err)
	}
	key, err := auth.GenerateKey(auth.HS256)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := auth.WriteKeys(file, key); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &callCounter{t: t, databases: databases, keys: keys, inbox: new(notify.Inbox), called: map[string]bool{}}
	c.serve()
	c.keyOf(7) // the first key that a process wraps in a place takes more
	c.callsOfUsers()
	c.callsOfSignIn()
	c.callsOfFactors()
	c.callsOfPersonal()
	c.callsOfSellers()
	c.callsOfPeople()
	c.callsOfPhones()
	c.callsOfProviders()
	c.callsOfAssessments()
	c.callsOfProducts()
	for _, o := range Table() {
		if !c.called[o.Method+" "+o.Path] {
			t.Errorf("nobody counts the calls of %s %s", o.Method, o.Path)
		}
	}
}

// callCounter counts calls of a shop that is all in this process.
type callCounter struct {
	t         *testing.T
	databases *place.Databases
	keys      *auth.Keys
	server    *web.Server
	inbox     *notify.Inbox
	vault     *vault.Vault
	called    map[string]bool
	plain     *providertest.Plain
}

func (c *callCounter) serve() {
	c.t.Helper()
	dir := c.t.TempDir()
	signingFile, secretFile := filepath.Join(dir, "signing.json"), filepath.Join(dir, "account.secret")
	ring, err := auth.NewRing(time.Now())
	if err == nil {
		err = errors.Join(ring.Create(signingFile), account.CreateSecret(secretFile))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	secret, err1 := account.ReadSecret(secretFile)
	signing, err2 := openSigning(signingFile, "sluice", "sluice")
	_, err3 := GenerateVaultKeys(filepath.Join(dir, "vault.json"))
	if err := errors.Join(err1, err2, err3); err != nil {
		c.t.Fatal(err)
	}
	if c.vault, err = OpenVault(c.t.Context(), VaultConfig{File: filepath.Join(dir, "vault.json")}, c.databases, slog.New(slog.DiscardHandler)); err != nil {
		c.t.Fatal(err)
	}
	assessments, err := assess.New(assess.Config{
		Databases: c.databases, Index: secret.IndexMessage, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.plain = providertest.NewPlain(c.t)
	providers, err := provider.Config{
		File: providertest.WriteFile(c.t, c.plain.File("plain", "https://shop.example/back")), Networks: []string{"127.0.0.0/8"}, Timeout: time.Minute,
	}.Open(provider.Options{Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(providers.Close)
	messages := c.messages(secret)
	accounts := account.New(account.Config{
		Databases: c.databases, Secret: secret, Vault: c.vault, Signer: signing, Messenger: messenger{messages}, Assessor: assessments, Providers: providers, Shop: "Shop", HashesMax: 1,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	assessments.Register(assess.SignUp, accounts.Asker())
	sender, err := seller.Webhooks{Timeout: time.Second}.Open() // what is sent goes nowhere
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(sender.Close)
	sellers := seller.New(seller.Config{Databases: c.databases, Sealer: secret, Accounts: accounts, Messenger: sellerMessenger{messages}, Assessor: assessments, Sender: sender})
	assessments.Register(assess.Application, sellers.Asker())
	c.work(sellers.Work(), shard.Values)
	// What is granted is remembered for good, so that it is looked up once, however slow the machine is.
	began := time.Now()
	products := product.New(product.Config{Databases: c.databases, Sellers: sellers, Media: objectstest.Start(c.t).Open(c.t), Now: func() time.Time { return began }}) // likewise of the tree
	quotes, err := price.NewSealer(secret.QuoteKey())
	if err != nil {
		c.t.Fatal(err)
	}
	pricing := price.New(price.Config{Databases: c.databases, Markets: price.DefaultMarkets(), Sellers: sellers, Products: products, Sealer: quotes})
	offers := offer.New(offer.Config{Databases: c.databases, Sellers: sellers, Goods: products})
	carts := cart.New(cart.Config{Databases: c.databases, Prover: secret, Products: products, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	frozen := account.New(account.Config{Databases: c.databases, Now: func() time.Time { return began }})
	c.server, err = web.New(web.Config{
		Routes: routes(accounts, assessments, sellers, products, offers, pricing, carts, stock.New(stock.Config{Databases: c.databases, Sellers: sellers, Products: products})), Permissions: permissions(), Granted: frozen.Granted, Keys: sellers.VerifyKey,
		Lives: accounts.Lives, Proved: accounts.Proved, RequestsMax: 1, Timeout: time.Minute,
		Tokens:  auth.NewVerifier(c.keys, auth.VerifierConfig{Issuer: "sluice", Audience: "sluice", CacheMax: 10, Shoppers: signing.shoppers}),
		Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// request is one with what it costs.
type request struct {
	method, path, body, token string
	status                    int
	statements, transactions  int64
	operation                 string // its path in the document, if that has parameters
}

// call makes a request, compares its cost, and returns the members of the answer.
func (c *callCounter) call(of request) map[string]string {
	c.t.Helper()
	return c.callUnder("k", of)
}

// callUnder is call, under another key than the others.
func (c *callCounter) callUnder(key string, of request) map[string]string {
	c.t.Helper()
	texts := map[string]string{}
	for name, value := range c.callAll(map[string]string{"Idempotency-Key": key}, of) {
		texts[name], _ = value.(string)
	}
	return texts
}

// callAll is call, with other headers and the members that are no texts.
func (c *callCounter) callAll(headers map[string]string, of request) map[string]any {
	c.t.Helper()
	const statement, transaction = 1, 2
	ctx, calls := tally.Count(c.t.Context())
	r := httptest.NewRequestWithContext(ctx, of.method, of.path, strings.NewReader(of.body))
	if of.token != "" {
		r.Header.Set("Authorization", "Bearer "+of.token)
	}
	r.Header.Set("If-Match", `"1"`)
	r.Header.Set("Content-Type", "application/json")
	for name, value := range headers {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	if want := of.statements*statement + of.transactions*transaction; w.Code != of.status || calls.Load() != want {
		c.t.Errorf("%s %s: %d %s with %d calls, want %d with %d", of.method, of.path, w.Code, w.Body, calls.Load(), of.status, want)
	}
	c.called[of.method+" "+cmp.Or(of.operation, of.path)] = true
	members := map[string]any{}
	_ = json.Unmarshal(w.Body.Bytes(), &members) // an answer may be empty
	return members
}

func (c *callCounter) callsOfUsers() {
	token := func(role auth.Role) string { return c.token(7, role) }
	const user, operation, home = "/v1/users/7", "/v1/users/{user_id}", `{"region":"eu","locale":"de"}`
	service := token(auth.RoleService)
	c.call(request{"PUT", user, home, service, http.StatusCreated, 6, 1, operation}) // the user, its event, the version of that, and two for the audit log
	c.call(request{"GET", "/v1/audit?actor=service:7", "", token(auth.RoleAdmin), http.StatusOK, 1, 0, "/v1/audit"})
	c.call(request{"PUT", user, home, service, http.StatusOK, 2, 1, operation})
	c.call(request{"GET", user, "", service, http.StatusOK, 1, 0, operation})
	c.call(request{"GET", "/v1/me", "", token(auth.RoleShopper), http.StatusOK, 1, 0, ""})
}

// token is that of a user.
func (c *callCounter) token(user int64, role auth.Role) string {
	c.t.Helper()
	return c.issue(auth.Identity{Subject: user, Role: role})
}

func (c *callCounter) issue(of auth.Identity) string {
	c.t.Helper()
	now := time.Now()
	token, err := c.keys.Issue(auth.Claims{
		Identity: of, Issuer: "sluice", Audience: "sluice", NotBefore: now.Add(-time.Minute), Expires: now.Add(time.Hour),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// keyOf makes the key of a user, or has it remembered.
func (c *callCounter) keyOf(user int64) {
	c.t.Helper()
	if _, err := c.vault.Box(c.t.Context(), user); err != nil {
		c.t.Fatal(err)
	}
}

func (c *callCounter) callsOfPersonal() {
	const home = `{"recipient":"Ann","country":"DE","lines":["x"],"default":true}`
	me := c.token(7, auth.RoleShopper)
	change := func(r request, match string) map[string]string {
		texts := map[string]string{}
		for name, value := range c.callAll(map[string]string{"Idempotency-Key": "n" + strconv.Itoa(len(r.method+r.path+r.body)), "If-Match": match}, r) {
			texts[name], _ = value.(string)
		}
		return texts
	}
	read := func(path string, statements int64, operation string) {
		c.call(request{"GET", path, "", me, http.StatusOK, statements, 0, operation})
	}
	change(request{"PATCH", "/v1/me/profile", `{"display_name":"Ann"}`, me, http.StatusOK, 7, 1, ""}, `"1"`)
	read("/v1/me/profile", 1, "")
	change(request{"POST", "/v1/me/addresses", home, me, http.StatusCreated, 8, 1, ""}, "")
	made := change(request{"POST", "/v1/me/addresses", strings.Replace(home, "Ann", "Carla", 1), me, http.StatusCreated, 8, 1, ""}, "")
	path, operation := "/v1/me/addresses/"+made["address_id"], "/v1/me/addresses/{address_id}"
	read("/v1/me/addresses", 2, "")
	read(path, 2, operation)
	change(request{"PUT", path, home, me, http.StatusOK, 8, 1, operation}, `"1"`)
	change(request{"DELETE", path, "", me, http.StatusNoContent, 7, 1, operation}, `"2"`)
	change(request{"POST", "/v1/me/consents", `{"purpose":"marketing","given":true,"text_version":"1"}`, me, http.StatusCreated, 9, 1, ""}, "")
	read("/v1/me/consents", 2, "")
	read("/v1/me/data", 8, "")
	change(request{"DELETE", "/v1/me", `{"confirm":"erase"}`, me, http.StatusNoContent, 18, 1, ""}, "")
}

// messages have an inbox, and a worker that brings them there.
func (c *callCounter) messages(secret *account.Secret) *notify.Messages {
	c.t.Helper()
	texts, err := notify.LoadTexts("Shop", "")
	if err != nil {
		c.t.Fatal(err)
	}
	log, users := slog.New(slog.DiscardHandler), c.databases.All(shard.Users)
	m := notify.New(notify.Options{
		Counts: users[0], Sealer: sealer{secret, c.vault}, Texts: texts, Senders: map[notify.Channel]notify.Sender{notify.Email: c.inbox, notify.SMS: c.inbox},
		Caps: notify.Caps{PerRecipient: 10, PerAddress: 10, PerDay: 10}, Metrics: metrics.NewSet(), Log: log,
	})
	c.work(m.Work(), shard.Users)
	return m
}

// work does the tasks of a package.
func (c *callCounter) work(of work.Owner, kind shard.Kind) {
	c.t.Helper()
	worker := task.NewWorker(task.Config{
		Owner: of.Name, Places: c.databases.All(kind), Handlers: of.Tasks, Every: 50 * time.Millisecond, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	c.t.Cleanup(func() { cancel(); <-ended })
}

// code is that of a message, once it is there.
func (c *callCounter) code(template string) string {
	c.t.Helper()
	return c.codeTo("", template)
}

// codeTo is that of a message to a recipient.
func (c *callCounter) codeTo(to, template string) string {
	c.t.Helper()
	return c.found(to, template, `[0-9]{8}`)
}

// found is what a message to a recipient has of a form, once it is there.
func (c *callCounter) found(to, template, form string) (text string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	err := lifecycle.Poll(ctx, 5*time.Millisecond, func() error {
		w := httptest.NewRecorder()
		c.inbox.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/messages?to="+url.QueryEscape(to), http.NoBody))
		var found []struct{ Template, Text string }
		err := json.Unmarshal(w.Body.Bytes(), &found, json.MatchCaseInsensitiveNames(true))
		i := slices.IndexFunc(found, func(m struct{ Template, Text string }) bool { return m.Template == template })
		if err != nil || i < 0 {
			return fmt.Errorf("no %s among %s: %v", template, w.Body, err) //nolint:errorlint // it may be nil
		}
		text = regexp.MustCompile(form).FindString(found[i].Text)
		return nil
	}, func(error) bool { return false })
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

func (c *callCounter) callsOfSignIn() {
	const mia, old, next = "mia@example.org", "correct horse battery staple", "staple battery horse correct"
	asked := c.call(request{"POST", "/v1/users", `{"email":"` + mia + `","password":"` + old + `","region":"eu","locale":"de"}`, "", http.StatusAccepted, 9, 2, ""}) // three and a transaction count the message
	c.call(request{
		"POST", "/v1/verifications/" + asked["challenge_id"], `{"code":"` + c.code("verify_email") + `"}`, "", http.StatusCreated, 16, 1, "/v1/verifications/{challenge_id}", // four of them assess, and one makes the key of the user
	})
	signIn := request{"POST", "/v1/sessions", `{"email":"` + mia + `","password":"` + old + `"}`, "", http.StatusCreated, 7, 1, ""}
	first := c.call(signIn)
	signIn.body, signIn.status, signIn.statements, signIn.transactions = strings.Replace(signIn.body, mia, "eve@example.org", 1), http.StatusForbidden, 2, 0
	c.call(signIn) // for nobody the same is asked until the password is compared
	tokens := c.call(request{"POST", "/v1/tokens", `{"refresh_token":"` + first["refresh_token"] + `"}`, "", http.StatusOK, 2, 0, ""})
	me := tokens["access_token"]
	c.call(request{"GET", "/.well-known/jwks.json", "", "", http.StatusOK, 0, 0, ""})
	c.call(request{"GET", "/v1/me/sessions", "", me, http.StatusOK, 2, 0, ""}) // one looks whether the session of the token lives, here and below
	for path, statements := range map[string]int64{"profile": 2, "addresses": 3, "consents": 3, "data": 9} {
		c.call(request{"GET", "/v1/me/" + path, "", me, http.StatusOK, statements, 0, ""})
	}
	c.call(request{"GET", "/v1/me/addresses/adr_0000000000001", "", me, http.StatusNotFound, 3, 0, "/v1/me/addresses/{address_id}"})
	c.call(request{"DELETE", "/v1/me/sessions", "", me, http.StatusNoContent, 3, 1, ""})
	c.call(request{"PUT", "/v1/me/password", `{"current_password":"` + old + `","password":"` + next + `"}`, me, http.StatusNoContent, 9, 1, ""})
	c.call(request{"DELETE", "/v1/me/sessions/" + tokens["session_id"], "", me, http.StatusNoContent, 4, 1, "/v1/me/sessions/{session_id}"})
	reset := c.call(request{"POST", "/v1/password_resets", `{"email":"` + mia + `"}`, "", http.StatusAccepted, 10, 2, ""})
	c.call(request{
		"POST", "/v1/password_resets/" + reset["challenge_id"], `{"code":"` + c.code("reset_password") + `","password":"` + old + `"}`, "", http.StatusOK, 12, 1,
		"/v1/password_resets/{challenge_id}",
	})
}

// callsOfFactors are of the user of callsOfSignIn. A transaction begins with the user's lock.
func (c *callCounter) callsOfFactors() {
	const password = "correct horse battery staple"
	signIn := request{"POST", "/v1/sessions", `{"email":"mia@example.org","password":"` + password + `"}`, "", http.StatusCreated, 7, 1, ""}
	me := c.callUnder("factor", signIn)["access_token"]
	began := time.Now()
	begun := c.call(request{"POST", "/v1/me/totp", "", me, http.StatusCreated, 6, 1, ""}) // the first two ask whether the session lives and is proved
	code, err := totp.GenerateCode(begun["secret"], began)
	if err != nil {
		c.t.Fatal(err)
	}
	confirmed := c.callAll(map[string]string{"Idempotency-Key": "k"}, request{"POST", "/v1/me/totp/confirmation", `{"code":"` + code + `"}`, me, http.StatusOK, 8, 1, ""})
	recovery, _ := confirmed["recovery_codes"].([]any)
	c.call(request{"GET", "/v1/me/totp", "", me, http.StatusOK, 2, 0, ""})
	c.call(request{"GET", "/v1/me/sign_ins", "", me, http.StatusOK, 2, 0, ""})
	signIn.status, signIn.statements = http.StatusAccepted, 5
	second := c.callUnder("second", signIn)["challenge_id"]
	finish := fmt.Sprintf(`{"code":%q}`, recovery[0])
	done := c.call(request{"POST", "/v1/sessions/" + second, finish, "", http.StatusCreated, 13, 1, "/v1/sessions/{challenge_id}"})
	me = done["access_token"]
	c.call(request{"POST", "/v1/me/step_up", fmt.Sprintf(`{"code":%q}`, recovery[1]), me, http.StatusNoContent, 9, 1, ""})
	c.call(request{"POST", "/v1/me/totp/recovery_codes", "", me, http.StatusOK, 5, 1, ""})
	c.call(request{"POST", "/v1/me/totp/removal", `{"password":"` + password + `"}`, me, http.StatusNoContent, 8, 1, ""})
}

func (c *callCounter) callsOfPhones() {
	const ann, bob = "+4915112345678", "+4915187654321"
	const ask, in, set = "/v1/phone_codes", "/v1/phone_codes/{challenge_id}", "/v1/me/phone_codes/{challenge_id}"
	asked := c.call(request{"POST", ask, `{"phone":"` + ann + `","region":"eu","locale":"de"}`, "", http.StatusAccepted, 10, 2, ""})
	tokens := c.call(request{"POST", "/v1/phone_codes/" + asked["challenge_id"], `{"code":"` + c.code("sign_in_code") + `"}`, "", http.StatusCreated, 23, 2, in})
	me := tokens["access_token"]
	c.call(request{"GET", "/v1/me/identities", "", me, http.StatusOK, 2, 0, ""})
	asked = c.call(request{"POST", "/v1/me/phone_codes", `{"phone":"` + bob + `"}`, me, http.StatusAccepted, 11, 2, ""})
	set2 := c.call(request{"POST", "/v1/me/phone_codes/" + asked["challenge_id"], `{"code":"` + c.codeTo(bob, "sign_in_code") + `"}`, me, http.StatusOK, 21, 1, set})
	c.call(request{"DELETE", "/v1/me/identities/" + set2["identity_id"], "", me, http.StatusConflict, 3, 0, "/v1/me/identities/{identity_id}"})
	const email, address = "/v1/me/email_codes", "/v1/me/email_codes/{challenge_id}"
	asked = c.call(request{"POST", email, `{"email":"ann@example.org","password":"correct horse battery staple"}`, me, http.StatusAccepted, 12, 2, ""})
	c.call(request{"POST", email + "/" + asked["challenge_id"], `{"code":"` + c.codeTo("ann@example.org", "verify_email") + `"}`, me, http.StatusOK, 17, 1, address})
	asked = c.callUnder("other", request{"POST", email, `{"email":"ann@example.net"}`, me, http.StatusAccepted, 12, 2, ""})
	c.call(request{"POST", email + "/" + asked["challenge_id"], `{"code":"` + c.codeTo("ann@example.net", "verify_email") + `"}`, me, http.StatusOK, 23, 1, address})
}

// callsOfProviders counts what a sign-in at a provider costs: nothing before the provider has sent somebody back. Then it is looked for
// the answer of the provider, noted under the user's lock that it is asked, and what it says is written.
func (c *callCounter) callsOfProviders() {
	const flows, sessions, mine, identities = "/v1/providers/{provider}/flows", "/v1/providers/{provider}/sessions", "/v1/me/providers/{provider}/flows", "/v1/me/providers/{provider}/identities"
	path := func(operation string) string { return strings.Replace(operation, "{provider}", "plain", 1) }
	back := func(begun map[string]string, id string) string {
		back := c.plain.SignIn(begun["authorize_url"], providertest.Person{ID: id})
		return fmt.Sprintf(`{"flow_token":%q,"code":%q,"state":%q}`, begun["flow_token"], back.Code, back.State)
	}
	c.call(request{"GET", "/v1/providers", "", "", http.StatusOK, 0, 0, ""})
	begin := request{"POST", path(flows), `{"region":"eu","locale":"de"}`, "", http.StatusCreated, 0, 0, flows}
	first := back(c.call(begin), "mia")
	tokens := c.call(request{"POST", path(sessions), first, "", http.StatusCreated, 25, 3, sessions})
	c.call(request{"POST", path(sessions), first, "", http.StatusCreated, 10, 2, sessions})
	c.callUnder("later", request{"POST", path(sessions), back(c.call(begin), "mia"), "", http.StatusCreated, 13, 3, sessions})
	me := tokens["access_token"]
	second := back(c.call(request{"POST", path(mine), "", me, http.StatusCreated, 2, 0, mine}), "other")
	user, err := strconv.ParseInt(tokens["user_id"], 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	c.keyOf(user) // else its key is asked for, too
	c.call(request{"POST", path(identities), second, me, http.StatusOK, 16, 2, identities})
}

// callsOfAssessments counts what a decision costs: the assessment, the claim or the decision, two of the audit log, and the
// assessment again.
func (c *callCounter) callsOfAssessments() {
	admin := c.token(7, auth.RoleAdmin)
	p := c.databases.All(0)[0]
	if _, err := p.In(p.Writer()).ExecContext(c.t.Context(), "INSERT INTO assess_answers__ (moment, subject, answer, rule, rules, facts, made_at, review) "+
		"VALUES ('sign_up', 5, 'challenge', 'a', 'b', '', NOW(3), 'waiting'), ('sign_up', 6, 'hold', 'a', 'b', '', NOW(3), 'waiting')"); err != nil {
		c.t.Fatal(err)
	}
	const claim, decision = "/v1/assessments/{assessment_id}/claim", "/v1/assessments/{assessment_id}/decision"
	c.call(request{"GET", "/v1/assessments", "", admin, http.StatusOK, 1, 0, ""})
	c.call(request{"POST", "/v1/assessments/sign_up.5/claim", "", admin, http.StatusOK, 3, 1, claim})
	c.call(request{"POST", "/v1/assessments/sign_up.5/decision", `{"allow":true,"reason":"x"}`, admin, http.StatusOK, 7, 1, decision}) // with the user, who may have been denied before
}
