package price

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/core/ids"
	"sluice/core/problem"
)

// Sealer makes texts of quotes that nobody else can make, and reads them. Whoever has a text can read it: it is no secret.
type Sealer struct{ key []byte }

const (
	secretBytes    = 32
	quoteLabel     = "sluice price quote 1" // another form of quotes has another one
	quoteBytesMax  = 256 << 10
	sealBytes      = sha256.Size
	sealedBytesMax = (quoteBytesMax+sealBytes)/3*4 + 4
)

// NewSealer takes a secret of 32 bytes. Its key is for quotes alone.
func NewSealer(secret []byte) (*Sealer, error) {
	if len(secret) != secretBytes {
		return nil, fmt.Errorf("the secret of quotes has %d bytes: want %d", len(secret), secretBytes)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, quoteLabel, secretBytes)
	if err != nil {
		return nil, fmt.Errorf("make key of quotes: %w", err)
	}
	return &Sealer{key}, nil
}

func (s *Sealer) mac(text []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	_, _ = h.Write(text) // a hash takes everything
	return h.Sum(nil)
}

// Seal makes the text of a quote. One whose amounts do not add up has none.
func (s *Sealer) Seal(q *Quote) (string, error) {
	if err := q.Check(); err != nil {
		return "", fmt.Errorf("seal quote: %w", err)
	}
	text, err := json.Marshal(q, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("seal quote: %w", err)
	}
	if len(text) > quoteBytesMax {
		return "", fmt.Errorf("seal quote: it has %d bytes, and at most %d", len(text), quoteBytesMax)
	}
	return base64.RawURLEncoding.EncodeToString(append(s.mac(text), text...)), nil
}

var errQuoteInvalid = &problem.Problem{Kind: quoteInvalid}

// Open reads the text of a quote of a user; a guest is 0. Nobody can tell a quote of somebody else from a text that is none.
func (s *Sealer) Open(sealed string, user ids.User, now time.Time) (Quote, error) {
	if len(sealed) > sealedBytesMax || strings.ContainsAny(sealed, "\r\n") { // the decoder would skip them
		return Quote{}, errQuoteInvalid
	}
	held, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(held) < sealBytes || !hmac.Equal(held[:sealBytes], s.mac(held[sealBytes:])) {
		return Quote{}, errQuoteInvalid
	}
	var q Quote
	if err := json.Unmarshal(held[sealBytes:], &q, json.RejectUnknownMembers(true)); err != nil {
		return Quote{}, fmt.Errorf("open quote: %w", err) // it was sealed here: that is a fault of the program
	}
	switch {
	case q.User != user:
		return Quote{}, errQuoteInvalid
	case !now.Before(q.Ends):
		return Quote{}, &problem.Problem{Kind: quoteExpired}
	}
	return q, nil
}
