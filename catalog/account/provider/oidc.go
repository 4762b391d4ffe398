package provider

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"sluice/catalog/internal/reach"
)

// openID is a provider of OpenID Connect. It says of itself where it is asked, and signs whom it names.
type openID struct {
	form

	ctx     context.Context // of what is asked for all who sign in
	client  *reach.Client
	timeout time.Duration
	now     func() time.Time

	mu      sync.Mutex
	found   *discovered
	err     error         // why there is none
	looked  time.Time     // when the last look ended
	looking chan struct{} // closed when the look that is under way ends; nil: nobody looks
}

// discovered is what a provider says of itself.
type discovered struct {
	oauth2.Config

	verifier     *oidc.IDTokenVerifier
	sendsIssuer  bool
	userEndpoint string
}

const (
	discoveryLife = time.Hour
	// discoveryPause is how long nobody asks a provider that has failed to say where it is asked: meanwhile all are told at once.
	discoveryPause = 5 * time.Second
)

// algorithms are those of signatures by a key that the provider publishes. None of them has a secret of both, or no key.
var algorithms = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.EdDSA,
}

func newOIDC(ctx context.Context, f form, client *reach.Client, timeout time.Duration, now func() time.Time) *openID {
	return &openID{form: f, ctx: oidc.ClientContext(ctx, client.HTTP), client: client, timeout: timeout, now: now}
}

