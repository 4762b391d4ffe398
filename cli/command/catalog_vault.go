package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"sluice/catalog"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/place"
	"sluice/core/shard"
)

// VaultKeygen makes a key file for personal values.
type VaultKeygen struct {
	File string `name:"out" required:"" placeholder:"PATH" help:"Write this new file, which its owner only can read."`
}

// Help is called by kong.
func (VaultKeygen) Help() string {
	return `Makes the file of --vault-key-file: a key that wraps the keys of users, and one that indexes what is looked up. Personal values
in the shop's databases can be read with this file only. Keep copies of it, apart from those of the databases. A file that exists is
never overwritten.

Example:
  sluice catalog vault keygen --out vault.json`
}

// Run is called by kong.
func (g *VaultKeygen) Run(c *Console) error {
	key, err := catalog.GenerateVaultKeys(g.File)
	if errors.Is(err, fs.ErrExist) {
		return usage(fmt.Errorf("%s exists, and its keys are never overwritten: name another file by --out", g.File))
	}
	if err != nil {
		return err
	}
	c.Printf("%s has the key %d, which wraps, readable by you only\n", g.File, key)
	return nil
}

// VaultRotate gives the key file a new key.
type VaultRotate struct {
	Vault catalog.VaultConfig `embed:""`

	After time.Duration `default:"1h" placeholder:"TIME" help:"When the new key begins to wrap: every process must have the file by then."`
}

// rotateAfterMin leaves processes that read the same file time to look at it again.
const rotateAfterMin = 5 * time.Second

// Help is called by kong.
func (VaultRotate) Help() string {
	return `Adds a new key to the file of --vault-key-file, in its place. The key wraps nothing until --after is over. Until then bring the
file to every process: one that reads this file itself takes it by itself, and one that has a copy gets a new copy, and a restart
if its copy cannot change. Then run sluice catalog vault rewrap, and drop the old key once nothing is wrapped by it.

Examples:
  sluice catalog vault rotate --vault-key-file vault.json
  sluice catalog vault rotate --vault-key-file vault.json --after 24h`
}

// Validate joins all faults.
func (r *VaultRotate) Validate() error {
	var f config.Faults
	f.Include(haveKeyFile(r.Vault))
	config.Between(&f, "after", r.After, rotateAfterMin, 30*24*time.Hour)
	return f.Err()
}

func haveKeyFile(v catalog.VaultConfig) error {
	var f config.Faults
	if v.File == "" {
		f.Missing("vault-key-file", "the file of --vault-key-file (SLUICE_VAULT_KEY_FILE)")
	}
	return f.Err()
}

// Run is called by kong.
func (r *VaultRotate) Run(c *Console) error {
	key, from, err := catalog.RotateVaultKeys(r.Vault.File, r.After)
	if err != nil {
		return err
	}
	c.Printf("%s has the new key %d, which wraps from %s on\n", r.Vault.File, key, from.Format(time.RFC3339))
	return nil
}

// vaultStores are what commands about keys that wrap need.
type vaultStores struct {
	MySQL  db.Config           `embed:""`
	Places place.Config        `embed:""`
	Vault  catalog.VaultConfig `embed:""`
}

// Validate joins all faults.
func (s *vaultStores) Validate() error {
	var f config.Faults
	f.Include(s.Places.Check(s.MySQL))
	f.Include(haveKeyFile(s.Vault))
	return f.Err()
}

func (s *vaultStores) open(log *slog.Logger) (*place.Databases, error) {
	return s.Places.Open(place.Options{MySQL: s.MySQL, Log: log})
}

// VaultRewrap wraps keys of users with the key that wraps.
type VaultRewrap struct {
	vaultStores `embed:""`
}

// Help is called by kong.
func (VaultRewrap) Help() string {
	return `Wraps what older keys of the file have wrapped with the one that wraps, a few hundred keys of users at a time, while the shop works.
Values stay as they are. It can be ended anywhere, and run again.

Examples:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog vault rewrap --vault-key-file vault.json
  sluice catalog vault rewrap --vault-key-file vault.json --shards-file shards.json`
}

