// Package webhook sends signed messages to addresses that others have named: sellers' systems, gateways of messages. It signs
// as Standard Webhooks 1.0 has it, reaches no network that is not public, and follows nobody elsewhere. It keeps nothing, and
// sends once: a task of catalog/internal/task repeats.
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
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

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
	headerBytesMax = 16 << 10
	urlBytesMax    = 2048
	timeoutDefault = 15 * time.Second
	idleTimeout    = 30 * time.Second
)

// NewSecret draws a secret: whsec_ and its bytes in base64. The receiver has it too.
func NewSecret() config.Secret {
	var key [secretBytes]byte
	_, _ = rand.Read(key[:]) // it never fails
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
	ErrAddress = errors.New("the address may not be reached")
	// ErrGone means that the receiver wants no more: it has answered 410.
	ErrGone = errors.New("the receiver wants no more messages")
)

// AnswerError is an answer other than 2xx.
type AnswerError struct{ Status int }

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
}

// Sender sends messages. It is safe for concurrent use.
type Sender struct {
	networks []netip.Prefix
	agent    string
	client   *http.Client
	plain    *http.Transport
	secure   *http.Transport
}

// NewSender makes a sender, which its caller closes.
func NewSender(cfg Config) *Sender {
	if cfg.Timeout == 0 {
		cfg.Timeout = timeoutDefault
	}
	s := &Sender{networks: cfg.Networks, agent: "sluice/" + build.Read().Version}
	s.plain, s.secure = s.transport(cfg, s.own), s.transport(cfg, s.reachable)
	s.client = &http.Client{
		Transport: s, Timeout: cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

// RoundTrip implements http.RoundTripper: without TLS, only the shop's own networks are reached.
func (s *Sender) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return s.secure.RoundTrip(r)
	}
	return s.plain.RoundTrip(r)
}

// Close closes the connections that wait for further messages.
func (s *Sender) Close() {
	s.plain.CloseIdleConnections()
	s.secure.CloseIdleConnections()
}

// Check returns an error if no message can go to a URL, whatever its name stands for later.
func (s *Sender) Check(to string) error {
	_, err := s.parse(to)
	return err
}

func (s *Sender) parse(to string) (*url.URL, error) {
	u, err := url.Parse(to)
	switch {
	case err != nil || len(to) > urlBytesMax: // the error would quote it
		return nil, fmt.Errorf("%w: it is no URL of at most %d bytes", ErrAddress, urlBytesMax)
	case u.Scheme != "https" && (u.Scheme != "http" || len(s.networks) == 0):
		return nil, fmt.Errorf("%w: it is no https URL", ErrAddress)
	case u.User != nil || u.Fragment != "" || u.Opaque != "":
		return nil, fmt.Errorf("%w: it has a user, a password or a fragment", ErrAddress)
	case !hostForm.MatchString(u.Hostname()) && !strings.Contains(u.Hostname(), ":"):
		return nil, fmt.Errorf("%w: its host is no name in ASCII", ErrAddress)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%w: it has no port from 1 to 65535", ErrAddress)
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !s.reachable(ip) {
		return nil, fmt.Errorf("%w: its host is in no public network", ErrAddress)
	}
	return u, nil
}

// Send sends a message once, and returns nil if the receiver has taken it: it has answered 2xx. ErrAddress and ErrGone tell
// that repeating is in vain. After any other error, which may be an *AnswerError, the receiver may have it all the same. Errors have no URL, because
// receivers put secrets into theirs.
func (s *Sender) Send(ctx context.Context, m Message) error {
	to, err := s.parse(m.URL)
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
	answer, err := s.client.Do(request)
	if err != nil {
		if named := (*url.Error)(nil); errors.As(err, &named) {
			err = named.Err
		}
		return fmt.Errorf("send webhook %s: %w", m.ID, err)
	}
	_, _ = io.CopyN(io.Discard, answer.Body, answerBytesMax)
	_ = answer.Body.Close() // the status has said all
	switch {
	case answer.StatusCode == http.StatusGone:
		return fmt.Errorf("send webhook %s: %w", m.ID, ErrGone)
	case answer.StatusCode < 200 || answer.StatusCode > 299:
		return fmt.Errorf("send webhook %s: %w", m.ID, &AnswerError{answer.StatusCode})
	}
	return nil
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

// transport makes connections to addresses that may be reached, and to no proxy of the environment.
func (s *Sender) transport(cfg Config, may func(netip.Addr) bool) *http.Transport {
	dialer := &net.Dialer{Timeout: cfg.Timeout, ControlContext: guard(may)}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		TLSClientConfig:        tlsOf(cfg.Roots),
		TLSHandshakeTimeout:    cfg.Timeout,
		DisableCompression:     true,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: headerBytesMax,
	}
}
