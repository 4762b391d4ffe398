package account_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"sluice/catalog/account"
	"sluice/catalog/account/audit"
	"sluice/catalog/account/provider"
	"sluice/catalog/assess"
	"sluice/catalog/internal/vault"
	"sluice/core/auth"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/place"
	"sluice/core/problem"
	"sluice/core/stock"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(dsnEnv); dsn != "" {
		killedChange(dsn)
	}
	goleak.VerifyTestMain(servicetest.Main(m))
}

// tester makes the users of tests.
var tester = audit.Author{Actor: "admin:1", Origin: "a test"}

// accounts are those of a shop with a database of its own.
type accounts struct {
	*account.Accounts

	t         *testing.T
	dsn       string
	secret    string // its file
	databases *place.Databases
	vault     *vault.Vault
	post      *postbox
	assess    *assess.Assessments
	keys      *auth.Keys
	clock     func() time.Time
	now       atomic.Int64 // nanoseconds after the start of the test
}

func newAccounts(t *testing.T) *accounts {
	t.Helper()
	return newAccountsBy(t, "")
}

// newAccountsBy makes those of a shop whose rules of assessment are in a file.
func newAccountsBy(t *testing.T, rules string) *accounts {
	t.Helper()
	return newAccountsWith(t, rules, nil)
}

// newAccountsWith makes those of a shop that has providers, too.
func newAccountsWith(t *testing.T, rules string, providers *provider.Providers) *accounts {
	t.Helper()
	a := &accounts{t: t, dsn: servicetest.MariaDB(t), secret: filepath.Join(t.TempDir(), "secret")}
	var err error
	a.databases, err = place.Config{}.Open(place.Options{
		MySQL: db.Config{DSN: config.Secret(a.dsn), ConnsMax: 8, Timeout: time.Minute}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.databases.Close() })
	if err := a.databases.Migrate(t.Context(), place.Owners{account.Schema(), audit.Schema(), assess.Schema()}, place.Quiet); err != nil {
		t.Fatal(err)
	}
	file := a.secret
	if err := account.CreateSecret(file); err != nil {
		t.Fatal(err)
	}
	secret, err := account.ReadSecret(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Generate(file + ".vault"); err != nil {
		t.Fatal(err)
	}
	wrapping, err := vault.ReadRing(file+".vault", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := auth.NewRing(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if a.keys, err = ring.Keys(); err != nil {
		t.Fatal(err)
	}
	a.post = &postbox{}
	a.assess, err = assess.New(assess.Config{
		Databases: a.databases, File: rules, Index: secret.IndexMessage, Metrics: metrics.NewSet(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	a.clock = func() time.Time { return began.Add(time.Duration(a.now.Load())) }
	a.vault = account.NewVault(a.databases, wrapping)
	a.Accounts = account.New(account.Config{
		Databases: a.databases, Secret: secret, Vault: a.vault, Signer: signer{ring, a.keys}, Messenger: a.post, Assessor: a.assess, Providers: providers, Shop: "A: shop", HashesMax: 2,
		Now: a.clock, Log: slog.New(slog.DiscardHandler),
	})
	a.assess.Register(assess.SignUp, a.Asker())
	return a
}

type signer struct {
	ring auth.Ring
	keys *auth.Keys
}

// Issue implements account.Signer.
func (s signer) Issue(c auth.Claims) (string, error) {
	c.Issuer, c.Audience = "sluice", "sluice"
	return s.keys.Issue(c)
}

// Published implements account.Signer.
func (s signer) Published() []auth.PublishedKey { return s.ring.Published() }

func TestHomes(t *testing.T) {
	t.Parallel()
	accounts := newAccounts(t)
	user := ids.User(0)
	for home, pointer := range map[account.Home]string{
		{Region: "eu", Locale: "de"}:                          "",
		{Region: "cn-north-1", Locale: "zh-CN"}:               "",
		{Region: "a" + strings.Repeat("b", 15), Locale: "de"}: "",
		{Region: "a" + strings.Repeat("b", 16), Locale: "de"}: "/region",
		{Region: "", Locale: "de"}:                            "/region",
		{Region: "e", Locale: "de"}:                           "/region",
		{Region: "EU", Locale: "de"}:                          "/region",
		{Region: "1a", Locale: "de"}:                          "/region",
		{Region: "eu\n", Locale: "de"}:                        "/region",
		{Region: "еu", Locale: "de"}:                          "/region", // the first letter is Cyrillic
		{Region: "eu", Locale: ""}:                            "/locale",
		{Region: "eu", Locale: "de-de"}:                       "/locale",
		{Region: "eu", Locale: "de-DEU"}:                      "/locale",
		{Region: "eu", Locale: "de "}:                         "/locale",
	} {
		user++
		_, made, err := accounts.Make(t.Context(), user, home, tester)
		var p *problem.Problem
		switch {
		case pointer == "":
			if !made || err != nil {
				t.Errorf("%+v: %v, %v", home, made, err)
			}
		case !errors.As(err, &p) || p.Pointer != pointer || made:
			t.Errorf("%+v: %v, %v, want %s refused", home, made, err, pointer)
		}
	}
}

// Of several that make a user at once, one does, and all are told the same.
func TestOneMakesAUser(t *testing.T) {
	t.Parallel()
	accounts := newAccounts(t)
	home := account.Home{Region: "eu", Locale: "de"}
	var made, others atomic.Int64
	var group errgroup.Group
	for i := range 20 {
		group.Go(func() error {
			mine := home
			if i%2 == 1 {
				mine.Region = "us"
			}
			user, first, err := accounts.Make(t.Context(), 42, mine, tester)
			var p *problem.Problem
			switch {
			case errors.As(err, &p) && p.Kind == problem.WrongState:
				others.Add(1)
				return nil
			case err == nil && user.Home != mine:
				return errors.New("told of a user with another home")
			case first:
				made.Add(1)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if made.Load() != 1 || others.Load() != 10 {
		t.Errorf("%d made the user and %d found another, want 1 and 10", made.Load(), others.Load())
	}
	user, err := accounts.User(t.Context(), 42, 0)
	if err != nil || user.State != account.StateActive || time.Since(user.CreatedAt).Abs() > time.Hour {
		t.Errorf("%+v, %v", user, err)
	}
}

// An error says whether a user may have been made.
func TestErrorsSayWhatWasDone(t *testing.T) {
	t.Parallel()
	accounts := newAccounts(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := accounts.User(ctx, 1, 0); !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("a reading that was cancelled: %v", err)
	}
	if _, made, err := accounts.Make(ctx, 1, account.Home{Region: "eu", Locale: "de"}, tester); made || !errors.Is(err, stock.ErrUnknown) && !errors.Is(err, stock.ErrNotApplied) {
		t.Errorf("a writing that was cancelled: %v, %v", made, err)
	}
}
