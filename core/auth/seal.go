package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrSealed means that a text was sealed for another purpose, with a key that nobody here has, or not at all.
var ErrSealed = errors.New("sealed with a key that is not in the key file, or damaged")

// Sealer encrypts what the edges of a deployment say to each other, so that the server that carries it cannot read it. As
// with tokens, the first key seals, and every key opens. So edges understand each other while keys are changed.
type Sealer struct {
	first string
	by    map[string]cipher.AEAD
}

// Sealer makes a Sealer. What is sealed for one purpose opens for no other. The keys of a Sealer follow from those that verify
// tokens: with EdDSA, everybody can open who knows the public key.
func (k *Keys) Sealer(purpose string) (*Sealer, error) {
	s := &Sealer{first: k.issuer.id, by: make(map[string]cipher.AEAD, len(k.byID))}
	for id, key := range k.byID {
		aead, err := key.aead(purpose)
		if err != nil {
			return nil, fmt.Errorf("make key %q for %s: %w", id, purpose, err)
		}
		s.by[id] = aead
	}
	return s, nil
}

func (k *loadedKey) aead(purpose string) (cipher.AEAD, error) {
	var material []byte
	switch verify := k.verify.(type) {
	case []byte:
		material = verify
	case ed25519.PublicKey:
		material = verify
	default:
		return nil, fmt.Errorf("no key of %T", k.verify)
	}
	key, err := hkdf.Key(sha256.New, material, nil, "sluice "+purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal encrypts a text. The result begins with the id of the key. A key is good for 2^32 texts: its nonces are random.
func (s *Sealer) Seal(text []byte) []byte {
	sealed := append([]byte{byte(len(s.first))}, s.first...)
	return s.by[s.first].Seal(sealed, nil, text, nil) //nolint:gosec // G407: it makes a random nonce itself
}

// Open returns a text that was sealed. Its error wraps ErrSealed.
func (s *Sealer) Open(sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || len(sealed) < 1+int(sealed[0]) {
		return nil, fmt.Errorf("%w: %d bytes", ErrSealed, len(sealed))
	}
	id, rest := sealed[1:1+sealed[0]], sealed[1+sealed[0]:]
	aead := s.by[string(id)]
	if aead == nil {
		return nil, fmt.Errorf("%w: kid %q", ErrSealed, id)
	}
	text, err := aead.Open(nil, nil, rest, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: kid %q", ErrSealed, id)
	}
	return text, nil
}