// Run is called by kong.
func (r *VaultRewrap) Run(ctx context.Context, c *Console, log *slog.Logger) (err error) {
	databases, err := r.open(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, databases.Close()) }()
	v, err := catalog.OpenVault(ctx, r.Vault, databases, log)
	if err != nil {
		return err
	}
	states, err := v.Status(ctx)
	if err != nil {
		return err
	}
	var all int64
	for _, s := range states {
		if !s.Wrapping() {
			all += s.Wraps
		}
	}
	told := time.Now()
	done, err := v.Rewrap(ctx, func(done int64) {
		if now := time.Now(); now.Sub(told) >= c.tellEvery() {
			told = now
			c.Notef("wrapped %s of %s keys again", number(done), number(all))
		}
	})
	c.Printf("%s keys were wrapped again\n", number(done))
	return err
}

// VaultDrop takes a key out of the key file.
type VaultDrop struct {
	vaultStores `embed:""`
	Consent     `embed:""`

	Key uint32 `arg:"" between:"1-4294967295" help:"The key, as sluice catalog vault status shows it."`
}

// Help is called by kong.
func (VaultDrop) Help() string {
	return `Takes a key out of the file of --vault-key-file that wraps nothing any longer. Copies of the databases from before, such as backups,
can be read with a copy of the file from before only. It looks into the databases that it is told of, and no others: give it the
shards file of the shop, if there is one.

Examples:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog vault drop 2781930044 --vault-key-file vault.json --dry-run
  sluice catalog vault drop 2781930044 --vault-key-file vault.json --shards-file shards.json --yes`
}

// Run is called by kong.
func (d *VaultDrop) Run(ctx context.Context, c *Console, log *slog.Logger) (err error) {
	if err := d.check(c); err != nil {
		return err
	}
	databases, err := d.open(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, databases.Close()) }()
	v, err := catalog.OpenVault(ctx, d.Vault, databases, log)
	if err != nil {
		return err
	}
	var places []string
	for _, p := range databases.All(shard.Users) {
		places = append(places, p.Name)
	}
	what := fmt.Sprintf("Key %d leaves %s unless it wraps something in %s. What it wraps elsewhere never opens again", d.Key, d.Vault.File, strings.Join(places, ", "))
	if d.DryRun {
		c.Printf("%s (dry run: nothing was changed)\n", what)
		return nil
	}
	if err := d.ask(ctx, c, what, strconv.FormatUint(uint64(d.Key), 10)); err != nil {
		return err
	}
	if err := v.Drop(ctx, d.Key); err != nil {
		return err
	}
	c.Printf("%s has key %d no longer\n", d.Vault.File, d.Key)
	return nil
}

// VaultStatus shows what the keys of the key file do.
type VaultStatus struct {
	vaultStores `embed:""`
	Output      `embed:""`
}

// Help is called by kong.
func (VaultStatus) Help() string {
	return `Shows the keys of the file of --vault-key-file: which one wraps, which one will, how many keys of users each has wrapped, and which
ones can be dropped.

Example:
  SLUICE_MYSQL_DSN='sluice:...@tcp(db:3306)/shop' sluice catalog vault status --vault-key-file vault.json -o json`
}

// Run is called by kong.
func (s *VaultStatus) Run(ctx context.Context, c *Console, log *slog.Logger) (err error) {
	databases, err := s.open(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, databases.Close()) }()
	v, err := catalog.OpenVault(ctx, s.Vault, databases, log)
	if err != nil {
		return err
	}
	states, err := v.Status(ctx)
	if err != nil {
		return err
	}
	if s.json() {
		return c.JSON(states)
	}
	t := c.table()
	t.row("KEY", "DOES", "WRAPPED", "CAN BE DROPPED")
	for _, state := range states {
		does := state.Does
		if state.From != nil {
			does = "wraps from " + state.From.Format(time.RFC3339)
		}
		t.row(state.ID, does, number(state.Wraps), yesNo[state.Droppable])
	}
	t.flush()
	return nil
}

var yesNo = map[bool]string{true: "yes", false: "no"}
