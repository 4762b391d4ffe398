// Package apikey keeps keys by which systems of others call the shop: hashed, narrowed to scopes, with an end, and revocable. A
// key is shown once, when it is made. The package knows neither what the scopes allow nor who the holders are: an owner of the
// shop has the table, and says so.
package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"sluice/core/config"
)

// A key is slk_, a prefix of 12 digits that finds it, _, 32 digits that nobody can guess (160 bits), and 6 that tell a slip of
// the hand, and keys that were published by mistake, without asking anybody.
const (
	mark         = "slk_"
	prefixDigits = 12
	secretDigits = 32
	checkDigits  = 6
	keyDigits    = len(mark) + prefixDigits + 1 + secretDigits + checkDigits
)

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var digits = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// Seed is what a key follows from: 8 bytes for the prefix, of which the digits take 60 bits, and 20 that nobody may guess.
type Seed [28]byte

// draw draws a seed.
func draw() (seed Seed) {
	_, _ = rand.Read(seed[:]) // it never fails
	return seed
}

// key is the key of a seed.
func (s Seed) key() (key config.Secret, prefix string) {
	prefix = digits.EncodeToString(s[:8])[:prefixDigits]
	text := mark + prefix + "_" + digits.EncodeToString(s[8:])
	return config.Secret(text + check(text)), prefix
}

// Is reports whether a text is meant to be a key, good or not.
func Is(text string) bool { return strings.HasPrefix(text, mark) }

// check are the last digits of a key.
func check(text string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(text)))
	return digits.EncodeToString(sum[:])[:checkDigits]
}

// prefixOf is the prefix of a key, if the text has the form of one.
func prefixOf(key string) (prefix string, ok bool) {
	if len(key) != keyDigits || !strings.HasPrefix(key, mark) || key[len(mark)+prefixDigits] != '_' {
		return "", false
	}
	body := key[:len(key)-checkDigits]
	for _, c := range []byte(body[len(mark):]) {
		if c != '_' && !strings.ContainsRune(alphabet, rune(c)) {
			return "", false
		}
	}
	return body[len(mark) : len(mark)+prefixDigits], check(body) == key[len(body):]
}

// IsPrefix reports whether a text has the form of a prefix.
func IsPrefix(text string) bool {
	return len(text) == prefixDigits && !strings.ContainsFunc(text, func(c rune) bool { return !strings.ContainsRune(alphabet, c) })
}

// hash is what is kept of a key. It is a plain hash, because nobody can guess 160 bits.
func hash(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }
