package command

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"time"

	"github.com/alecthomas/kong"

	"sluice/core/auth"
)

// TokenKey says where the keys of tokens are.
type TokenKey struct {
	File string `name:"token-key-file" private:"" env:"SLUICE_TOKEN_KEY_FILE" group:"Tokens" placeholder:"PATH"`
}

// Check reports a given file that has no keys. It is no Validate, because such a file must not stop doctor.
func (k TokenKey) Check() error {
	if k.File == "" {
		return nil
	}
	_, err := k.read()
	return err
}

// read reads the keys, or says what to do.
func (k TokenKey) read() (*auth.Keys, error) {
	keys, err := auth.ReadKeys(k.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("token-key-file: there is no %s: make it by sluice token keygen --out %s", k.File, k.File)
	case err != nil:
		return nil, fmt.Errorf("token-key-file: %w", err)
	}
	return keys, nil
}

// Token makes an access token.
type Token struct {
	Key TokenKey `embed:""`
	Dev DevFile  `embed:""`

	User     int64         `required:"" placeholder:"ID" between:"1-9223372036854775807" help:"User that the token is for."`
	Role     string        `required:"" enum:"shopper,service,admin" help:"What it allows: shopper, service or admin."`
	TTL      time.Duration `default:"1h" help:"How long it is good for, at most 24h."`
	Issuer   string        `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Audience string        `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Plan     string        `placeholder:"DIGEST" help:"Approve this plan of sluice reconcile --repair, and nothing else. The role must be admin; edges refuse the token."`
}

// planDigest is the form of a plan's digest.
var planDigest = regexp.MustCompile("^[0-9a-f]{64}$")

// Help is called by kong.
func (Token) Help() string {
	return `Prints the token and nothing else. It is signed with the first key of the file.

Examples:
  sluice token --user 1001 --role shopper
  curl -H "Authorization: Bearer $(sluice token --user 1 --role admin)" ...
  sluice token --user 2 --role admin --plan 5f0c...91aa > approval`
}

// BeforeApply is called by kong. It does not print where the key comes from, because the command prints the token and
// nothing else.
func (t *Token) BeforeApply(k *kong.Context) error {
	_, err := t.Dev.fill(k, false, func(d *DevStack) { t.Key.File = d.TokenKeyFile })
	return err
}

// Run is called by kong.
func (t *Token) Run(c *Console) error {
	if t.Key.File == "" {
		return usage(errors.New("--token-key-file (SLUICE_TOKEN_KEY_FILE) is missing, and no development stack runs here: sluice token keygen makes a file"))
	}
	role, err := auth.ParseRole(t.Role)
	if err != nil {
		return usage(err)
	}
	if t.Plan != "" && !planDigest.MatchString(t.Plan) {
		return usage(fmt.Errorf("--plan: %.100q: want 64 lower-case hexadecimal digits, which sluice reconcile --repair prints behind the word plan", t.Plan))
	}
	keys, err := t.Key.read()
	if err != nil {
		return usage(err)
	}
	now := time.Now()
	token, err := keys.Issue(auth.Claims{
		Identity: auth.Identity{Subject: t.User, Role: role}, Issuer: t.Issuer, Audience: t.Audience,
		NotBefore: now, Expires: now.Add(t.TTL), Plan: t.Plan,
	})
	if err != nil {
		return usage(err)
	}
	c.Printf("%s\n", token)
	return nil
}
