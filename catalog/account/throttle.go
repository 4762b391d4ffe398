package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"sluice/core/ids"
	"sluice/core/limit"
	"sluice/core/problem"
)

// throttle slows down who guesses passwords, and bounds the messages that strangers can cause. It counts tries, right ones
// included, so it tells nobody whether an address has an account. What strangers elsewhere do keeps back nobody at a known device:
// it signs in, and it may ask for a reset. Who has none gets one by a reset, unless strangers ask for messages to the address all the
// time: the caps of messages count all of them together.
type throttle struct {
	pair     *limit.Limiter[uint64]     // tries of an account from an address
	account  *limit.Limiter[uint64]     // tries of an account from devices that it does not know
	address  *limit.Limiter[netip.Addr] // tries from an address
	mine     *limit.Limiter[uint64]     // messages to an address of e-mail that an address asked for
	messages *limit.Limiter[uint64]     // messages to an address of e-mail that devices asked for which it does not know
	asked    *limit.Limiter[netip.Addr] // messages that an address asked for
	codes    *limit.Limiter[uint64]     // codes of a second factor: of a session, of a known device, or of an account at all other devices
	allCodes *limit.Limiter[uint64]     // codes of an account
}

// keysMax bounds the memory of each limiter, about 200 bytes a key.
const keysMax = 100_000

func newThrottle() *throttle {
	same := func(id uint64) uint64 { return id }
	per := func(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
	return &throttle{
		pair:     limit.New("sign-in", limit.Config{Rate: per(10, 10*time.Minute), Burst: 10, KeysMax: keysMax}, same),
		account:  limit.New("account", limit.Config{Rate: per(100, time.Hour), Burst: 100, KeysMax: keysMax}, same),
		address:  limit.New("address", limit.Config{Rate: per(60, time.Minute), Burst: 120, KeysMax: keysMax}, limit.AddressID),
		mine:     limit.New("messages", limit.Config{Rate: per(4, time.Hour), Burst: 5, KeysMax: keysMax}, same),
		messages: limit.New("messages-account", limit.Config{Rate: per(200, 24*time.Hour), Burst: 200, KeysMax: keysMax}, same),
		asked:    limit.New("messages-address", limit.Config{Rate: per(60, time.Hour), Burst: 30, KeysMax: keysMax}, limit.AddressID),
		codes:    limit.New("codes", limit.Config{Rate: per(48, 24*time.Hour), Burst: 15, KeysMax: keysMax}, same),
		allCodes: limit.New("codes-account", limit.Config{Rate: per(200, 24*time.Hour), Burst: 60, KeysMax: keysMax}, same),
	}
}

func (of Index) id() uint64 { return binary.BigEndian.Uint64(of[:]) }

// pair is an address of e-mail together with who asks.
func (of Index) pair(from netip.Addr) uint64 {
	pair := sha256.Sum256(binary.BigEndian.AppendUint64(of[:], limit.AddressID(from)))
	return binary.BigEndian.Uint64(pair[:])
}

// try admits a try of a password.
func (t *throttle) try(of Index, from netip.Addr, known bool, now time.Time) error {
	allowed := t.address.Allow(from, now)
	if allowed.OK {
		allowed = t.pair.Allow(of.pair(from), now)
	}
	if allowed.OK && !known {
		allowed = t.account.Allow(of.id(), now)
	}
	return limited(allowed)
}

// message admits a message to an address of e-mail.
func (t *throttle) message(to Index, from netip.Addr, known bool, now time.Time) error {
	allowed := t.asked.Allow(from, now)
	if allowed.OK {
		allowed = t.mine.Allow(to.pair(from), now)
	}
	if allowed.OK && !known {
		allowed = t.messages.Allow(to.id(), now)
	}
	return limited(allowed)
}

// code admits a try of a code of a second factor. Three of a million fit at a time, so 48 tries a day find one in 19 years, and
// the 200 of an account in four. Who comes this far knows the password, or has a token. Who guesses at a device that the account does
// not know keeps back nobody at one that it knows, and the owner ends it by a new password.
func (t *throttle) code(key uint64, user ids.User, from netip.Addr, now time.Time) error {
	allowed := t.address.Allow(from, now)
	if allowed.OK {
		allowed = t.codes.Allow(key, now)
	}
	if allowed.OK {
		allowed = t.allCodes.Allow(userKey(user), now)
	}
	return limited(allowed)
}

// What tries of codes are counted by.
func userKey(user ids.User) uint64 { return keyOf("user", number(user)) }

func deviceKey(token string) uint64 { return keyOf("device", []byte(token)) }

func sessionKey(user ids.User, session ids.Session) uint64 {
	return keyOf("session", number(user), number(int64(session)))
}

func keyOf(kind string, parts ...[]byte) uint64 {
	of := sumOf([]byte(kind), parts...)
	return binary.BigEndian.Uint64(of[:])
}

func limited(a limit.Allowance) error {
	if a.OK {
		return nil
	}
	return &problem.Problem{Kind: problem.RateLimited, RetryAfter: a.RetryAfter}
}

// A device token shows that its bearer has signed in as a user before, or has the user's mail. It lets nobody in, and ends with the
// password: who has taken one with the last password is a stranger with the next.
const (
	devicePrefix = "sdt_"
	deviceMAC    = 16 // bytes
)

func (s *Secret) device(of credential) string {
	drawn := newSeed()
	mac := s.deviceSum(of, drawn[:8])
	return devicePrefix + base64.RawURLEncoding.EncodeToString(append(drawn[:8:8], mac[:deviceMAC]...))
}

func (s *Secret) deviceSum(of credential, drawn []byte) sum {
	return sumOf(s.devices, number(of.user), number(of.since), drawn)
}

// knows reports whether a device token is one of a user with the same password.
func (s *Secret) knows(of credential, token string) bool {
	encoded, prefixed := strings.CutPrefix(token, devicePrefix)
	held, ok := decode(encoded)
	if !ok || !prefixed || len(held) != 8+deviceMAC {
		return false
	}
	want := s.deviceSum(of, held[:8])
	return subtle.ConstantTimeCompare(held[8:], want[:deviceMAC]) == 1
}
