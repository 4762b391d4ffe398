// Package provider asks outside providers who somebody is: OpenID Connect's, and plain ones of OAuth 2. It knows nothing of users, and
// keeps nothing: it turns the code that somebody brings back from a provider into whom the provider names. What a provider says is
// believed of its own people only.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"
	"golang.org/x/time/rate"

	"sluice/catalog/internal/reach"
	"sluice/core/telemetry"
	"sluice/core/text"
)

const (
	answerBytesMax  = 256 << 10
	subjectBytesMax = 255 // as OpenID Connect has it
	labelMax        = 100 // characters
	whyBytesMax     = 200
)

var (
	// ErrRefused means that the provider does not take the code, or that the code is of another flow.
	ErrRefused = errors.New("the code is refused")
	// ErrUnavailable means that the provider did not answer, or was asked by too many at once. The code may count later.
	ErrUnavailable = errors.New("the provider does not answer")
	// ErrBroken means that the provider answers what it must not, or is set up wrongly here. Somebody has to look at it.
	ErrBroken = errors.New("the provider answers what cannot be taken")
)

// failure is one of these errors with its reason, which has nothing personal and no secret.
type failure struct {
	kind error
	why  string
}

func fail(kind error, format string, args ...any) error {
	why := fmt.Sprintf(format, args...)
	if len(why) > whyBytesMax {
		why = strings.ToValidUTF8(why[:whyBytesMax], "")
	}
	return &failure{kind, why}
}

// Error implements error.
func (f *failure) Error() string { return f.kind.Error() + ": " + f.why }

// Unwrap returns its kind.
func (f *failure) Unwrap() error { return f.kind }

// Flow has what tells one sign-in at a provider from all others. Nobody can guess it.
type Flow struct {
	State    string // comes back with the code
	Nonce    string // is in what an OpenID provider signs
	Verifier string // of PKCE: the provider has seen its hash only
}

// Answer is what a provider has sent back with somebody.
type Answer struct {
	Code   string
	Issuer string // who says that the code is theirs (RFC 9207), or empty
}

// Person is whom a provider names.
type Person struct {
	Issuer, Subject string // together they name one person for ever
	Label           string // what the provider calls the person, or empty
	Email           string // an address of which the provider says that it is verified, or empty
}

// way is how a provider is asked.
type way interface {
	// begin is the address at the provider where a sign-in begins.
	begin(ctx context.Context, f Flow) (string, error)
	// exchange turns a code into a person.
	exchange(ctx context.Context, f Flow, a Answer) (Person, error)
}

// Provider is a provider of the file. It is safe for concurrent use.
type Provider struct {
	Name  string // in addresses of the API
	Title string // for people

	way        way
	timeout    time.Duration
	places     chan struct{}
	attempts   map[string]*metrics.Counter
	took       *metrics.PrometheusHistogram
	complaints *rate.Sometimes
	log        *slog.Logger
	now        func() time.Time
}

// The outcomes of exchanges, and of beginnings that failed, in metrics.
const (
	outcomeDone        = "done"
	outcomeRefused     = "refused"
	outcomeUnavailable = "unavailable"
	outcomeBusy        = "busy"
	outcomeBroken      = "broken"
)

// Outcomes are all of them.
var Outcomes = []string{outcomeDone, outcomeRefused, outcomeUnavailable, outcomeBusy, outcomeBroken}

func (p *Provider) measure(set *metrics.Set) {
	p.attempts = map[string]*metrics.Counter{}
	for _, outcome := range Outcomes {
		p.attempts[outcome] = set.NewCounter(fmt.Sprintf("sluice_catalog_provider_attempts_total{provider=%q,outcome=%q}", p.Name, outcome))
	}
	p.took = telemetry.Seconds(set, fmt.Sprintf("sluice_catalog_provider_attempt_seconds{provider=%q}", p.Name))
}

