package command

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"sluice/catalog/account"
	"sluice/core/auth"
)

// SigningKeys says where the keys are that sign the tokens of shoppers.
type SigningKeys struct {
	File string `name:"signing-keys-file" private:"" required:"" env:"SLUICE_SIGNING_KEYS_FILE" group:"Tokens" placeholder:"PATH"`
}

// read reads the keys, or says what to do.
func (k SigningKeys) read() (auth.Ring, error) {
	ring, err := auth.ReadRing(k.File)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ring, usage(fmt.Errorf("signing-keys-file: there is no %s: make it by sluice catalog keys create", k.File))
	case err != nil:
		return ring, usage(fmt.Errorf("signing-keys-file: %w", err))
	}
	return ring, nil
}

// CatalogKeysCreate makes the files that the accounts of the shop need.
type CatalogKeysCreate struct {
	Keys   SigningKeys `embed:""`
	Secret string      `name:"account-secret-file" private:"" required:"" env:"SLUICE_ACCOUNT_SECRET_FILE" group:"Catalog" placeholder:"PATH"`
}

// Help is called by kong.
func (CatalogKeysCreate) Help() string {
	return `Makes the two files that sluice catalog needs, readable by their owner only: keys that sign tokens, and a secret. A file that
exists is never overwritten. Give both to every process of the shop, and keep the secret: with another one nobody can sign in.

Examples:
  sluice catalog keys create --signing-keys-file signing.json --account-secret-file account.secret`
}

// Run is called by kong.
func (k *CatalogKeysCreate) Run(c *Console) error {
	ring, err := auth.NewRing(time.Now())
	if err == nil {
		err = created(c, k.Keys.File, "keys that sign the tokens of shoppers", ring.Create)
	}
	if err != nil {
		return err
	}
	return created(c, k.Secret, "the secret of accounts", account.CreateSecret)
}

// created makes a file, unless it is there.
func created(c *Console, path, what string, create func(path string) error) error {
	switch err := create(path); {
	case errors.Is(err, fs.ErrExist):
		c.Printf("%s exists, and stays as it is\n", path)
	case errors.Is(err, auth.ErrNotWritten):
		return err
	case err != nil:
		return usage(err)
	default:
		c.Printf("%s has %s, readable by you only\n", path, what)
	}
	return nil
}

// CatalogKeysList lists the keys that sign the tokens of shoppers.
type CatalogKeysList struct {
	Keys   SigningKeys `embed:""`
	Output `embed:""`
}

// Help is called by kong.
func (CatalogKeysList) Help() string {
	return `Shows the ids of the keys and what each is for. It shows no key.

Examples:
  sluice catalog keys list --signing-keys-file signing.json`
}

type signingKey struct {
	Kid   string `json:"kid"`
	State string `json:"state"`
}

func signingKeys(ring auth.Ring) []signingKey {
	all := []signingKey{{ring.Current.ID, "current"}, {ring.Next.ID, "next"}}
	if ring.Previous.ID != "" {
		all = append(all, signingKey{ring.Previous.ID, "previous"})
	}
	return all
}

// Run is called by kong.
func (l *CatalogKeysList) Run(c *Console) error {
	ring, err := l.Keys.read()
	if err != nil {
		return err
	}
	all := signingKeys(ring)
	if l.json() {
		return c.JSON(all)
	}
	t := c.table()
	t.row("KID", "STATE")
	for _, k := range all {
		t.row(k.Kid, k.State)
	}
	t.flush()
	return nil
}

// CatalogKeysRotate lets the next key sign.
type CatalogKeysRotate struct {
	Keys SigningKeys `embed:""`
}

// Help is called by kong.
func (CatalogKeysRotate) Help() string {
	return `Lets the next key of the file sign, makes a new next one, and drops the one before the last. A shop that runs takes the file anew
within ten seconds: give it to every process. It refuses to rotate again within 16 minutes, until every edge knows the next key
and the last token of the dropped one has ended. If a key may have leaked, make another file by sluice catalog keys create
instead, and put it in the place of this one: then every shopper asks for a new token once.

Examples:
  sluice catalog keys rotate --signing-keys-file signing.json`
}

// Run is called by kong.
func (r *CatalogKeysRotate) Run(c *Console) error {
	ring, err := r.Keys.read()
	if err != nil {
		return err
	}
	next, err := ring.Rotate(time.Now())
	if err != nil {
		return usage(err)
	}
	if err := next.Replace(r.Keys.File); err != nil {
		return err
	}
	c.Printf("%s signs; %s is next\n", next.Current.ID, next.Next.ID)
	return nil
}
