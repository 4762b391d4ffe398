package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"golang.org/x/sync/errgroup"
)

// mailServer is a mail server that can misbehave.
type mailServer struct {
	addr, ca string

	mu   sync.Mutex
	got  []string // letters that it took
	seen int      // letters that it read
	act  func(at string) error
}

// The steps at which a mail server can misbehave.
const atAuth, atFrom, atRcpt, atData, afterData = "AUTH", "MAIL", "RCPT", "DATA", "after DATA"

func newMailServer(t *testing.T, change ...func(*smtp.Server)) *mailServer {
	t.Helper()
	m := &mailServer{act: func(string) error { return nil }}
	certificate, ca := authority(t)
	m.ca = ca
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &mailSession{m, c}, nil }))
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.ErrorLog = nothing{}
	for _, c := range change {
		c(server)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.addr = listener.Addr().String()
	if server.Network == "tls" {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-ended })
	return m
}

type nothing struct{}

func (nothing) Printf(string, ...any) {}
func (nothing) Println(...any)        {}

// authority makes a certificate of 127.0.0.1 and the file of its authority.
func authority(t *testing.T) (certificate tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func (m *mailServer) at(step string) error {
	m.mu.Lock()
	act := m.act
	m.mu.Unlock()
	return act(step)
}

// does makes it misbehave, or with nil behave.
func (m *mailServer) does(act func(at string) error) {
	if act == nil {
		act = func(string) error { return nil }
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.act = act
}

func (m *mailServer) letters() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.got)
}

func (m *mailServer) reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen
}

type mailSession struct {
	*mailServer
	conn *smtp.Conn
}

var errClose = errors.New("close the connection")

// answers ends the connection if the server shall.
func (s *mailSession) answers(step string) error {
	err := s.at(step)
	if errors.Is(err, errClose) {
		_ = s.conn.Conn().Close()
	}
	return err
}

func (s *mailSession) Reset()                               {}
func (s *mailSession) Logout() error                        { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return s.answers(atFrom) }
func (s *mailSession) Rcpt(string, *smtp.RcptOptions) error { return s.answers(atRcpt) }
func (s *mailSession) AuthMechanisms() []string             { return []string{sasl.Plain} }

func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != "shop" || password != "canary-password" {
			return smtp.ErrAuthFailed
		}
		return s.answers(atAuth)
	}), nil
}