// Begin is the address at the provider to which whoever signs in goes.
func (p *Provider) Begin(ctx context.Context, f Flow) (string, error) {
	leave, err := p.enter()
	if err != nil {
		return "", err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	to, err := p.way.begin(ctx, f)
	if err != nil { // whoever cannot begin brings no code that would count
		p.attempts[outcomeOf(err)].Inc()
	}
	p.complain(err)
	return to, err
}

// Exchange turns the code that somebody brings back into whom the provider names.
func (p *Provider) Exchange(ctx context.Context, f Flow, a Answer) (Person, error) {
	leave, err := p.enter()
	if err != nil {
		return Person{}, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	began := p.now()
	who, err := p.way.exchange(ctx, f, a)
	if err == nil {
		err = who.check()
	}
	p.took.Update(p.now().Sub(began).Seconds())
	p.attempts[outcomeOf(err)].Inc()
	p.complain(err)
	if err != nil {
		return Person{}, err
	}
	who.Label = cleaned(who.Label)
	return who, nil
}

// enter takes a place at the provider, which its caller leaves. So many wait for it at once, and the others are told at once: one that
// hangs keeps back nobody who does not want it.
func (p *Provider) enter() (leave func(), err error) {
	select {
	case p.places <- struct{}{}:
		return func() { <-p.places }, nil
	default:
		p.attempts[outcomeBusy].Inc()
		return nil, fail(ErrUnavailable, "%d others wait for it", cap(p.places))
	}
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeDone
	case errors.Is(err, ErrRefused):
		return outcomeRefused
	case errors.Is(err, ErrUnavailable):
		return outcomeUnavailable
	}
	return outcomeBroken
}

// complain logs what an operator has to know, and not each time.
func (p *Provider) complain(err error) {
	if err != nil && !errors.Is(err, ErrRefused) {
		p.complaints.Do(func() { p.log.Warn("nobody can sign in by a provider", "provider", p.Name, "error", err) })
	}
}

// check refuses who cannot be told from others.
func (w Person) check() error {
	if w.Subject == "" || len(w.Subject) > subjectBytesMax || strings.ContainsFunc(w.Subject, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fail(ErrBroken, "it names nobody by 1 to %d visible characters of ASCII", subjectBytesMax)
	}
	return nil
}

// cleaned is what a provider calls somebody, in one line of a bounded length.
func cleaned(label string) string {
	label = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !text.Plain(r) {
			return -1
		}
		return r
	}, label))
	if runes := []rune(label); len(runes) > labelMax {
		label = string(runes[:labelMax])
	}
	return label
}

// Providers are those of a file.
type Providers struct {
	all    []*Provider
	client *reach.Client
	stop   func()
}

// Options are what providers need of their process.
type Options struct {
	Metrics *metrics.Set
	Log     *slog.Logger
	Now     func() time.Time
}

// Open reads the file of the settings, and asks nobody: a provider that is away at the start is asked when somebody signs in. The
// caller closes them. Without a file there are none.
func (c Config) Open(o Options) (*Providers, error) {
	networks, err := c.networks()
	if err != nil {
		return nil, err
	}
	client := c.client(networks)
	forms, err := load(c.File, client)
	if err != nil {
		client.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	all := &Providers{client: client, stop: cancel}
	for _, f := range forms {
		p := &Provider{
			Name: f.Name, Title: f.Title, timeout: c.Timeout, places: make(chan struct{}, f.AtOnce),
			complaints: &rate.Sometimes{First: 3, Interval: time.Minute}, log: o.Log, now: o.Now,
		}
		if f.Kind == kindOIDC {
			p.way = newOIDC(ctx, f, client, c.Timeout, o.Now)
		} else {
			p.way = newPlain(f, client)
		}
		p.measure(o.Metrics)
		all.all = append(all.all, p)
	}
	return all, nil
}

func (c Config) client(networks []netip.Prefix) *reach.Client {
	return reach.New(reach.Config{Networks: networks, Timeout: c.Timeout, AnswerBytesMax: answerBytesMax})
}

// All are the providers in the order of the file. They are not to be changed.
func (p *Providers) All() []*Provider {
	if p == nil {
		return nil
	}
	return p.all
}

// Named is the provider with a name, or nil.
func (p *Providers) Named(name string) *Provider {
	for _, of := range p.All() {
		if of.Name == name {
			return of
		}
	}
	return nil
}

// Close ends what is under way at providers.
func (p *Providers) Close() {
	p.stop()
	p.client.Close()
}

// redirectable reports whether somebody may be sent back to an address: a page of the shop, one of this machine, or an app of the
// shop by its own scheme (RFC 8252).
func redirectable(address string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Fragment != "" || u.User != nil || strings.Contains(address, "#") {
		return false
	}
	switch u.Scheme {
	case "https":
		return u.Host != ""
	case "http":
		ip, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	}
	return strings.Contains(u.Scheme, ".")
}
