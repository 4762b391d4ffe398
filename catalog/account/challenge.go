package account

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// purpose says what a code is for. A code of one purpose is none of another.
type purpose string

const (
	purposeRegister purpose = "register"
	purposeReset    purpose = "reset"
	purposeSignIn   purpose = "sign_in"   // its code is one of the second factor
	purposePhone    purpose = "phone"     // signs in, or registers
	purposeSetPhone purpose = "set_phone" // of an account
	purposeSetEmail purpose = "set_email" // of an account

	// What these have is no code, but what a provider has said to one.
	purposeProvider purpose = "provider" // signs in, or registers
	purposeLink     purpose = "link"     // gives an account another way to sign in
)

const (
	// challengeLife is how long a code counts.
	challengeLife = 15 * time.Minute
	// triesMax bounds the guesses of a code, right ones included.
	triesMax = 5
	// codeDigits are few enough to type, and so many that five guesses at each of a hundred codes find one in 200,000 times.
	codeDigits = 8
)

// challengeKey names a challenge: a code that was sent to an address, and what it is for. The row is where its user is.
type challengeKey struct {
	user  ids.User
	nonce int64
}

// handle is the name of a challenge outside: it tells nobody the user, because it may stand for nobody.
func (s *Secret) handle(k challengeKey) string {
	var block [16]byte
	binary.BigEndian.PutUint64(block[:], uint64(k.user))
	binary.BigEndian.PutUint64(block[8:], uint64(k.nonce))
	s.handles.Encrypt(block[:], block[:])
	return base64.RawURLEncoding.EncodeToString(block[:])
}

// ofHandle reads a handle. What is none, names a challenge that there is not.
func (s *Secret) ofHandle(handle string) (k challengeKey, ok bool) {
	block, ok := decode(handle)
	if !ok || len(block) != 16 {
		return k, false
	}
	s.handles.Decrypt(block, block)
	k = challengeKey{ids.User(binary.BigEndian.Uint64(block)), int64(binary.BigEndian.Uint64(block[8:]))}
	return k, k.user > 0 && k.nonce > 0
}

// seed is what a code or a token follows from, beside the secret.
type seed [16]byte

func newSeed() (s seed) {
	_, _ = rand.Read(s[:]) // it never fails
	return s
}

// code is the code of a challenge. No table has it.
func (s *Secret) code(k challengeKey, of purpose, from seed) string {
	all := sumOf(s.codes, []byte(of), number(k.user), number(k.nonce), from[:])
	return fmt.Sprintf("%0*d", codeDigits, binary.BigEndian.Uint64(all[:])%100_000_000)
}

// challenge is a row of challenges__.
type challenge struct {
	challengeKey
	purpose purpose
	decoy   bool // no code fits: the address is somebody's already, or nobody's
	seed    seed
	index   Index
	value   string // where the code was sent, until it is used or over; empty where a user has it already
	Home
	password string // hash; of a sign-in its mark
	usedBy   []byte // keyed hash of the Idempotency-Key of the request that used it
}

// fits reports whether a code is the one of the challenge. It takes as long for a decoy.
func (s *Secret) fits(c *challenge, code string) bool {
	same := subtle.ConstantTimeCompare([]byte(s.code(c.challengeKey, c.purpose, c.seed)), []byte(code))
	return same == 1 && !c.decoy
}

// mayUse reports whether a request may use the challenge: the first one, or its repetition.
func (c *challenge) mayUse(key sum) (first, may bool) {
	if len(c.usedBy) == 0 {
		return true, true
	}
	return false, subtle.ConstantTimeCompare(c.usedBy, key[:]) == 1
}

var (
	codeRefused = problem.NewKind(problem.Kind{
		Code: "code_refused", Status: http.StatusForbidden, Title: "The code is not right, or does not count any more.",
	})
	addressTaken = problem.NewKind(problem.Kind{
		Code: "address_taken", Status: http.StatusConflict, Title: "The address belongs to another account.",
	})

	// One refusal for all codes: whatever is wrong with a code, there is no hint.
	errCode  = &problem.Problem{Kind: codeRefused}
	errTaken = &problem.Problem{Kind: addressTaken}
)

var errCodeForm = errors.New("want the 8 digits of the message")

// checkCode refuses what is no code at all, before it costs a try.
func checkCode(code string) error {
	if len(code) != codeDigits {
		return errCodeForm
	}
	for i := range len(code) {
		if code[i] < '0' || code[i] > '9' {
			return errCodeForm
		}
	}
	return nil
}