func (s *mailSession) Data(r io.Reader) error {
	if err := s.answers(atData); err != nil {
		return err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.seen++
	s.mu.Unlock()
	err = s.answers(afterData)
	if err == nil || errors.Is(err, errClose) { // it has the letter, and does not say so
		s.mu.Lock()
		s.got = append(s.got, string(text))
		s.mu.Unlock()
	}
	return err
}

// mailConfig is that of a shop that sends e-mails to a server.
func mailConfig(m *mailServer) Config {
	return Config{
		Shop: "Shop", SMTP: m.addr, SMTPTLS: tlsStart, SMTPCAFile: m.ca, From: "The Shop <noreply@shop.example>", SMTPUser: "shop", SMTPPassword: "canary-password",
		Timeout: 10 * time.Second,
	}
}

// mailer makes the channel of a configuration.
func mailer(t *testing.T, c Config) Sender {
	t.Helper()
	return senderOf(t, c, Email)
}

func theLetter(t *testing.T) Letter {
	t.Helper()
	letter, err := load(t, "").Letter(theReset("one"))
	if err != nil {
		t.Fatal(err)
	}
	return letter
}

func TestMailIsWhole(t *testing.T) {
	t.Parallel()
	server := newMailServer(t)
	letter := theLetter(t)
	letter.Subject = "Grüße: 中文"
	if err := mailer(t, mailConfig(server)).Send(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	got := server.letters()
	if len(got) != 1 {
		t.Fatalf("%d letters", len(got))
	}
	mail, err := netmail.ReadMessage(strings.NewReader(got[0]))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(mail.Header.Get("Subject"))
	if err != nil || subject != letter.Subject {
		t.Errorf("the subject is %q, %v", subject, err)
	}
	for header, want := range map[string]string{
		"From": `"The Shop" <noreply@shop.example>`, "To": "<canary@example.com>", "Message-Id": "<" + letter.ID + "@shop.example>",
		"Auto-Submitted": "auto-generated", "Content-Language": "en", "Cc": "", "Bcc": "", "User-Agent": "", "X-Mailer": "",
	} {
		if have := mail.Header.Get(header); have != want {
			t.Errorf("%s: %q, want %q", header, have, want)
		}
	}
	kind, params, err := mime.ParseMediaType(mail.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatal(kind, err)
	}
	parts := multipart.NewReader(mail.Body, params["boundary"])
	for _, want := range []struct{ kind, text string }{{"text/plain", letter.Text}, {"text/html", letter.HTML}} {
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		have := strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
		if kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil || kind != want.kind || have != strings.TrimSpace(want.text) {
			t.Errorf("%s: %q, %v, want %q", kind, have, err, want.text)
		}
	}
	if _, err := parts.NextPart(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more: %v", err)
	}
}

// Each way in which a mail server fails is known, and what it says is kept to itself.
func TestMailServersFail(t *testing.T) {
	t.Parallel()
	says := func(code int, enhanced ...int) error {
		e := &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: "no such user canary@example.com"}
		if len(enhanced) == 3 {
			e.EnhancedCode = smtp.EnhancedCode(enhanced)
		}
		return e
	}
	for name, c := range map[string]struct {
		at   string
		err  error
		want Failure
	}{
		"from refused":    {atFrom, says(550), Failure{Unreachable, "the mail server answers 550"}},
		"from unknown":    {atFrom, says(530, 5, 7, 0), Failure{Unreachable, "the mail server answers 530 5.7.0"}},
		"rcpt unknown":    {atRcpt, says(530, 5, 7, 0), Failure{Unreachable, "the mail server answers 530 5.7.0"}},
		"from put off":    {atFrom, says(451), Failure{PutOff, "the mail server answers 451"}},
		"data refused":    {atData, says(554, 5, 7, 1), Failure{Final, "the mail server answers 554 5.7.1"}},
		"rcpt refused":    {atRcpt, says(550, 5, 1, 1), Failure{Final, "the mail server answers 550 5.1.1"}},
		"rcpt put off":    {atRcpt, says(450, 4, 2, 1), Failure{PutOff, "the mail server answers 450 4.2.1"}},
		"rcpt closes":     {atRcpt, errClose, Failure{Unreachable, "the mail server did not answer: sending SMTP RCPT TO command"}},
		"letter refused":  {afterData, says(554, 5, 7, 1), Failure{Final, "the mail server answers 554 5.7.1"}},
		"letter put off":  {afterData, says(451), Failure{PutOff, "the mail server answers 451"}},
		"closes in DATA":  {atData, errClose, Failure{Unknown, "the mail server did not say whether it has the letter"}},
		"closes after it": {afterData, errClose, Failure{Unknown, "the mail server did not say whether it has the letter"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newMailServer(t)
			server.does(func(at string) error {
				if at == c.at {
					return c.err
				}
				return nil
			})
			channel := mailer(t, mailConfig(server))
			err := channel.Send(t.Context(), theLetter(t))
			failure := new(Failure)
			if !errors.As(err, &failure) || *failure != c.want {
				t.Errorf("%v, want %v", err, &c.want)
			}
			server.does(nil)
			if err := channel.Send(t.Context(), theLetter(t)); err != nil {
				t.Errorf("once it works: %v", err)
			}
		})
	}
}

// A mail server that hangs, at whatever step, costs the time of an attempt and not more.
func TestMailServersHang(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]Reason{atAuth: Unreachable, atFrom: Unreachable, atRcpt: Unreachable, atData: Unknown, afterData: Unknown} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			server := newMailServer(t)
			hung := make(chan struct{})
			t.Cleanup(func() { close(hung) })
			server.does(func(at string) error {
				if at == step {
					<-hung
				}
				return nil
			})
			cfg := mailConfig(server)
			cfg.Timeout = 500 * time.Millisecond
			began := time.Now()
			err := mailer(t, cfg).Send(t.Context(), theLetter(t))
			failure := new(Failure)
			if !errors.As(err, &failure) || failure.Reason != want {
				t.Errorf("%v, want %s", err, want)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cfg.Timeout = TimeoutMax
			time.AfterFunc(100*time.Millisecond, cancel)
			began = time.Now()
			if err := mailer(t, cfg).Send(ctx, theLetter(t)); !errors.As(err, &failure) {
				t.Error(err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it went on for %v after nobody waited", took)
			}
		})
	}
	t.Run("before it speaks", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		cfg := mailConfig(&mailServer{addr: listener.Addr().String()})
		cfg.Timeout = 200 * time.Millisecond
		failure := new(Failure)
		if err := mailer(t, cfg).Send(t.Context(), theLetter(t)); !errors.As(err, &failure) || *failure != (Failure{Unreachable, "the mail server does not answer in time"}) {
			t.Error(err)
		}
	})
}

