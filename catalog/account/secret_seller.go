package account

import (
	"crypto/sha256"

	"sluice/core/ids"
)

// What the values of sellers are sealed for.
const (
	purposeSeller     = "seller"
	purposeInvitation = "invitation"
)

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

// SealInvitation encrypts whom an invitation goes to. It opens for the same invitation only.
func (s *Secret) SealInvitation(seller ids.Seller, id ids.Invitation, plain []byte) []byte {
	return s.seal(ids.User(seller), purposeInvitation+string(number(id)), plain)
}

// OpenInvitation decrypts it.
func (s *Secret) OpenInvitation(seller ids.Seller, id ids.Invitation, sealed []byte) ([]byte, error) {
	return s.open(ids.User(seller), purposeInvitation+string(number(id)), sealed)
}

// DrawInvitation draws the id of an invitation. A repetition of the request draws the same.
func (s *Secret) DrawInvitation(seller ids.Seller, user ids.User, key string) ids.Invitation {
	return ids.Invitation(sumOf(s.draws, []byte(purposeInvitation), number(seller), number(user), []byte(key)).positive())
}

// ProveInvitation is what only who got an invitation knows of it. It follows from the secret, so it is kept nowhere.
func (s *Secret) ProveInvitation(seller ids.Seller, id ids.Invitation) [sha256.Size]byte {
	return sumOf(s.codes, []byte(purposeInvitation), number(seller), number(id))
}

// IndexInvited is a keyed hash of an address that a seller invites. Those of two sellers have nothing in common.
func (s *Secret) IndexInvited(seller ids.Seller, address string) [sha256.Size]byte {
	return sumOf(s.indexes, []byte(purposeInvitation), number(seller), []byte(address))
}

// DrawKey draws what an API key of a seller follows from. A repetition of the request draws the same.
func (s *Secret) DrawKey(seller ids.Seller, user ids.User, key string) (seed [28]byte) {
	of := sumOf(s.codes, []byte("api key"), number(seller), number(user), []byte(key))
	copy(seed[:], of[:])
	return seed
}
