package provider

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/catalog/internal/reach"
	"sluice/core/config"
	"sluice/core/text"
)

const (
	fileBytesMax   = 1 << 20
	providersMax   = 20
	faultsMax      = 20 // that are told
	titleBytesMax  = 60
	secretBytesMax = 4096 // Apple's are JWTs
	atOnceDefault  = 32
	atOnceMax      = 1000

	kindOIDC   = "oidc"
	kindOAuth2 = "oauth2"
)

// The file, as it is written.
type (
	fileForm struct {
		Providers []form `json:"providers"`
	}
	form struct {
		offset int64
		secret config.Secret

		Name             string   `json:"name"`
		Title            string   `json:"title"`
		Kind             string   `json:"kind"`
		Issuer           string   `json:"issuer"`
		ClientID         string   `json:"client_id"`
		ClientSecretFile string   `json:"client_secret_file"`
		RedirectURL      string   `json:"redirect_url"`
		Scopes           []string `json:"scopes"`
		AtOnce           int      `json:"at_once"`

		OAuth2 *oauth2Form `json:"oauth2"` // of a plain provider
	}
	// oauth2Form says of a plain provider what an OpenID provider says of itself.
	oauth2Form struct {
		AuthorizeURL   string   `json:"authorize_url"`
		TokenURL       string   `json:"token_url"`
		TokenMethod    string   `json:"token_method"` // POST or GET
		UserURL        string   `json:"user_url"`
		UserParameters []string `json:"user_parameters"` // members of the token's answer that it gets

		ClientIDName     string `json:"client_id_name"`
		ClientSecretName string `json:"client_secret_name"`
		PKCE             *bool  `json:"pkce"`
		SendsIssuer      string `json:"sends_issuer"` // what comes as iss with each code

		Subject    string   `json:"subject"`     // the member with the id of the person
		Label      string   `json:"label"`       // that with the person's name
		Error      string   `json:"error"`       // that which an answer has that is none
		CodeErrors []string `json:"code_errors"` // what it has if the code does not count
	}
)

// UnmarshalJSONFrom implements json.UnmarshalerFrom. A decoder tells only while it reads where it is.
func (f *form) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain form
	offset := d.InputOffset()
	err := json.UnmarshalDecode(d, (*plain)(f))
	f.offset = offset
	return err
}

// load reads the providers of a file, and the secrets that it names, which are looked for beside it. Its errors name all faults, each
// with its line, and no secret. Without a file there are no providers.
func load(path string, client *reach.Client) ([]form, error) {
	if path == "" {
		return nil, nil
	}
	held, err := config.ReadForm(path, fileBytesMax)
	if err != nil {
		return nil, fmt.Errorf("sign-in-providers-file: %w", text.OfFile(err))
	}
	forms, err := parse(held, client, func(name string) (config.Secret, error) {
		return config.Secret("").FromFile("client_secret_file", config.Beside(path, name))
	})
	if err != nil {
		return nil, fmt.Errorf("sign-in-providers-file: %s: %w", path, err)
	}
	return forms, nil
}

// secretFiles are the files of secrets that a file names, also if there is something wrong with it.
func secretFiles(path string) (files []string) {
	if path == "" || config.ReadOnce(path) {
		return nil
	}
	held, err := config.ReadForm(path, fileBytesMax)
	if err != nil {
		return nil
	}
	var of fileForm
	_ = json.Unmarshal(held, &of) // load says what is wrong
	for _, f := range of.Providers {
		if f.ClientSecretFile != "" {
			files = append(files, config.Beside(path, f.ClientSecretFile))
		}
	}
	return files
}

// reading is a file while it is read.
type reading struct {
	text   config.Form
	client *reach.Client
	secret func(file string) (config.Secret, error)
	faults []error
}

// parse reads providers.
func parse(held []byte, client *reach.Client, secret func(file string) (config.Secret, error)) ([]form, error) {
	r := &reading{text: held, client: client, secret: secret}
	var of fileForm
	if err := r.text.Into(&of, fileBytesMax); err != nil {
		return nil, err
	}
	if n := len(of.Providers); n == 0 || n > providersMax {
		return nil, fmt.Errorf("providers: %d of them, want 1 to %d", n, providersMax)
	}
	for i := range of.Providers {
		r.check(of.Providers[:i], &of.Providers[i])
	}
	return of.Providers, errors.Join(r.faults...)
}

// fault notes what is wrong with a provider, with the line in which it begins.
func (r *reading) fault(f *form, format string, args ...any) {
	if len(r.faults) == faultsMax {
		return
	}
	r.faults = append(r.faults, fmt.Errorf("line %d: provider %.40q: "+format, append([]any{r.text.LineBehind(f.offset), f.Name}, args...)...))
}

var (
	nameForm  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	wordForm  = regexp.MustCompile(`^[[:graph:]]{1,256}$`)
	graphForm = regexp.MustCompile(`^[[:graph:]]+$`) // of any length: a regular expression counts to 1000
	scopeForm = regexp.MustCompile(`^[[:graph:]]{1,100}$`)
)

