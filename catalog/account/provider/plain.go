package provider

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/oauth2"

	"sluice/catalog/internal/reach"
)

// plain is a provider of OAuth 2, which says of nothing how it is done. What it answers is believed because it comes from its own
// address, by TLS.
type plain struct {
	form

	client *reach.Client
}

func newPlain(f form, client *reach.Client) *plain { return &plain{f, client} }

// begin implements way.
func (p *plain) begin(_ context.Context, f Flow) (string, error) {
	address, fragment, marked := strings.Cut(p.OAuth2.AuthorizeURL, "#")
	to, err := url.Parse(address)
	if err != nil {
		return "", fail(ErrBroken, "authorize_url: it is no URL")
	}
	query := to.Query()
	query.Set("response_type", "code")
	query.Set(p.OAuth2.ClientIDName, p.ClientID)
	query.Set("redirect_uri", p.RedirectURL)
	query.Set("state", f.State)
	if len(p.Scopes) > 0 {
		query.Set("scope", strings.Join(p.Scopes, " "))
	}
	if *p.OAuth2.PKCE {
		query.Set("code_challenge", oauth2.S256ChallengeFromVerifier(f.Verifier))
		query.Set("code_challenge_method", "S256")
	}
	to.RawQuery = query.Encode() // in the order of the alphabet, which WeChat wants
	if marked {
		return to.String() + "#" + fragment, nil // WeChat wants #wechat_redirect
	}
	return to.String(), nil
}

// exchange implements way.
func (p *plain) exchange(ctx context.Context, f Flow, a Answer) (Person, error) {
	// The issuer of the file is a name of the shop's choice, so it is not compared.
	if sends := p.OAuth2.SendsIssuer; sends != "" && a.Issuer != sends {
		return Person{}, fail(ErrRefused, "the code comes with another issuer, or with none")
	}
	token, err := p.token(ctx, f, a.Code)
	if err != nil {
		return Person{}, err
	}
	about := token
	if p.OAuth2.UserURL != "" {
		if about, err = p.user(ctx, token); err != nil {
			return Person{}, err
		}
	}
	return Person{Issuer: p.Issuer, Subject: about.text(p.OAuth2.Subject), Label: about.text(p.OAuth2.Label)}, nil
}

// token gives the code for a token.
func (p *plain) token(ctx context.Context, f Flow, code string) (members, error) {
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.RedirectURL},
		p.OAuth2.ClientIDName: {p.ClientID}, p.OAuth2.ClientSecretName: {p.secret.Reveal()},
	}
	if *p.OAuth2.PKCE {
		form.Set("code_verifier", f.Verifier)
	}
	var token members
	var status int
	var err error
	if p.OAuth2.TokenMethod == http.MethodGet {
		token, status, err = p.query(ctx, p.OAuth2.TokenURL, form, "")
	} else {
		token, status, err = post(ctx, p.client, p.OAuth2.TokenURL, form)
	}
	if err != nil {
		return nil, err
	}
	if err := p.refusal(token, status); err != nil {
		return nil, err
	}
	if token.text("access_token") == "" {
		return nil, fail(ErrBroken, "it gives no access_token")
	}
	return token, nil
}

// user asks whose the token is. Where both answers name somebody, it has to be the same one.
func (p *plain) user(ctx context.Context, token members) (members, error) {
	query, bearer := url.Values{}, token.text("access_token")
	for _, name := range p.OAuth2.UserParameters {
		query.Set(name, token.text(name))
		if name == "access_token" {
			bearer = ""
		}
	}
	about, status, err := p.query(ctx, p.OAuth2.UserURL, query, bearer)
	if err == nil {
		err = p.refusal(about, status)
	}
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{p.OAuth2.Subject}, p.OAuth2.UserParameters...) {
		if first, second := token.text(name), about.text(name); first != "" && second != "" && first != second {
			return nil, fail(ErrBroken, "it names two people by %s", name)
		}
	}
	return about, nil
}

// query asks by a query.
func (p *plain) query(ctx context.Context, from string, query url.Values, bearer string) (members, int, error) {
	address, err := url.Parse(from)
	if err != nil {
		return nil, 0, fail(ErrBroken, "it has an address that makes no request")
	}
	all := address.Query()
	for name, values := range query {
		all[name] = values
	}
	address.RawQuery = all.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, 0, fail(ErrBroken, "it has an address that makes no request")
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return ask(p.client, r)
}

// refusal is the error of an answer that is none. WeChat answers 200 with an errcode.
func (p *plain) refusal(of members, status int) error {
	code := of.text(p.OAuth2.Error)
	switch {
	case slices.Contains(p.OAuth2.CodeErrors, code):
		return fail(ErrRefused, "it answered %q", code)
	case code != "" && code != "0" || of[p.OAuth2.Error].Kind() == jsontext.KindBeginObject:
		return fail(ErrBroken, "it answered %d with the error %.60q", status, code)
	case status != http.StatusOK:
		return fail(ErrBroken, "it answered %d", status)
	}
	return nil
}
