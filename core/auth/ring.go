package auth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"sluice/core/text"
)

// How long things of a shop's tokens take. A token that a published key signed lives ShopperLifetime, and edges ask for
// published keys every publishedEvery. So a key signs once every edge knows it, and stays until its last token has ended,
// if RotatePause lies between two rotations.
const (
	ShopperLifetime = 10 * time.Minute
	// Skew is how far the clocks of shop and edge may differ.
	Skew           = time.Minute
	publishedEvery = 5 * time.Minute
	RotatePause    = ShopperLifetime + publishedEvery + Skew
)

// Ring has the keys with which a shop signs the tokens of its shoppers. All of them are published: the next one, so that
// edges know it before it signs, and the previous one, until its last token has ended.
type Ring struct {
	Current   Key       `json:"current"` // it signs
	Next      Key       `json:"next"`
	Previous  Key       `json:"previous,omitzero"`
	RotatedAt time.Time `json:"rotated_at"`
}

// NewRing makes a ring of new keys.
func NewRing(now time.Time) (r Ring, err error) {
	r.RotatedAt = now.UTC().Truncate(time.Second)
	if r.Current, err = GenerateKey(EdDSA); err == nil {
		r.Next, err = GenerateKey(EdDSA)
	}
	return r, err
}

// ErrRotated means that a ring was rotated a short while ago.
var ErrRotated = errors.New("the keys were rotated a short while ago")

// Rotate returns the ring in which the next key signs. Before RotatePause has passed since the last time it fails: tokens
// would be refused.
func (r Ring) Rotate(now time.Time) (Ring, error) {
	if early := r.RotatedAt.Add(RotatePause).Sub(now); early > 0 {
		return r, fmt.Errorf("%w: rotate them in %v, when every edge knows the next key", ErrRotated, early.Round(time.Second))
	}
	next, err := GenerateKey(EdDSA)
	if err != nil {
		return r, err
	}
	return Ring{Current: r.Next, Next: next, Previous: r.Current, RotatedAt: now.UTC().Truncate(time.Second)}, nil
}

// list is the keys of the ring, the one that signs first.
func (r Ring) list() []Key {
	all := []Key{r.Current, r.Next}
	if r.Previous != (Key{}) {
		all = append(all, r.Previous)
	}
	return all
}

// Keys are the keys of the ring. The current one issues tokens.
func (r Ring) Keys() (*Keys, error) {
	for _, k := range r.list() {
		if k.Algorithm != EdDSA || k.Secret == "" {
			return nil, fmt.Errorf("kid %q: want a key of EdDSA that can sign", k.ID)
		}
	}
	return NewKeys(r.list()...)
}

// ReadRing reads the file of a ring.
func ReadRing(path string) (Ring, error) {
	held, err := readBounded(path)
	if err != nil {
		return Ring{}, fmt.Errorf("read signing keys %w", text.OfFile(err))
	}
	var r Ring
	if err := json.Unmarshal(held, &r, json.RejectUnknownMembers(true)); err != nil {
		return Ring{}, fmt.Errorf("read signing keys %s: not the JSON of signing keys", path) // the decoder's error may quote a secret
	}
	if _, err := r.Keys(); err != nil {
		return Ring{}, fmt.Errorf("read signing keys %s: %w", path, err)
	}
	return r, nil
}

// Create writes the ring into a new file, which its owner only can read.
func (r Ring) Create(path string) error {
	encoded, err := r.encode()
	if err != nil {
		return err
	}
	return WriteNew(path, encoded)
}

// Replace writes the ring over the one of a file: at each moment there is the old one or the new one.
func (r Ring) Replace(path string) error {
	encoded, err := r.encode()
	if err != nil {
		return err
	}
	return replaceFile(path, encoded)
}

func (r Ring) encode() ([]byte, error) {
	if _, err := r.Keys(); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(r, jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode signing keys: %w", err)
	}
	return append(encoded, '\n'), nil
}

// replaceFile replaces the contents of a file, or makes it. Only its owner can read it.
func replaceFile(path string, contents []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // for its owner only
	if err != nil {
		return fmt.Errorf("write %w", text.OfFile(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	if _, err = file.Write(contents); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	if err = os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write %w", text.OfFile(err))
	}
	return nil
}

// PublishedKey is a key of Ed25519 in the form of RFC 8037. Members that are not here do no harm.
type PublishedKey struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	ID        string `json:"kid"`
	Algorithm string `json:"alg"`
	Use       string `json:"use"`
	X         string `json:"x"`
}

type publishedSet struct {
	Keys []PublishedKey `json:"keys"`
}

// Published is the ring without its secrets: the keys of the JWK Set (RFC 7517) that a shop publishes.
func (r Ring) Published() (all []PublishedKey) {
	for _, k := range r.list() {
		loaded, err := k.load()
		if err != nil {
			continue // no ring that was read or made has such a key
		}
		all = append(all, PublishedKey{
			Type: "OKP", Curve: "Ed25519", ID: k.ID, Algorithm: EdDSA, Use: "sig", X: base64.RawURLEncoding.EncodeToString(loaded.public()),
		})
	}
	return all
}

// ParsePublished reads a JWK Set. It takes the keys of Ed25519 for signatures, and passes over others. The keys verify only.
func ParsePublished(document []byte) (*Keys, error) {
	if len(document) > keyFileBytesMax {
		return nil, fmt.Errorf("more than %d bytes", keyFileBytesMax)
	}
	var set publishedSet
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, errors.New("it is not the JSON of a JWK set")
	}
	var keys []Key
	for _, k := range set.Keys {
		if k.Type == "OKP" && k.Curve == "Ed25519" && (k.Use == "" || k.Use == "sig") && (k.Algorithm == "" || k.Algorithm == EdDSA) {
			keys = append(keys, Key{ID: k.ID, Algorithm: EdDSA, Public: k.X})
		}
	}
	return NewKeys(keys...)
}

// readBounded reads a small file.
func readBounded(path string) (held []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > keyFileBytesMax {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("more than %d bytes", keyFileBytesMax)}
	}
	return os.ReadFile(path) //nolint:gosec // the operator names the file
}
