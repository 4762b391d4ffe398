package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"sluice/core/text"
)

// The algorithms of keys.
const (
	HS256 = "HS256"
	EdDSA = "EdDSA"
)

// Bounds of a key file.
const (
	keyFileBytesMax = 64 << 10
	keysMax         = 16
	kidBytesMax     = 64
	secretBytesMin  = 32 // bytes of an HS256 secret: as many as the hash has
)

// Key is one key as its file has it. The members are base64url without padding.
type Key struct {
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	// Secret is the HS256 secret, 32 bytes or more, or the Ed25519 seed, 32 bytes. An EdDSA key
	// without it can verify, not issue.
	Secret string `json:"key,omitempty"`
	Public string `json:"public_key,omitempty"` // EdDSA: 32 bytes; follows from the seed if that is there
}

type keyFile struct {
	Keys []Key `json:"keys"`
}

// GenerateKey makes a new key of an algorithm.
func GenerateKey(algorithm string) (Key, error) {
	var id [8]byte
	secret := make([]byte, secretBytesMin) // the length of an Ed25519 seed too
	_, _ = rand.Read(id[:])                // crypto/rand never fails: it ends the process instead
	_, _ = rand.Read(secret)
	k := Key{
		ID:        hex.EncodeToString(id[:]),
		Algorithm: algorithm,
		Secret:    base64.RawURLEncoding.EncodeToString(secret),
	}
	_, err := k.load()
	return k, err
}

// EncodeKeys returns the text of a key file.
func EncodeKeys(keys ...Key) ([]byte, error) {
	if _, err := NewKeys(keys...); err != nil {
		return nil, err
	}
	text, err := json.Marshal(keyFile{keys}, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode keys: %w", err)
	}
	return append(text, '\n'), nil
}

// ErrNotWritten means that the disk has no room for a key file, or is broken.
var ErrNotWritten = errors.New("key file not written")

// WriteKeys creates a key file that only its owner can read. If it fails, it leaves no file. An existing file is an
// error.
func WriteKeys(path string, keys ...Key) error {
	encoded, err := EncodeKeys(keys...)
	if err != nil {
		return err
	}
	return WriteNew(path, encoded)
}

// WriteNew creates a file that only its owner can read. If it fails, it leaves no file. An existing file is an error. If it fails, it leaves no file. An existing file is an error.
func WriteNew(path string, contents []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("create key file %w", text.OfFile(err))
	}
	if _, err = file.Write(contents); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrNotWritten, err), os.Remove(path))
	}
	return nil
}

// Keys is a set of keys by kid. The first one issues tokens.
type Keys struct {
	issuer *loadedKey
	byID   map[string]*loadedKey
}

type loadedKey struct {
	id     string
	method jwt.SigningMethod
	sign   any // nil: verifies only
	verify any
}

// ReadKeys reads a key file.
func ReadKeys(path string) (*Keys, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read key file %w", text.OfFile(err))
	}
	held, err := io.ReadAll(io.LimitReader(file, keyFileBytesMax+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read key file %w", text.OfFile(err))
	}
	keys, err := parseKeys(held)
	if err != nil {
		return nil, fmt.Errorf("read key file %s: %w", path, err)
	}
	return keys, nil
}

func parseKeys(text []byte) (*Keys, error) {
	if len(text) > keyFileBytesMax {
		return nil, fmt.Errorf("more than %d bytes", keyFileBytesMax)
	}
	var f keyFile
	if err := json.Unmarshal(text, &f, json.RejectUnknownMembers(true)); err != nil {
		return nil, errors.New("not the JSON of a key file") // the decoder's error may quote a secret
	}
	return NewKeys(f.Keys...)
}

// NewKeys checks and collects keys.
func NewKeys(keys ...Key) (*Keys, error) {
	if len(keys) == 0 || len(keys) > keysMax {
		return nil, fmt.Errorf("%d keys: want 1 to %d", len(keys), keysMax)
	}
	set := &Keys{byID: make(map[string]*loadedKey, len(keys))}
	for i, k := range keys {
		loaded, err := k.load()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if set.byID[k.ID] != nil {
			return nil, fmt.Errorf("key %d: kid %q is taken by another key", i+1, k.ID)
		}
		set.byID[k.ID] = loaded
		if i == 0 {
			set.issuer = loaded
		}
	}
	return set, nil
}

func (k Key) load() (*loadedKey, error) {
	if len(k.ID) == 0 || len(k.ID) > kidBytesMax {
		return nil, fmt.Errorf("kid of %d bytes: want 1 to %d", len(k.ID), kidBytesMax)
	}
	secret, err1 := base64.RawURLEncoding.Strict().DecodeString(k.Secret)
	public, err2 := base64.RawURLEncoding.Strict().DecodeString(k.Public)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("kid %q: key or public_key is not base64url without padding", k.ID)
	}
	switch k.Algorithm {
	case HS256:
		if len(secret) < secretBytesMin || len(public) != 0 {
			return nil, fmt.Errorf("kid %q: HS256 wants a key of %d bytes or more and no public_key", k.ID, secretBytesMin)
		}
		return &loadedKey{id: k.ID, method: jwt.SigningMethodHS256, sign: secret, verify: secret}, nil
	case EdDSA:
		return k.loadEdDSA(secret, public)
	}
	return nil, fmt.Errorf("kid %q: alg %q: want HS256 or EdDSA", k.ID, k.Algorithm)
}

// public is the public key of an EdDSA key.
func (k *loadedKey) public() ed25519.PublicKey {
	public, _ := k.verify.(ed25519.PublicKey)
	return public
}

func (k Key) loadEdDSA(seed, public []byte) (*loadedKey, error) {
	loaded := &loadedKey{id: k.ID, method: jwt.SigningMethodEdDSA}
	if len(seed) == ed25519.SeedSize {
		private := ed25519.NewKeyFromSeed(seed)
		loaded.sign, loaded.verify = private, private.Public()
		if len(public) != 0 && !ed25519.PublicKey(public).Equal(loaded.verify.(ed25519.PublicKey)) {
			return nil, fmt.Errorf("kid %q: public_key is not the one of key", k.ID)
		}
		return loaded, nil
	}
	if len(seed) != 0 || len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("kid %q: EdDSA wants a key of %d bytes, or only a public_key of %d", k.ID,
			ed25519.SeedSize, ed25519.PublicKeySize)
	}
	loaded.verify = ed25519.PublicKey(public)
	return loaded, nil
}