// Nothing personal and no password goes over a connection that anybody could read.
func TestMailIsEncrypted(t *testing.T) {
	t.Parallel()
	plain := func(s *smtp.Server) { s.TLSConfig = nil; s.AllowInsecureAuth = true }
	implicit := func(s *smtp.Server) { s.Network = "tls" }
	for name, c := range map[string]struct {
		server func(*smtp.Server)
		change func(*Config)
		want   string // "" is success
	}{
		"starttls":        {func(*smtp.Server) {}, func(*Config) {}, ""},
		"no starttls":     {plain, func(*Config) {}, "the mail server has no STARTTLS, and --messages-smtp-tls wants it"},
		"none":            {plain, func(c *Config) { c.SMTPTLS = tlsNone; c.SMTPUser, c.SMTPPassword = "", "" }, ""},
		"implicit":        {implicit, func(c *Config) { c.SMTPTLS = tlsImplicit }, ""},
		"other authority": {func(*smtp.Server) {}, func(c *Config) { c.SMTPCAFile = "" }, "the mail server cannot be believed: its TLS fails"},
		"other, implicit": {implicit, func(c *Config) { c.SMTPTLS, c.SMTPCAFile = tlsImplicit, "" }, "the mail server cannot be believed: its TLS fails"},
		"plain, implicit": {plain, func(c *Config) { c.SMTPTLS = tlsImplicit }, "the mail server cannot be believed: its TLS fails"},
		"wrong password":  {func(*smtp.Server) {}, func(c *Config) { c.SMTPPassword = "canary-wrong" }, "the mail server refuses user and password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newMailServer(t, c.server)
			cfg := mailConfig(server)
			c.change(&cfg)
			err := mailer(t, cfg).Send(t.Context(), theLetter(t))
			if c.want == "" {
				if err != nil || len(server.letters()) != 1 {
					t.Errorf("%v, %d letters", err, len(server.letters()))
				}
				return
			}
			failure := new(Failure)
			if !errors.As(err, &failure) || *failure != (Failure{Unreachable, c.want}) || server.reads() > 0 {
				t.Errorf("%v, want %s; the server read %d letters", err, c.want, server.reads())
			}
		})
	}
}

// A letter that the server may have comes again with the same Message-ID, until it says that it has it. Nothing of it is in
// logs, metrics or tables meanwhile.
func TestMailComesAgain(t *testing.T) {
	t.Parallel()
	server := newMailServer(t)
	w := newWorld(t, func(o *Options) { o.Senders[Email] = mailer(t, mailConfig(server)) })
	steps := []error{errClose, &smtp.SMTPError{Code: 451, Message: "try canary@example.com again"}, nil}
	var mu sync.Mutex
	server.does(func(at string) (err error) {
		mu.Lock()
		defer mu.Unlock()
		if at == afterData {
			err, steps = steps[0], steps[1:]
		}
		return err
	})
	refused := theReset("refused")
	w.mustAdd(theReset("one"))
	w.start()
	w.await("it is sent", "SELECT COUNT(*) FROM notify_messages WHERE state = 'sent'", 1)
	got := server.letters()
	if len(got) != 2 || server.reads() != 3 {
		t.Fatalf("the server took %d of %d letters, want 2 of 3", len(got), server.reads())
	}
	ids := map[string]bool{}
	for _, text := range got {
		mail, err := netmail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		ids[mail.Header.Get("Message-Id")] = true
	}
	if len(ids) != 1 {
		t.Errorf("one letter has the ids %v", ids)
	}
	server.does(func(at string) error {
		if at == atRcpt {
			return &smtp.SMTPError{Code: 550, Message: "no such user canary@example.com"}
		}
		return nil
	})
	w.mustAdd(refused)
	w.await("it is refused", "SELECT COUNT(*) FROM notify_messages WHERE state = 'refused'", 1)
	for _, line := range []string{
		`sluice_catalog_notify_ended_messages_total{channel="email",outcome="sent"} 1`,
		`sluice_catalog_notify_ended_messages_total{channel="email",outcome="refused"} 1`,
		`sluice_catalog_notify_send_failures_total{channel="email",reason="unknown"} 1`,
		`sluice_catalog_notify_send_failures_total{channel="email",reason="put_off"} 1`,
		`sluice_catalog_notify_send_failures_total{channel="email",reason="refused"} 1`,
	} {
		w.hasMetric(line)
	}
	w.hasNoCanary()
}

// Many letters at once go over connections of their own.
func TestMailInParallel(t *testing.T) {
	t.Parallel()
	server := newMailServer(t)
	channel := mailer(t, mailConfig(server))
	letter := theLetter(t)
	var group errgroup.Group
	for range 20 {
		group.Go(func() error { return channel.Send(t.Context(), letter) })
	}
	if err := group.Wait(); err != nil || len(server.letters()) != 20 {
		t.Errorf("%v, %d letters", err, len(server.letters()))
	}
}
