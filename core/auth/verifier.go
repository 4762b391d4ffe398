package auth

import (
	"hash/maphash"
	"sync"
	"time"
)

// cacheShards spreads the locks; a power of two.
const cacheShards = 64

// VerifierConfig is what a Verifier expects of tokens.
type VerifierConfig struct {
	Issuer   string
	Audience string
	// CacheMax bounds the verified tokens that are remembered, each about its own length and 100 bytes.
	CacheMax int
}

// Verifier verifies tokens, each once: a verified token is remembered until it ends, or until newer
// ones push it out. It is safe for concurrent use.
type Verifier struct {
	keys   *Keys
	cfg    VerifierConfig
	seed   maphash.Seed
	shards [cacheShards]cacheShard
}

// cacheShard has two generations: when the young one is full it becomes the old one, and what nobody
// used since is forgotten.
type cacheShard struct {
	mu    sync.RWMutex
	young map[uint64]cached
	old   map[uint64]cached
	_     [40]byte // keeps the locks on cache lines of their own
}

type cached struct {
	token   string // the whole of it: two tokens may share a hash
	expires int64
	Identity
}

// NewVerifier verifies with the given keys.
func NewVerifier(keys *Keys, cfg VerifierConfig) *Verifier {
	return &Verifier{keys: keys, cfg: cfg, seed: maphash.MakeSeed()}
}

// Cached looks a token up among those verified before. It allocates nothing and keeps nothing of token.
func (v *Verifier) Cached(token []byte, now time.Time) (Identity, bool) {
	hash := maphash.Bytes(v.seed, token)
	s := &v.shards[hash%cacheShards]
	s.mu.RLock()
	c, ok := s.young[hash]
	fresh := ok
	if !ok {
		c, ok = s.old[hash]
	}
	s.mu.RUnlock()
	if !ok || c.token != string(token) || now.Unix() >= c.expires {
		return Identity{}, false
	}
	if !fresh {
		v.remember(s, hash, c)
	}
	return c.Identity, true
}

// Verify verifies a token from its signature on and remembers it. Errors wrap ErrToken.
func (v *Verifier) Verify(token []byte, now time.Time) (Identity, error) {
	text := string(token)
	identity, expires, err := v.keys.verify(text, v.cfg.Issuer, v.cfg.Audience, now)
	if err != nil {
		return Identity{}, err
	}
	hash := maphash.Bytes(v.seed, token)
	v.remember(&v.shards[hash%cacheShards], hash, cached{token: text, expires: expires, Identity: identity})
	return identity, nil
}

func (v *Verifier) remember(s *cacheShard, hash uint64, c cached) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.young == nil || len(s.young) >= v.cfg.CacheMax/(2*cacheShards)+1 {
		s.old, s.young = s.young, make(map[uint64]cached)
	}
	s.young[hash] = c
}
