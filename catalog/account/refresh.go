package account

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Refresh tokens rotate: each is used once, for the next one. A token follows from the secret, the session's seed and its
// generation, so no table has it, and an old one is known for what it is.
const (
	// refreshPrefix tells people and scanners of leaked secrets what a text is.
	refreshPrefix = "srt_"
	refreshMAC    = 24 // bytes

	// graceFor is how long the token before the current one gives the current one again. Its answer may have been lost, and
	// whoever asks again gets no other tokens than were made: if two have them, the family ends when the second uses its own.
	graceFor = 30 * time.Second

	// A session ends when nobody has used it for idleMax, and when it is sessionMax old.
	idleMax    = 30 * 24 * time.Hour
	sessionMax = 180 * 24 * time.Hour
	// sessionsMax bounds the sessions of a user: with a further one, the one unused for longest ends.
	sessionsMax = 20
)

// refreshToken names a generation of a session.
type refreshToken struct {
	user       ids.User
	session    ids.Session
	generation uint32
}

// refresh is the text of a token.
func (s *Secret) refresh(t refreshToken, from seed) string {
	text := binary.BigEndian.AppendUint64(nil, uint64(t.user))
	text = binary.BigEndian.AppendUint64(text, uint64(t.session))
	text = binary.BigEndian.AppendUint32(text, t.generation)
	mac := s.refreshSum(t, from)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(text, mac[:refreshMAC]...))
}

func (s *Secret) refreshSum(t refreshToken, from seed) sum {
	return sumOf(s.sessions, number(t.user), number(t.session), number(t.generation), from[:])
}

// readRefresh reads the text of a token, which has to be genuine by its mac. Only the seed of its session tells.
func readRefresh(text string) (t refreshToken, mac []byte, ok bool) {
	encoded, prefixed := strings.CutPrefix(text, refreshPrefix)
	held, ok := decode(encoded)
	if !ok || !prefixed || len(held) != 20+refreshMAC {
		return t, nil, false
	}
	t = refreshToken{
		ids.User(binary.BigEndian.Uint64(held)), ids.Session(binary.BigEndian.Uint64(held[8:])), binary.BigEndian.Uint32(held[16:]),
	}
	return t, held[20:], t.user > 0 && t.session > 0
}

// session is what decides about a refresh token.
type session struct {
	seed       seed
	generation uint32
	over       bool          // it was ended, or its time is over
	age        time.Duration // of the current generation
	state      State         // of its user
}

// verdict says what becomes of a refresh token.
type verdict uint8

const (
	verdictRefuse verdict = iota // and nothing changes
	verdictRotate                // it is the current one: the next generation begins
	verdictRepeat                // its answer may have been lost: the current token again
	verdictReuse                 // it was used before: somebody else has it, so the session ends
)

// judge decides about a token. One that is not genuine changes nothing, so a stranger ends nobody's session.
func (s *Secret) judge(of session, t refreshToken, mac []byte) verdict {
	want := s.refreshSum(t, of.seed)
	switch {
	case subtle.ConstantTimeCompare(mac, want[:refreshMAC]) != 1, of.over, of.state != StateActive:
		return verdictRefuse
	case t.generation == of.generation:
		return verdictRotate
	case t.generation+1 == of.generation && of.age < graceFor:
		return verdictRepeat
	case t.generation < of.generation:
		return verdictReuse
	}
	return verdictRefuse // of a later generation: the database was set back
}

var errRefresh = &problem.Problem{Kind: problem.Unauthorized, Detail: "the refresh token is not valid, or its session has ended: sign in"}
