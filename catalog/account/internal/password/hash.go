package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"sluice/core/problem"
)

// cost is what a hash takes: OWASP's first choice for argon2id. Hashes of another cost still count, within the bounds of parse.
var cost = costs{memoryKiB: 19 << 10, passes: 2, lanes: 1}

type costs struct {
	memoryKiB, passes uint32
	lanes             uint8
}

const (
	saltBytes = 16
	sumBytes  = 32

	memoryKiBMax = 256 << 10
	passesMax    = 16
	// waitingMax is how many wait for each hash under way: the last one about half a second.
	waitingMax = 8
)

// Hasher makes and compares hashes, so many at once. Each takes 19 MiB and a core for tens of milliseconds.
type Hasher struct {
	running, admitted chan struct{}
	made              atomic.Int64
}

// Made is how many hashes were made.
func (h *Hasher) Made() int64 { return h.made.Load() }

// NewHasher makes a Hasher.
func NewHasher(atOnce int) *Hasher {
	return &Hasher{running: make(chan struct{}, atOnce), admitted: make(chan struct{}, atOnce*(1+waitingMax))}
}

// Salt draws a salt.
func Salt() (salt [saltBytes]byte) {
	_, _ = rand.Read(salt[:]) // it never fails
	return salt
}

// Hash returns what is kept of a password, as a PHC string.
func (h *Hasher) Hash(ctx context.Context, p Password, salt [saltBytes]byte) (string, error) {
	sum, err := h.sum(ctx, p, salt[:], cost)
	if err != nil {
		return "", err
	}
	return phc(cost, salt[:], sum), nil
}

// phc writes a PHC string.
func phc(of costs, salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, of.memoryKiB, of.passes, of.lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

// Verify reports whether a password is the one of a hash. The empty hash is nobody's: it is no password's, and takes as long.
func (h *Hasher) Verify(ctx context.Context, p Password, hash string) (bool, error) {
	of, salt, want := cost, make([]byte, saltBytes), make([]byte, sumBytes)
	if hash != "" {
		var err error
		if of, salt, want, err = parse(hash); err != nil {
			return false, err
		}
	}
	sum, err := h.sum(ctx, p, salt, of)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(sum, want) == 1 && hash != "", nil
}

// sum waits for its turn. With too many before it, it refuses at once.
func (h *Hasher) sum(ctx context.Context, p Password, salt []byte, of costs) ([]byte, error) {
	select {
	case h.admitted <- struct{}{}:
		defer func() { <-h.admitted }()
	default:
		return nil, &problem.Problem{Kind: problem.Overloaded}
	}
	select {
	case h.running <- struct{}{}:
		defer func() { <-h.running }()
	case <-ctx.Done():
		return nil, &problem.Problem{Kind: problem.Overloaded}
	}
	h.made.Add(1)
	return argon2.IDKey([]byte(p.text), salt, of.passes, of.memoryKiB, of.lanes, sumBytes), nil
}

// Old reports whether a hash is of another cost than those made today.
func Old(hash string) bool {
	of, _, _, err := parse(hash)
	return err == nil && of != cost
}

var errHash = errors.New("a hash of a password that is kept cannot be read")

// parse reads a PHC string. Its bounds keep a row that somebody edited from taking all memory.
func parse(hash string) (of costs, salt, sum []byte, err error) {
	var version int
	var rest string
	if n, err := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &of.memoryKiB, &of.passes, &of.lanes, &rest); n != 5 || err != nil {
		return of, nil, nil, errHash
	}
	first, second, _ := strings.Cut(rest, "$")
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(first)
	sum, err2 := base64.RawStdEncoding.Strict().DecodeString(second)
	if errors.Join(err1, err2) != nil || phc(of, salt, sum) != hash || len(salt) < 8 || len(salt) > 64 || len(sum) != sumBytes ||
		of.memoryKiB < 8 || of.memoryKiB > memoryKiBMax || of.passes < 1 || of.passes > passesMax || of.lanes < 1 || of.lanes > math.MaxInt8 {
		return of, nil, nil, errHash
	}
	return of, salt, sum, nil
}
