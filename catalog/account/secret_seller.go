package account

import "sluice/core/ids"

// purposeSeller is what the values of sellers are sealed for.
const purposeSeller = "seller"

// SealSeller encrypts what a seller applied with. It opens for the same seller only.
func (s *Secret) SealSeller(seller ids.Seller, plain []byte) []byte {
	return s.seal(ids.User(seller), purposeSeller, plain) // no user has a value for this purpose, so the ids need not be apart
}

// OpenSeller decrypts it.
func (s *Secret) OpenSeller(seller ids.Seller, sealed []byte) ([]byte, error) {
	return s.open(ids.User(seller), purposeSeller, sealed)
}

// DrawSeller draws the id of a seller. A repetition of the request draws the same.
func (s *Secret) DrawSeller(user ids.User, key string) ids.Seller {
	return ids.Seller(sumOf(s.draws, []byte(purposeSeller), number(user), []byte(key)).positive())
}