// begin implements way.
func (o *openID) begin(ctx context.Context, f Flow) (string, error) {
	at, err := o.discover(ctx)
	if err != nil {
		return "", err
	}
	return at.AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

// exchange implements way.
func (o *openID) exchange(ctx context.Context, f Flow, a Answer) (Person, error) {
	at, err := o.discover(ctx)
	switch {
	case err != nil:
		return Person{}, err
	case a.Issuer == "" && at.sendsIssuer, a.Issuer != "" && a.Issuer != o.Issuer:
		return Person{}, fail(ErrRefused, "the code comes with another issuer, or with none")
	}
	token, err := at.Exchange(oidc.ClientContext(ctx, o.client.HTTP), a.Code, oauth2.VerifierOption(f.Verifier))
	if err != nil {
		return Person{}, ofExchange(ctx, err)
	}
	signed, _ := token.Extra("id_token").(string)
	if signed == "" {
		return Person{}, fail(ErrBroken, "it gives no id_token")
	}
	id, err := at.verifier.Verify(ctx, signed)
	if err != nil {
		return Person{}, ofVerification(ctx, err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return Person{}, fail(ErrRefused, "the id_token is of another sign-in")
	}
	var claims members
	if err := id.Claims(&raw{&claims}); err != nil {
		return Person{}, fail(ErrBroken, "the id_token has no claims")
	}
	if party := claims.text("azp"); party != "" && party != o.ClientID {
		return Person{}, fail(ErrBroken, "the id_token is for another client")
	}
	if id.AccessTokenHash != "" && id.VerifyAccessToken(token.AccessToken) != nil {
		return Person{}, fail(ErrBroken, "the id_token is of another access_token")
	}
	if claims.text("email") == "" && slices.Contains(o.Scopes, "email") && at.userEndpoint != "" {
		about, err := get(ctx, o.client, at.userEndpoint, token.AccessToken)
		switch {
		case err != nil:
			return Person{}, err
		case about.text("sub") != id.Subject:
			return Person{}, fail(ErrBroken, "it names two people")
		}
		claims = about
	}
	who := Person{Issuer: o.Issuer, Subject: id.Subject, Label: claims.text("name")}
	if who.Label == "" {
		who.Label = claims.text("preferred_username")
	}
	if claims.true("email_verified") {
		who.Email = claims.text("email")
	}
	return who, nil
}

// raw reads the claims of an id_token, which the library reads by encoding/json.
type raw struct{ into *members }

// UnmarshalJSON implements json.Unmarshaler.
func (r *raw) UnmarshalJSON(held []byte) error { return json.Unmarshal(held, r.into) }

// ofExchange says what is wrong with an answer of the token endpoint. The error of the library has all of the answer.
func ofExchange(ctx context.Context, err error) error {
	var refused *oauth2.RetrieveError
	var named *url.Error
	switch {
	case errors.As(err, &refused):
		status := refused.Response.StatusCode
		switch {
		case refused.ErrorCode == "invalid_grant":
			return fail(ErrRefused, "it answered invalid_grant")
		case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
			return fail(ErrUnavailable, "it answered %d", status)
		}
		return fail(ErrBroken, "it answered %d with the error %.60q", status, refused.ErrorCode)
	case errors.As(err, &named):
		return unanswered(err)
	case ctx.Err() != nil:
		return fail(ErrUnavailable, "its answer did not end in time")
	}
	return fail(ErrBroken, "it gives no token that can be read")
}

// The library gives the words alone of why it has no keys of a provider.
const (
	noKeys     = "failed to verify signature: fetching keys oidc: get keys failed"
	keysUnread = "failed to verify signature: fetching keys unable to read response body: "
)

// ofVerification says what is wrong with an id_token. The errors of the library name claims of the provider, and nobody.
func ofVerification(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fail(ErrUnavailable, "its keys did not come in time")
	}
	if why, cut := strings.CutPrefix(err.Error(), keysUnread); cut && why != reach.ErrTooLarge.Error() {
		return fail(ErrUnavailable, "its keys did not come whole: %s", why)
	}
	why, none := strings.CutPrefix(err.Error(), noKeys)
	status, answered := strings.CutPrefix(why, ": ") // else it is why there is no answer
	switch {
	case !none:
		return fail(ErrBroken, "the id_token counts for nothing: %v", err)
	case !answered && strings.Contains(why, reach.ErrAddress.Error()):
		return unanswered(reach.ErrAddress)
	case answered && !strings.HasPrefix(status, "5") && !strings.HasPrefix(status, "429") && !strings.HasPrefix(status, "408"):
		return fail(ErrBroken, "it answers %.3s instead of its keys", status)
	case answered:
		return fail(ErrUnavailable, "it answers %.3s instead of its keys", status)
	}
	return fail(ErrUnavailable, "its keys do not come:%s", why)
}

// discover returns what the provider says of itself. One looks for all, and what was found counts while somebody looks again.
func (o *openID) discover(ctx context.Context) (*discovered, error) {
	o.mu.Lock()
	pause := discoveryPause
	if o.found != nil && o.err == nil {
		pause = discoveryLife
	}
	if o.looking == nil && o.now().Sub(o.looked) >= pause {
		o.looking = make(chan struct{})
		go o.look() //nolint:contextcheck // it looks for all who sign in, so it goes on without the one who asks
	}
	found, err, looking := o.found, o.err, o.looking
	o.mu.Unlock()
	switch {
	case found != nil:
		return found, nil
	case looking == nil:
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, fail(ErrUnavailable, "it did not say in time where it is asked")
	case <-looking:
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.found == nil {
		return nil, o.err
	}
	return o.found, nil
}

// look asks the provider what it says of itself.
func (o *openID) look() {
	ctx, cancel := context.WithTimeout(o.ctx, o.timeout)
	defer cancel()
	found, err := o.ask(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err = err; err == nil {
		o.found = found
	}
	o.looked = o.now()
	close(o.looking)
	o.looking = nil
}

func (o *openID) ask(ctx context.Context) (*discovered, error) {
	says, err := get(ctx, o.client, strings.TrimSuffix(o.Issuer, "/")+"/.well-known/openid-configuration", "")
	switch {
	case err != nil:
		return nil, err
	case says.text("issuer") != o.Issuer:
		return nil, fail(ErrBroken, "it says that it is %.100q, and the file says %.100q", says.text("issuer"), o.Issuer)
	}
	authorize, token, keys := says.text("authorization_endpoint"), says.text("token_endpoint"), says.text("jwks_uri")
	for name, address := range map[string]string{"authorization_endpoint": authorize, "token_endpoint": token, "jwks_uri": keys} {
		if err := o.client.Check(address); err != nil {
			return nil, fail(ErrBroken, "%s: %v", name, err)
		}
	}
	var offered []string
	_ = json.Unmarshal(says["id_token_signing_alg_values_supported"], &offered) // without one it is RS256
	offered = slices.DeleteFunc(offered, func(a string) bool { return !slices.Contains(algorithms, a) })
	var methods []string
	_ = json.Unmarshal(says["token_endpoint_auth_methods_supported"], &methods) // without one it is the header
	style := oauth2.AuthStyleInHeader
	if len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	lasting := context.WithoutCancel(ctx) // the keys are fetched later, too
	provider := (&oidc.ProviderConfig{IssuerURL: o.Issuer, AuthURL: authorize, TokenURL: token, JWKSURL: keys, Algorithms: offered}).NewProvider(lasting)
	return &discovered{
		Config: oauth2.Config{
			ClientID: o.ClientID, ClientSecret: o.secret.Reveal(), RedirectURL: o.RedirectURL, Scopes: o.Scopes,
			Endpoint: oauth2.Endpoint{AuthURL: authorize, TokenURL: token, AuthStyle: style},
		},
		verifier:    provider.VerifierContext(lasting, &oidc.Config{ClientID: o.ClientID, Now: o.now}),
		sendsIssuer: says.true("authorization_response_iss_parameter_supported"), userEndpoint: says.text("userinfo_endpoint"),
	}, nil
}
