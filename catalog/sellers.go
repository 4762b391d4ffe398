package catalog

import (
	"sluice/catalog/account"
	"sluice/core/ids"
)

// sellerSealer seals what sellers apply with under the secret of accounts.
type sellerSealer struct{ *account.Secret }

// Seal implements seller.Sealer.
func (s sellerSealer) Seal(of ids.Seller, plain []byte) []byte { return s.SealSeller(of, plain) }

// Open implements seller.Sealer.
func (s sellerSealer) Open(of ids.Seller, sealed []byte) ([]byte, error) {
	return s.OpenSeller(of, sealed)
}

// Draw implements seller.Sealer.
func (s sellerSealer) Draw(user ids.User, key string) ids.Seller { return s.DrawSeller(user, key) }
