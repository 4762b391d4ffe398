package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"sluice/catalog/account"
	"sluice/catalog/internal/vault"
	"sluice/core/place"
)

// VaultConfig says where the keys of personal values are.
type VaultConfig struct {
	File string `name:"vault-key-file" private:"" env:"SLUICE_VAULT_KEY_FILE" group:"Catalog" placeholder:"PATH"`
}

// OpenVault opens the vault of the shop, and refuses a key file that is not the one of the databases. It writes nothing.
func OpenVault(ctx context.Context, c VaultConfig, databases *place.Databases, log *slog.Logger) (*vault.Vault, error) {
	ring, err := vault.ReadRing(c.File, log)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: bring it back, or in a new shop make it by sluice catalog vault keygen --out %s", err, c.File)
	}
	if err != nil {
		return nil, fmt.Errorf("vault-key-file: %w", err)
	}
	v := account.NewVault(databases, ring)
	if err := v.Check(ctx); err != nil {
		return nil, fmt.Errorf("vault-key-file: %w", err)
	}
	return v, nil
}

// GenerateVaultKeys makes a new key file, which only its owner can read. An existing file is an error.
func GenerateVaultKeys(path string) (key uint32, err error) { return vault.Generate(path) }

// RotateVaultKeys gives a key file a new key, which wraps from a time on.
func RotateVaultKeys(path string, after time.Duration) (key uint32, from time.Time, err error) {
	return vault.Rotate(path, after)
}
