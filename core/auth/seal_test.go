package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"testing"

	"sluice/core/auth"
)

func sealer(t *testing.T, purpose string, list ...auth.Key) *auth.Sealer {
	t.Helper()
	keys, err := auth.NewKeys(list...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := keys.Sealer(purpose)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func key(t *testing.T, algorithm string) auth.Key {
	t.Helper()
	k, err := auth.GenerateKey(algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestSealersUnderstandEachOtherWhileKeysChange follows the three steps of docs/security.md.
func TestSealersUnderstandEachOtherWhileKeysChange(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{auth.HS256, auth.EdDSA} {
		before, after := key(t, algorithm), key(t, algorithm)
		steps := [][]auth.Key{{before}, {before, after}, {after, before}, {after}}
		for i := range steps[1:] {
			one, other := sealer(t, "tests", steps[i]...), sealer(t, "tests", steps[i+1]...)
			for _, pair := range [][2]*auth.Sealer{{one, other}, {other, one}} {
				if text, err := pair[1].Open(pair[0].Seal([]byte("5 of 192.0.2.1"))); err != nil || string(text) != "5 of 192.0.2.1" {
					t.Errorf("%s, steps %d and %d: %q, %v", algorithm, i+1, i+2, text, err)
				}
			}
		}
	}
}

func TestSealerOfAPublicKey(t *testing.T) {
	t.Parallel()
	whole := key(t, auth.EdDSA)
	seed, err := base64.RawURLEncoding.DecodeString(whole.Secret)
	if err != nil {
		t.Fatal(err)
	}
	verifies := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	public := auth.Key{ID: whole.ID, Algorithm: auth.EdDSA, Public: base64.RawURLEncoding.EncodeToString(verifies)}
	if _, err := sealer(t, "tests", public).Open(sealer(t, "tests", whole).Seal([]byte("text"))); err != nil {
		t.Errorf("an edge that has the public key only: %v", err)
	}
}

func TestSealedTextsOpenForNobodyElse(t *testing.T) {
	t.Parallel()
	k := key(t, auth.HS256)
	one := sealer(t, "tests", k)
	sealed := one.Seal([]byte("192.0.2.1"))
	if bytes.Contains(sealed, []byte("192.0.2.1")) || bytes.Equal(sealed, one.Seal([]byte("192.0.2.1"))) {
		t.Error("the text can be read, or compared")
	}
	impostor := key(t, auth.HS256)
	impostor.ID = k.ID
	for name, s := range map[string]*auth.Sealer{
		"another purpose": sealer(t, "others", k), "another key": sealer(t, "tests", key(t, auth.HS256)), "another key of that id": sealer(t, "tests", impostor),
	} {
		if _, err := s.Open(sealed); !errors.Is(err, auth.ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range sealed {
		if _, err := one.Open(sealed[:n]); !errors.Is(err, auth.ErrSealed) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := one.Open(sealed); !errors.Is(err, auth.ErrSealed) {
		t.Errorf("a changed text: %v", err)
	}
}
