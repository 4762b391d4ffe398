package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// The ways to encrypt the connection to a mail server.
const (
	tlsStart    = "starttls"
	tlsImplicit = "implicit"
	tlsNone     = "none"
)

// smtpSender hands e-mails over to a mail server, each on a connection of its own.
type smtpSender struct {
	host     string
	port     int
	tls      *tls.Config // nil: the connection is not encrypted
	implicit bool
	user     string
	password string
	from     string
	domain   string // of message ids
	timeout  time.Duration
}

// Send implements Sender. A receiver drops the twin of a letter by its Message-ID.
func (s *smtpSender) Send(ctx context.Context, letter Letter) error {
	message, err := s.message(letter)
	if err != nil {
		return &Failure{Final, "the e-mail cannot be written"} // the error quotes the recipient
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	end := func() {} // the library leaves a connection open that never became a session
	defer func() { end() }()
	client, err := s.client(func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(dialing, network, address)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // a server may send a byte now and then for ever
			end = func() { stop(); _ = conn.Close() }
		}
		return conn, err
	})
	if err != nil {
		return &Failure{Unreachable, "the settings of the mail server are not complete"}
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return unreachable(ctx, err)
	}
	err = client.SendWithSMTPClient(session, message)
	if message.IsDelivered() { // whatever happens to the session later
		_ = client.CloseWithSMTPClient(session)
		return nil
	}
	return failed(err)
}

func (s *smtpSender) client(dial mail.DialContextFunc) (*mail.Client, error) {
	options := []mail.Option{mail.WithPort(s.port), mail.WithTimeout(s.timeout), mail.WithHELO(s.domain), mail.WithDialContextFunc(dial), mail.WithoutNoop()}
	switch {
	case s.tls == nil:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	case s.implicit:
		options = append(options, mail.WithSSL(), mail.WithTLSConfig(s.tls))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTLSConfig(s.tls))
	}
	if s.user != "" {
		options = append(options, mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin), mail.WithUsername(s.user), mail.WithPassword(s.password))
	}
	return mail.NewClient(s.host, options...)
}

func (s *smtpSender) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if s.implicit {
		return (&tls.Dialer{Config: s.tls}).DialContext(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (s *smtpSender) message(letter Letter) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(m.From(s.from), m.To(letter.To)); err != nil {
		return nil, err
	}
	m.Subject(letter.Subject)
	m.SetMessageIDWithValue(letter.ID + "@" + s.domain)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // no holiday answers
	m.SetGenHeader(mail.HeaderContentLang, letter.Locale)
	m.SetBodyString(mail.TypeTextPlain, letter.Text)
	m.AddAlternativeString(mail.TypeTextHTML, letter.HTML)
	return m, nil
}

// unreachable is the failure of a session that did not begin.
func unreachable(ctx context.Context, err error) *Failure {
	var timeout net.Error
	switch {
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return &Failure{Unreachable, "the mail server does not answer in time"}
	case isTLS(err):
		return &Failure{Unreachable, "the mail server cannot be believed: its TLS fails"}
	case strings.Contains(err.Error(), "STARTTLS"):
		return &Failure{Unreachable, "the mail server has no STARTTLS, and --messages-smtp-tls wants it"}
	case strings.Contains(err.Error(), "AUTH"):
		return &Failure{Unreachable, "the mail server refuses user and password"}
	}
	return &Failure{Unreachable, "there is no session with the mail server"}
}

func isTLS(err error) bool {
	var unverified *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &unverified) || errors.As(err, &record) || errors.As(err, &alert)
}

// failed is the failure of a letter in a session. Without an answer of the server to the whole letter nobody knows whether
// it has it.
func failed(err error) *Failure {
	var sent *mail.SendError
	if !errors.As(err, &sent) {
		return &Failure{Unreachable, "the mail server ended the session"}
	}
	switch code := sent.ErrorCode(); {
	case code >= 500 && ofLetter(code, sent.Reason):
		return &Failure{Final, "the mail server answers " + answer(code, sent)}
	case code >= 500: // it refuses the shop, whatever the letter: somebody corrects the settings or the server
		return &Failure{Unreachable, "the mail server answers " + answer(code, sent)}
	case code >= 400:
		return &Failure{PutOff, "the mail server answers " + answer(code, sent)}
	case sent.Reason == mail.ErrSMTPDataClose, sent.Reason == mail.ErrWriteContent:
		return &Failure{Unknown, "the mail server did not say whether it has the letter"}
	}
	return &Failure{Unreachable, fmt.Sprintf("the mail server did not answer: %v", sent.Reason)}
}

// ofLetter reports whether an answer is about the letter or its recipient, and not about who sends it. RFC 4954 has the codes that
// a server gives to who is not signed in, at whatever step.
func ofLetter(code int, at mail.SendErrReason) bool {
	switch code {
	case 530, 534, 535, 538:
		return false
	}
	return at == mail.ErrSMTPRcptTo || at == mail.ErrSMTPDataClose || at == mail.ErrWriteContent
}

func answer(code int, sent *mail.SendError) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + sent.EnhancedStatusCode())
}