// check notes the faults of a provider, and sets what it leaves out.
func (r *reading) check(before []form, f *form) {
	if !nameForm.MatchString(f.Name) {
		r.fault(f, "want a name of 1 to 32 small letters, digits and dashes that begins with a letter: it is in addresses of the API")
	}
	if err := text.Check(f.Title, titleBytesMax); err != nil {
		r.fault(f, "title: want the name that people know it by: %v", err)
	}
	if !wordForm.MatchString(f.ClientID) {
		r.fault(f, "client_id: want the id that the provider gave this shop")
	}
	if !redirectable(f.RedirectURL) {
		r.fault(f, "redirect_url: want the https address of your page to which the provider sends people back, as it is registered there")
	}
	for i := range before {
		switch other := &before[i]; {
		case other.Name == f.Name:
			r.fault(f, "there is another one with this name")
		case other.RedirectURL == f.RedirectURL:
			r.fault(f, "redirect_url: provider %q has it too: with one of its own, no code of one provider is taken for one of the other", other.Name)
		}
	}
	for _, scope := range f.Scopes {
		if !scopeForm.MatchString(scope) || strings.ContainsAny(scope, `"\`) {
			r.fault(f, "scopes: %.40q is none", scope)
		}
	}
	if f.AtOnce == 0 {
		f.AtOnce = atOnceDefault
	}
	if f.AtOnce < 1 || f.AtOnce > atOnceMax {
		r.fault(f, "at_once: %d, want 1 to %d", f.AtOnce, atOnceMax)
	}
	r.checkSecret(f)
	switch f.Kind {
	case kindOIDC:
		r.checkOIDC(f)
	case kindOAuth2:
		r.checkOAuth2(f)
	default:
		r.fault(f, "kind %.40q: want oidc or oauth2", f.Kind)
	}
}

// checkSecret reads the secret. It is in a file of its own, because the others have nothing to hide.
func (r *reading) checkSecret(f *form) {
	if f.ClientSecretFile == "" {
		r.fault(f, "client_secret_file: want the file with the secret that the provider gave this shop")
		return
	}
	var err error
	switch f.secret, err = r.secret(f.ClientSecretFile); {
	case err != nil:
		r.fault(f, "%w", err)
	case len(f.secret) > secretBytesMax || !graphForm.MatchString(f.secret.Reveal()):
		r.fault(f, "client_secret_file: %s has no line of 1 to %d visible characters", f.ClientSecretFile, secretBytesMax)
	}
}

func (r *reading) checkOIDC(f *form) {
	if f.OAuth2 != nil {
		r.fault(f, "oauth2: an OpenID provider says all that itself: leave it out")
	}
	if u, err := r.client.Parse(f.Issuer); err != nil || u.RawQuery != "" {
		r.fault(f, "issuer: want the address as the provider writes it, such as https://accounts.example.com, without a query%s", because(err))
	}
	if !slices.Contains(f.Scopes, "openid") {
		f.Scopes = append([]string{"openid"}, f.Scopes...)
	}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func (r *reading) checkOAuth2(f *form) {
	// It is never asked: with the id of the person it names an account.
	if !wordForm.MatchString(f.Issuer) {
		r.fault(f, "issuer: want a name of the provider that never changes, such as its address: with another one nobody's account is found")
	}
	o := f.OAuth2
	if o == nil {
		r.fault(f, "oauth2: want authorize_url, token_url and subject, at least")
		return
	}
	authorize, _, _ := strings.Cut(o.AuthorizeURL, "#")
	for _, u := range []struct{ member, address string }{{"authorize_url", authorize}, {"token_url", o.TokenURL}, {"user_url", o.UserURL}} {
		if u.member == "user_url" && u.address == "" {
			continue
		}
		if err := r.client.Check(u.address); err != nil {
			r.fault(f, "oauth2: %s: %w", u.member, err)
		}
	}
	for _, s := range []struct {
		value       *string
		none, named string
	}{
		{&o.TokenMethod, http.MethodPost, ""},
		{&o.ClientIDName, "client_id", "client_id_name"},
		{&o.ClientSecretName, "client_secret", "client_secret_name"},
		{&o.Error, "error", "error"},
		{&o.Subject, "", "subject"},
	} {
		if *s.value == "" {
			*s.value = s.none
		}
		if s.named != "" && !wordForm.MatchString(*s.value) {
			r.fault(f, "oauth2: %s: want a name as the provider has it", s.named)
		}
	}
	if o.TokenMethod != http.MethodPost && o.TokenMethod != http.MethodGet {
		r.fault(f, "oauth2: token_method %.20q: want POST or GET", o.TokenMethod)
	}
	if len(o.UserParameters) > 0 && o.UserURL == "" {
		r.fault(f, "oauth2: user_parameters: there is no user_url that gets them")
	}
	if o.SendsIssuer != "" && !wordForm.MatchString(o.SendsIssuer) {
		r.fault(f, "oauth2: sends_issuer: want what the provider sends as iss, or leave it out")
	}
	if o.CodeErrors == nil {
		o.CodeErrors = []string{"invalid_grant"}
	}
	if o.PKCE == nil {
		on := true
		o.PKCE = &on
	}
}
