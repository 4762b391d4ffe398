package auth

import (
	"errors"
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"
)

// VerifierConfig says which tokens a Verifier accepts.
type VerifierConfig struct {
	Issuer   string
	Audience string
	// CacheMax bounds how many verified tokens are remembered. Each takes its own length and about 100 bytes.
	// CacheMax is rounded up to a power of two.
	CacheMax int
	Shoppers *Shoppers // nil: only the keys of the file sign tokens
	Ended    *Ended    // nil: no session ends before its tokens
}

// Verifier verifies tokens. It verifies each token once and remembers it until it ends, or until newer tokens take
// its place. It is safe for concurrent use.
type Verifier struct {
	keys *Keys
	cfg  VerifierConfig
	seed maphash.Seed
	// sets remember the tokens. The hash of a token names the one set in which it may be. Look-ups take no lock, and
	// find all places of a set on one cache line.
	sets []set
}

const ways = 8

type set [ways]atomic.Pointer[cached]

type cached struct {
	hash    uint64
	expires int64
	Identity
	used  atomic.Bool // since the last search for a place passed over it
	token string      // the whole token, because two tokens may share a hash
}

// NewVerifier verifies with the given keys.
func NewVerifier(keys *Keys, cfg VerifierConfig) *Verifier {
	sets := 1 << bits.Len(uint(max(cfg.CacheMax-1, 0)/ways))
	return &Verifier{keys: keys, cfg: cfg, seed: maphash.MakeSeed(), sets: make([]set, sets)}
}

// Cached returns the identity of a token that was verified before. It allocates nothing and keeps nothing of token.
func (v *Verifier) Cached(token []byte, now time.Time) (Identity, bool) {
	hash := maphash.Bytes(v.seed, token)
	s := v.set(hash)
	for i := range s {
		c := s[i].Load()
		if c == nil || c.hash != hash || c.token != string(token) {
			continue
		}
		if now.Unix() >= c.expires || v.cfg.Ended.Has(c.Session, now) {
			return Identity{}, false
		}
		if !c.used.Load() {
			c.used.Store(true)
		}
		return c.Identity, true
	}
	return Identity{}, false
}

// Verify verifies a token from its signature on and remembers it. Errors wrap ErrToken.
func (v *Verifier) Verify(token []byte, now time.Time) (Identity, error) {
	text := string(token)
	identity, expires, err := v.keys.verify(text, v.cfg.Issuer, v.cfg.Audience, now)
	if errors.Is(err, errKeyID) && v.cfg.Shoppers != nil {
		identity, expires, err = v.cfg.Shoppers.verify(text, v.cfg.Issuer, v.cfg.Audience, now)
	}
	if err != nil {
		return Identity{}, err
	}
	if v.cfg.Ended.Has(identity.Session, now) {
		return Identity{}, ErrEnded
	}
	c := &cached{hash: maphash.Bytes(v.seed, token), expires: expires, Identity: identity, token: text}
	v.set(c.hash).put(c, now)
	return identity, nil
}

func (v *Verifier) set(hash uint64) *set { return &v.sets[hash%uint64(len(v.sets))] }

// put remembers a token in a free place. If there is none, it replaces a token that has ended, or one that nobody
// used for a long time. If two goroutines choose the same place at once, the token that loses it is verified again
// later.
func (s *set) put(c *cached, now time.Time) {
	for i := range s {
		if old := s[i].Load(); old == nil || now.Unix() >= old.expires {
			s[i].Store(c)
			return
		}
	}
	place := int(c.hash>>32) % ways // begins anywhere, so that no place is worse than another
	for range ways {
		if !s[place].Load().used.Swap(false) {
			break
		}
		place = (place + 1) % ways
	}
	s[place].Store(c)
}
