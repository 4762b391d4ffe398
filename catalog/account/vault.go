package account

import (
	"sluice/catalog/internal/vault"
	"sluice/core/place"
)

// NewVault makes the vault of users' personal values.
func NewVault(databases *place.Databases, ring *vault.Ring) *vault.Vault {
	return vault.New(vault.Config{Owner: owner, Kind: vault.Users, Places: databases, Ring: ring})
}
