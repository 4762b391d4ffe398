package account

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"sluice/core/auth"
	"sluice/core/ids"
	"sluice/core/text"
)

// secretBytes is the length of the shop's secret.
const secretBytes = 32

// Secret has the keys that follow from the shop's secret. Without it, the tables tell of no address whose it is, and make no code
// and no token. It never changes: with another secret nobody could sign in.
type Secret struct {
	indexes, codes, sessions, devices, draws, keys, quotes []byte

	handles cipher.Block
	values  cipher.AEAD
	flows   cipher.AEAD
}

// mark begins the file of a secret, so that no other file is taken for one.
const mark = "sluice-account-secret:"

// CreateSecret writes a new secret into a new file, which its owner only can read.
func CreateSecret(path string) error {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // it never fails
	return auth.WriteNew(path, []byte(mark+base64.RawURLEncoding.EncodeToString(secret[:])+"\n"))
}

// ReadSecret reads the file of a secret. The error quotes nothing of it.
func ReadSecret(path string) (*Secret, error) {
	file, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read secret %w", text.OfFile(err))
	}
	held, err := io.ReadAll(io.LimitReader(file, 1<<10))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("read secret %w", text.OfFile(err))
	}
	encoded, marked := strings.CutPrefix(strings.TrimSuffix(string(held), "\n"), mark)
	secret, ok := decode(encoded)
	if !ok || !marked || len(secret) != secretBytes {
		return nil, fmt.Errorf("read secret %s: it is not the secret of a shop", path)
	}
	return newSecret(secret)
}

func newSecret(secret []byte) (*Secret, error) {
	s := &Secret{}
	var handles, values, flows []byte
	for label, key := range map[string]*[]byte{
		"indexes": &s.indexes, "codes": &s.codes, "sessions": &s.sessions, "devices": &s.devices, "draws": &s.draws, "keys": &s.keys,
		"quotes": &s.quotes, "handles": &handles, "values": &values, "flows": &flows,
	} {
		var err error
		if *key, err = hkdf.Key(sha256.New, secret, nil, "sluice account "+label, 32); err != nil {
			return nil, fmt.Errorf("make keys of %s: %w", label, err)
		}
	}
	var err error
	if s.handles, err = aes.NewCipher(handles); err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	if s.values, err = newAEAD(values); err != nil {
		return nil, err
	}
	s.flows, err = newAEAD(flows)
	return s, err
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// QuoteKey is the secret of quotes of prices, which have keys of their own.
func (s *Secret) QuoteKey() []byte { return s.quotes }

// sum is a keyed hash of some parts, each of which counts by itself.
type sum [sha256.Size]byte

func sumOf(key []byte, parts ...[]byte) (of sum) {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		_ = binary.Write(h, binary.BigEndian, uint64(len(part))) // a hash takes everything
		_, _ = h.Write(part)
	}
	h.Sum(of[:0])
	return of
}

// positive is an id that follows from a sum.
func (of sum) positive() int64 { return max(int64(binary.BigEndian.Uint64(of[:])>>1), 1) }

func number[T ~int64 | ~uint32](n T) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

// index is the blind index of a value.
func (s *Secret) index(kind Kind, key string) Index {
	return Index(sumOf(s.indexes, []byte(kind), []byte(key)))
}

// Index stands for a value of a kind in tables: equal values have equal ones, and without the secret nobody can tell which.
type Index [sha256.Size]byte

// drawUser draws the id of a user who registers. A repetition of the request draws the same.
func (s *Secret) drawUser(of Index, home Home, key string) ids.User {
	return ids.User(sumOf(s.draws, []byte("user"), of[:], []byte(home.Region), []byte(home.Locale), []byte(key)).positive())
}

// nobody is who stands for a user where an address has none, so that both cost the same.
func (s *Secret) nobody(of Index) ids.User {
	return ids.User(sumOf(s.draws, []byte("nobody"), of[:]).positive())
}

// drawSession draws the id of a session. A repetition of the request draws the same.
func (s *Secret) drawSession(user ids.User, key string) ids.Session {
	return ids.Session(sumOf(s.draws, []byte("session"), number(user), []byte(key)).positive())
}

// ofKey stands for an Idempotency-Key in tables.
func (s *Secret) ofKey(key string) sum { return sumOf(s.keys, []byte(key)) }

// seal encrypts a value of who is no user yet, or of a seller: values of users are in the vault. What is sealed for one purpose and id
// opens for no other.
func (s *Secret) seal(user ids.User, purpose string, value []byte) []byte {
	return s.values.Seal(nil, nil, value, append(number(user), purpose...)) //nolint:gosec // G407: it makes a random nonce itself
}

var errSealed = errors.New("a value that is kept was sealed with another secret, or is damaged")

func (s *Secret) open(user ids.User, purpose string, sealed []byte) ([]byte, error) {
	value, err := s.values.Open(nil, nil, sealed, append(number(user), purpose...))
	if err != nil {
		return nil, errSealed
	}
	return value, nil
}

// SealMessage encrypts what a message says to somebody who has not shown to be a user. It opens for the same row only.
func (s *Secret) SealMessage(row int64, plain []byte) []byte {
	return s.seal(0, purposeMessage+string(number(row)), plain)
}

// OpenMessage decrypts it.
func (s *Secret) OpenMessage(row int64, sealed []byte) ([]byte, error) {
	return s.open(0, purposeMessage+string(number(row)), sealed)
}

// IndexMessage is a keyed hash of what messages are counted by.
func (s *Secret) IndexMessage(name, value string) [sha256.Size]byte {
	return sumOf(s.indexes, []byte(purposeMessage), []byte(name), []byte(value))
}

// purposeMessage is what the values of messages are sealed for.
const purposeMessage = "message"

// decode decodes base64url without padding, in the one spelling that an encoder writes.
func decode(text string) ([]byte, bool) {
	if strings.ContainsAny(text, "\r\n") { // the decoder would skip them
		return nil, false
	}
	held, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return held, err == nil
}
