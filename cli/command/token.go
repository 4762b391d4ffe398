package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"runtime"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"sluice/core/auth"
	"sluice/core/text"
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

	User     int64         `required:"" placeholder:"ID" between:"1-9223372036854775807" help:"User that the token is for; with --users, the first one."`
	Users    int64         `placeholder:"N" default:"1" between:"1-1000000" help:"Make tokens for so many users, one after the other from --user on, a line each."`
	Role     string        `required:"" enum:"shopper,service,admin" help:"What it allows: shopper, service or admin."`
	Scopes   []string      `name:"scope" sep:"none" placeholder:"SCOPE" help:"Narrow a service's token to this; may be repeated. Scopes: stock:read, stock:write, users:read, users:write, products:read."`
	TTL      time.Duration `default:"1h" help:"How long it is good for, at most 24h."`
	Issuer   string        `name:"token-issuer" env:"SLUICE_TOKEN_ISSUER" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Audience string        `name:"token-audience" env:"SLUICE_TOKEN_AUDIENCE" group:"Tokens" default:"sluice" placeholder:"TEXT"`
	Plan     string        `placeholder:"DIGEST" help:"Approve this plan of sluice reconcile --repair, and nothing else. The role must be admin; edges refuse the token."`
	File     string        `name:"out" placeholder:"PATH" help:"Write a new file that its owner only can read. Defaults to the standard output."`
}

// planDigest is the form of a plan's digest.
var planDigest = regexp.MustCompile("^[0-9a-f]{64}$")

// Help is called by kong.
func (Token) Help() string {
	return `Prints the token and nothing else. It is signed with the first key of the file. With --users it prints a line for each
user, for load tests that send as many shoppers. A file that exists is never overwritten.

Examples:
  sluice token --user 1001 --role shopper
  sluice token --user 1001 --users 50000 --role shopper --ttl 24h --out tokens.txt
  curl -H "Authorization: Bearer $(sluice token --user 1 --role admin)" ...
  sluice token --user 7 --role service --scope users:read
  sluice token --user 2 --role admin --plan 5f0c...91aa > approval`
}

// BeforeApply is called by kong. It does not print where the key comes from, because the command prints the token and
// nothing else.
func (t *Token) BeforeApply(k *kong.Context) error {
	_, err := t.Dev.fill(k, false, func(d *DevStack) { t.Key.File = d.TokenKeyFile })
	return err
}

// Run is called by kong.
func (t *Token) Run(ctx context.Context, c *Console) error {
	if t.Key.File == "" {
		return usage(errors.New("--token-key-file (SLUICE_TOKEN_KEY_FILE) is missing, and no development stack runs here: sluice token keygen makes a file"))
	}
	if t.Users-1 > math.MaxInt64-t.User {
		return usage(fmt.Errorf("--users: the last user would have an id above %d", int64(math.MaxInt64)))
	}
	if t.Users > 1 && t.Plan != "" {
		return usage(errors.New("--plan: one admin approves a plan: leave out --users"))
	}
	if t.Plan != "" && !planDigest.MatchString(t.Plan) {
		return usage(fmt.Errorf("--plan: %.100q: want 64 lower-case hexadecimal digits, which sluice reconcile --repair prints behind the word plan", t.Plan))
	}
	keys, err := t.Key.read()
	if err != nil {
		return usage(err)
	}
	if t.File == "" {
		return t.write(ctx, keys, c.Out)
	}
	err = newFile(t.File, func(w io.Writer) error { return t.write(ctx, keys, w) })
	if errors.Is(err, fs.ErrExist) {
		return usage(fmt.Errorf("%s exists, and is not overwritten: name another file by --out, or remove this one", t.File))
	}
	if err == nil {
		c.Notef("%s has a token of each user from %d to %d, readable by you only", t.File, t.User, t.User+t.Users-1)
	}
	return err
}

// write writes a line for each user.
func (t *Token) write(ctx context.Context, keys *auth.Keys, to io.Writer) error {
	role, err := auth.ParseRole(t.Role)
	if err != nil {
		return usage(err)
	}
	scopes, err := auth.ParseScopes(t.Scopes...)
	if err != nil {
		return usage(fmt.Errorf("--scope: %w", err))
	}
	if scopes != 0 && role != auth.RoleService {
		return usage(fmt.Errorf("--scope: a token of the role %v has none: leave it out, or take --role service", role))
	}
	now := time.Now()
	claims := auth.Claims{
		Identity: auth.Identity{Subject: t.User, Role: role, Scopes: scopes}, Issuer: t.Issuer, Audience: t.Audience, NotBefore: now, Expires: now.Add(t.TTL), Plan: t.Plan,
	}
	lines := bufio.NewWriter(to)
	for left := t.Users; left > 0; {
		part := min(left, tokensAtOnce)
		tokens, err := tokensOf(ctx, keys, claims, int(part))
		if err != nil {
			return err
		}
		for _, token := range tokens {
			_, _ = lines.WriteString(token + "\n") // Flush has the error
		}
		left -= part
		claims.Subject += part
	}
	if err := lines.Flush(); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	return nil
}

const tokensAtOnce = 10_000

// tokensOf makes tokens with the same claims for so many users, from that of the claims on.
func tokensOf(ctx context.Context, keys *auth.Keys, claims auth.Claims, users int) ([]string, error) {
	tokens := make([]string, users)
	g, ctx := errgroup.WithContext(ctx)
	parts := runtime.GOMAXPROCS(0)
	for part := range parts {
		g.Go(func() error {
			of := claims
			for i := part; i < users; i += parts {
				if err := ctx.Err(); err != nil {
					return err
				}
				of.Subject = claims.Subject + int64(i)
				token, err := keys.Issue(of)
				if err != nil {
					return usage(err)
				}
				tokens[i] = token
			}
			return nil
		})
	}
	return tokens, g.Wait()
}

// newFile makes a file that its owner only can read: the whole of it, or none.
func newFile(path string, write func(io.Writer) error) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return usage(fmt.Errorf("--out: create %w", text.OfFile(err)))
	}
	if err = write(file); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
