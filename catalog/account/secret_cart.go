package account

const (
	purposeGuest = "guest cart"
	purposeShare = "shared cart"
)

// ProveGuest is what only the shop can say about the drawn id of a guest's cart. It follows from the secret, so it is kept nowhere.
func (s *Secret) ProveGuest(id [16]byte) (proof [16]byte) {
	of := sumOf(s.codes, []byte(purposeGuest), id[:])
	copy(proof[:], of[:])
	return proof
}

// ProveShare is the same for the id of a shared cart.
func (s *Secret) ProveShare(id [10]byte) (proof [16]byte) {
	of := sumOf(s.codes, []byte(purposeShare), id[:])
	copy(proof[:], of[:])
	return proof
}
