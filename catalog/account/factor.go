package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"sluice/core/ids"
)

// A second factor is an app that makes codes by the time (RFC 6238), with recovery codes for who has lost it.
const (
	factorBytes = 20 // of a secret, as RFC 4226 recommends
	stepTime    = 30 * time.Second
	// recoveryCodes are how many there are, each of 50 bits, and each for one use.
	recoveryCodes = 10
	recoveryChars = 10
	// beginFor is how long a secret waits for its first code.
	beginFor = 15 * time.Minute
)

// factorSecret is what codes of the app follow from.
type factorSecret [factorBytes]byte

func newFactorSecret() (s factorSecret) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

var base32Plain = base32.StdEncoding.WithPadding(base32.NoPadding)

// text is the secret as people type it into an app.
func (s factorSecret) text() string { return base32Plain.EncodeToString(s[:]) }

// uri is the secret as an app reads it from a picture.
func (s factorSecret) uri(shop, name string) (string, error) {
	plain := strings.NewReplacer(":", " ") // it divides the two
	key, err := totp.Generate(totp.GenerateOpts{Issuer: plain.Replace(shop), AccountName: plain.Replace(name), Secret: s[:]})
	if err != nil {
		return "", fmt.Errorf("write uri of a second factor: %w", err)
	}
	return key.URL(), nil
}

// factor is a row of factors__.
type factor struct {
	user   ids.User
	there  bool
	active bool // else a secret waits for its first code
	recent bool // it waits for less than beginFor
	secret factorSecret
	used   int64 // step
	codes  seed
	spent  uint16 // recovery codes, a bit each
	madeBy sum
}

// left is how many recovery codes are left.
func (f *factor) left() (n int) {
	for i := range recoveryCodes {
		if f.spent>>i&1 == 0 {
			n++
		}
	}
	return n
}

// proof is what a code of a factor has shown: that of a step, or a recovery code.
type proof struct {
	step     int64
	recovery bool
	number   int
}

// by is the word for how a session was proved.
func (p proof) by() string {
	if p.recovery {
		return provedByRecovery
	}
	return provedByTOTP
}

var errFactorCode = errors.New("want the 6 digits that the app shows, or a recovery code")

// readFactorCode reads a code of the app, or a recovery code as people write it: with or without its dash, in any case, and with
// the letters that look like digits.
func readFactorCode(text string) (code string, err error) {
	if len(text) == 6 {
		for i := range len(text) {
			if text[i] < '0' || text[i] > '9' {
				return "", errFactorCode
			}
		}
		return text, nil
	}
	if len(text) == recoveryChars+1 && text[recoveryChars/2] == '-' {
		text = text[:recoveryChars/2] + text[recoveryChars/2+1:]
	}
	if len(text) != recoveryChars {
		return "", errFactorCode
	}
	for i := range len(text) {
		if !isAlphanumeric(text[i]) {
			return "", errFactorCode
		}
	}
	return strings.NewReplacer("o", "0", "i", "1", "l", "1").Replace(strings.ToLower(text)), nil
}

// proves reports what a code shows that readFactorCode has read. A code counts in its half minute, and in those before and
// after it: clocks differ, and people type. One that was used counts no more, nor does an older one.
func (s *Secret) proves(f *factor, code string, now time.Time) (p proof, ok bool) {
	if len(code) == recoveryChars {
		for n, of := range s.recoveryCodes(f) {
			same := subtle.ConstantTimeCompare([]byte(strings.Replace(of, "-", "", 1)), []byte(code)) == 1
			if same && f.spent>>n&1 == 0 {
				p, ok = proof{recovery: true, number: n}, true
			}
		}
		return p, ok
	}
	current := now.Unix() / int64(stepTime/time.Second)
	for step := current - 1; step <= current+1; step++ {
		same, err := hotp.ValidateCustom(code, uint64(step), f.secret.text(), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err == nil && same && step > f.used {
			p, ok = proof{step: step}, true
		}
	}
	return p, ok
}

// crockford has the digits of ids, which nobody takes for others.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// recoveryCodes are the codes of a factor. No table has them.
func (s *Secret) recoveryCodes(f *factor) []string {
	all := make([]string, recoveryCodes)
	for n := range all {
		drawn := sumOf(s.codes, []byte("recovery"), number(f.user), number(int64(n)), f.codes[:])
		bits := binary.BigEndian.Uint64(drawn[:])
		text := make([]byte, 0, recoveryChars+1)
		for i := range recoveryChars {
			if i == recoveryChars/2 {
				text = append(text, '-')
			}
			text = append(text, crockford[bits&31])
			bits >>= 5
		}
		all[n] = string(text)
	}
	return all
}
