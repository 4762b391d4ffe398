// Package webhook sends signed messages to addresses that others have named: sellers' systems, gateways of messages. It signs
// as Standard Webhooks 1.0 has it, to addresses that catalog/internal/reach lets it reach. It keeps nothing, and sends once: a task
// of catalog/internal/task repeats.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"sluice/catalog/internal/reach"
	"sluice/core/build"
	"sluice/core/config"
)

const (
	secretPrefix   = "whsec_"
	secretBytesMin = 24 // as the standard has it
	secretBytesMax = 64
	secretBytes    = 32 // of a new one

	bodyBytesMax   = 256 << 10
	answerBytesMax = 4 << 10 // read of an answer, so that its connection can be used again
	timeoutDefault = 15 * time.Second
)

// NewSecret draws a secret: whsec_ and its bytes in base64. The receiver has it too.
func NewSecret() config.Secret {
	var key [secretBytes]byte
	_, _ = rand.Read(key[:]) // it never fails
	return SecretOf(key)
}

// SecretOf is the secret that has bytes which nobody may guess.
func SecretOf(key [secretBytes]byte) config.Secret {
	return config.Secret(secretPrefix + base64.StdEncoding.EncodeToString(key[:]))
}

// CheckSecret returns an error if a text is no secret of a webhook: whsec_ and 24 to 64 bytes in base64.
func CheckSecret(secret config.Secret) error {
	_, err := keyOf(secret)
	return err
}

func keyOf(secret config.Secret) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret.Reveal(), secretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(key) < secretBytesMin || len(key) > secretBytesMax || strings.ContainsAny(encoded, "\r\n") {
		return nil, fmt.Errorf("the secret of a webhook is not %s and %d to %d bytes in base64", secretPrefix, secretBytesMin, secretBytesMax)
	}
	return key, nil
}

// Message is what is sent. Its ID is that of its effect, the same in all attempts: a receiver that has seen it drops it.
type Message struct {
	URL     string
	ID      string // 1 to 64 letters, digits, _ and -
	At      time.Time
	Body    []byte          // JSON
	Secrets []config.Secret // while they are changed, the new one and the old one: one signature each
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

var (
	// ErrAddress means that nothing was sent, because the address is none of those that may be reached.
	ErrAddress = reach.ErrAddress
	// ErrGone means that the receiver wants no more: it has answered 410.
	ErrGone = errors.New("the receiver wants no more messages")
)

// AnswerError is an answer other than 2xx.
type AnswerError struct {
	Status int
	// RetryAfter is how long the receiver asks to wait; 0: it does not say.
	RetryAfter time.Duration
}

// Error implements error.
func (e *AnswerError) Error() string { return "the receiver answered " + strconv.Itoa(e.Status) }

// Config says whom a Sender reaches.
type Config struct {
	// Networks are reached although they are not public, also without TLS: a shop's own. Defaults to none.
	Networks []netip.Prefix
	// Timeout is the time of an attempt. Defaults to 15 s.
	Timeout time.Duration
	// Roots are whose certificates it believes. Defaults to those of the system.
	Roots *x509.CertPool
	// Resolver looks up names. Defaults to that of the system.
	Resolver *net.Resolver
}

// Sender sends messages. It is safe for concurrent use.
type Sender struct {
	agent  string
	public bool
	client *reach.Client
}

// NewSender makes a sender, which its caller closes.
func NewSender(cfg Config) *Sender {
	if cfg.Timeout == 0 {
		cfg.Timeout = timeoutDefault
	}
	return &Sender{agent: "sluice/" + build.Read().Version, public: len(cfg.Networks) == 0, client: reach.New(reach.Config{Networks: cfg.Networks, Timeout: cfg.Timeout, Roots: cfg.Roots, Resolver: cfg.Resolver})}
}

// Close closes the connections that wait for further messages.
func (s *Sender) Close() { s.client.Close() }

// Public reports whether it reaches public networks only.
func (s *Sender) Public() bool { return s.public }

// Check returns an error if no message can go to a URL, whatever its name stands for later.
func (s *Sender) Check(to string) error { return s.client.Check(to) }

// Send sends a message once, and returns nil if the receiver has taken it: it has answered 2xx. ErrAddress and ErrGone tell
// that repeating is in vain. After any other error, which may be an *AnswerError, the receiver may have it all the same. Errors have no URL, because
// receivers put secrets into theirs.
func (s *Sender) Send(ctx context.Context, m Message) error {
	to, err := s.client.Parse(m.URL)
	if err != nil {
		return err
	}
	if !idForm.MatchString(m.ID) || len(m.Body) > bodyBytesMax || len(m.Secrets) == 0 {
		return fmt.Errorf("send webhook %.64q with %d bytes and %d secrets: want an id, at most %d bytes and a secret", m.ID, len(m.Body), len(m.Secrets), bodyBytesMax)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("%w: it makes no request", ErrAddress)
	}
	signatures, err := m.signatures()
	if err != nil {
		return fmt.Errorf("send webhook %s: %w", m.ID, err)
	}
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", s.agent)
	h.Set(standardwebhooks.HeaderWebhookID, m.ID)
	h.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(m.At.Unix(), 10))
	h.Set(standardwebhooks.HeaderWebhookSignature, signatures)
	answer, err := s.client.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("send webhook %s: %w", m.ID, reach.Bare(err))
	}
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytesMax)
	_ = answer.Body.Close() // the status has said all
	switch {
	case answer.StatusCode == http.StatusGone:
		return fmt.Errorf("send webhook %s: %w", m.ID, ErrGone)
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return fmt.Errorf("send webhook %s: %w", m.ID, &AnswerError{answer.StatusCode, retryAfter(answer.Header)})
	}
	return nil
}

// retryAfter is how long the receiver asks to wait, in seconds or until a time.
func retryAfter(h http.Header) time.Duration {
	said := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(said, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if until, err := http.ParseTime(said); err == nil {
		return max(0, time.Until(until))
	}
	return 0
}

// signatures is the value of the header webhook-signature: a signature by each secret.
func (m Message) signatures() (string, error) {
	all := make([]string, len(m.Secrets))
	for i, secret := range m.Secrets {
		key, err := keyOf(secret)
		if err != nil {
			return "", err
		}
		signer, err := standardwebhooks.NewWebhookRaw(key)
		if err == nil {
			all[i], err = signer.Sign(m.ID, m.At, m.Body)
		}
		if err != nil {
			return "", fmt.Errorf("sign: %w", err)
		}
	}
	return strings.Join(all, " "), nil
}
