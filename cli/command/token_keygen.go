package command

import (
	"errors"
	"fmt"
	"io/fs"

	"sluice/core/auth"
)

// TokenKeygen makes a key for tokens.
type TokenKeygen struct {
	Alg  string `enum:"HS256,EdDSA" default:"HS256" placeholder:"ALG" help:"Algorithm: HS256 (one key signs and verifies) or EdDSA (a public key verifies)."`
	Kid  string `placeholder:"TEXT" help:"Name of the key, which every token carries. Defaults to a random one."`
	File string `name:"out" placeholder:"PATH" help:"Write a new file that its owner only can read. Defaults to the standard output."`
}

// Help is called by kong.
func (TokenKeygen) Help() string {
	return `Makes a key file with one new key, as --token-key-file reads it. A file that exists is never overwritten.

To change keys, put the new key behind the old one in the file of every edge, and restart the edges. Then put it first
where tokens are made. Take the old key away when its last token has ended, a day later at the latest.

Examples:
  sluice token keygen --out keys.json
  sluice token keygen --alg EdDSA --kid 2026-01 | secret-store put sluice-token-keys`
}

// Run is called by kong.
func (g *TokenKeygen) Run(c *Console) error {
	key, err := auth.GenerateKey(g.Alg)
	if err != nil {
		return err
	}
	if g.Kid != "" {
		key.ID = g.Kid
	}
	if g.File == "" {
		text, err := auth.EncodeKeys(key)
		if err != nil {
			return usage(err)
		}
		c.Write(text)
		return nil
	}
	err = auth.WriteKeys(g.File, key)
	switch {
	case errors.Is(err, fs.ErrExist):
		return usage(fmt.Errorf("%s exists, and its keys are never overwritten: name another file by --out, or remove this one if nothing uses its keys", g.File))
	case errors.Is(err, auth.ErrNotWritten):
		return err
	case err != nil:
		return usage(err)
	}
	c.Printf("%s has the key %s (%s), readable by you only\n", g.File, key.ID, key.Algorithm)
	return nil
}
