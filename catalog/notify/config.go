package notify

import (
	"crypto/tls"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"sluice/catalog/internal/reach"
	"sluice/catalog/internal/webhook"
	"sluice/core/config"
)

// Config says how messages reach people, and how many.
type Config struct {
	Shop     string `name:"messages-shop" env:"SLUICE_MESSAGES_SHOP" group:"Messages" default:"sluice"`
	TextsDir string `name:"messages-texts-dir" env:"SLUICE_MESSAGES_TEXTS_DIR" group:"Messages" placeholder:"PATH"`
	Inbox    bool   `name:"messages-inbox" env:"SLUICE_MESSAGES_INBOX" group:"Messages"`

	From             string        `name:"messages-from" env:"SLUICE_MESSAGES_FROM" group:"Messages" placeholder:"ADDRESS"`
	SMTP             string        `name:"messages-smtp" env:"SLUICE_MESSAGES_SMTP" group:"Messages" placeholder:"HOST:PORT"`
	SMTPTLS          string        `name:"messages-smtp-tls" env:"SLUICE_MESSAGES_SMTP_TLS" group:"Messages" default:"starttls"`
	SMTPCAFile       string        `name:"messages-smtp-ca-file" env:"SLUICE_MESSAGES_SMTP_CA_FILE" group:"Messages" placeholder:"PATH"`
	SMTPUser         string        `name:"messages-smtp-user" env:"SLUICE_MESSAGES_SMTP_USER" group:"Messages" placeholder:"NAME"`
	SMTPPassword     config.Secret `kong:"-" env:"SLUICE_MESSAGES_SMTP_PASSWORD" group:"Messages" help:"Password of the user at the mail server."`
	SMTPPasswordFile string        `name:"messages-smtp-password-file" private:"" env:"SLUICE_MESSAGES_SMTP_PASSWORD_FILE" group:"Messages" placeholder:"PATH"`

	Webhook           config.Secret `kong:"-" env:"SLUICE_MESSAGES_WEBHOOK" group:"Messages" help:"Address of the gateway for short messages, as https://host/path."`
	WebhookFile       string        `name:"messages-webhook-file" private:"" env:"SLUICE_MESSAGES_WEBHOOK_FILE" group:"Messages" placeholder:"PATH"`
	WebhookSecret     config.Secret `kong:"-" env:"SLUICE_MESSAGES_WEBHOOK_SECRET" group:"Messages" help:"Secret that signs what the gateway gets, as whsec_ and the base64 of random bytes."`
	WebhookSecretFile string        `name:"messages-webhook-secret-file" private:"" env:"SLUICE_MESSAGES_WEBHOOK_SECRET_FILE" group:"Messages" placeholder:"PATH"`
	WebhookNetworks   []string      `name:"messages-webhook-networks" env:"SLUICE_MESSAGES_WEBHOOK_NETWORKS" group:"Messages" placeholder:"CIDR"`

	Timeout time.Duration `name:"messages-timeout" env:"SLUICE_MESSAGES_TIMEOUT" group:"Messages" default:"15s"`

	PerRecipient int `name:"messages-per-recipient" env:"SLUICE_MESSAGES_PER_RECIPIENT" group:"Messages" default:"5"`
	PerAddress   int `name:"messages-per-address" env:"SLUICE_MESSAGES_PER_ADDRESS" group:"Messages" default:"50"`
	PerCountry   int `name:"messages-per-country" env:"SLUICE_MESSAGES_PER_COUNTRY" group:"Messages" default:"10000"`
	PerDay       int `name:"messages-per-day" env:"SLUICE_MESSAGES_PER_DAY" group:"Messages" default:"50000"`
}

// TimeoutMax is what an attempt to send takes at most.
const TimeoutMax = 30 * time.Second

// Validate joins all faults of the group, those of the files that it names included.
func (c Config) Validate() error {
	var f config.Faults
	if n := utf8.RuneCountInString(c.Shop); n == 0 || n > phraseMax || strings.ContainsFunc(c.Shop, isControl) {
		f.Add("messages-shop", strconv.Quote(c.Shop), "a name of 1 to 100 characters")
	}
	if _, err := LoadTexts(c.Shop, c.TextsDir); err != nil {
		f.Add("messages-texts-dir", err, "texts in the form of docs/messages.md")
	}
	config.OneOf(&f, "messages-smtp-tls", c.SMTPTLS, tlsStart, tlsImplicit, tlsNone)
	if c.SMTP != "" {
		config.HostPort(&f, "messages-smtp", c.SMTP)
		if _, err := mail.ParseAddress(c.From); err != nil {
			f.Add("messages-from", strconv.Quote(c.From), `the sender of e-mails, such as "Shop <shop@shop.example>"`)
		}
		if (c.SMTPUser == "") != (c.SMTPPassword == "" && c.SMTPPasswordFile == "") {
			f.Missing("messages-smtp-user", "both --messages-smtp-user and --messages-smtp-password-file (or SLUICE_MESSAGES_SMTP_PASSWORD), or neither")
		}
		if c.SMTPUser != "" && c.SMTPTLS == tlsNone {
			f.Add("messages-smtp-user", strconv.Quote(c.SMTPUser), "none: without TLS everybody on the way reads the password")
		}
	}
	if !config.ReadOnce(c.SMTPCAFile) && !config.ReadOnce(c.SMTPPasswordFile) {
		_, err := c.smtp()
		f.Include(err)
	}
	if !config.ReadOnce(c.WebhookFile) && !config.ReadOnce(c.WebhookSecretFile) {
		if gateway, err := c.gateway(); err != nil {
			f.Include(err)
		} else if gateway != nil {
			gateway.sender.Close()
		}
	}
	config.Between(&f, "messages-timeout", c.Timeout, 100*time.Millisecond, TimeoutMax)
	for _, s := range []struct {
		setting string
		most    int
	}{
		{"messages-per-recipient", c.PerRecipient}, {"messages-per-address", c.PerAddress}, {"messages-per-country", c.PerCountry}, {"messages-per-day", c.PerDay},
	} {
		config.Between(&f, s.setting, s.most, 0, 1_000_000_000)
	}
	return f.Err()
}

// Caps are those of the settings.
func (c Config) Caps() Caps {
	return Caps{PerRecipient: c.PerRecipient, PerAddress: c.PerAddress, PerCountry: c.PerCountry, PerDay: c.PerDay}
}

// Channels are the channels of the settings.
type Channels struct {
	Senders map[Channel]Sender
	Inbox   *Inbox // nil without one
	gateway *gateway
}

// Close closes idle connections.
func (c Channels) Close() {
	if c.gateway != nil {
		c.gateway.sender.Close()
	}
}

// Open makes the channels. An inbox takes what has no other way. The caller closes them.
func (c Config) Open() (Channels, error) {
	channels := Channels{Senders: map[Channel]Sender{}}
	if c.Inbox {
		channels.Inbox = new(Inbox)
		channels.Senders[Email], channels.Senders[SMS] = channels.Inbox, channels.Inbox
	}
	mailer, mailErr := c.smtp()
	gateway, gatewayErr := c.gateway()
	if err := errors.Join(mailErr, gatewayErr); err != nil {
		return Channels{}, err
	}
	if mailer != nil {
		channels.Senders[Email] = mailer
	}
	if gateway != nil {
		channels.gateway, channels.Senders[SMS] = gateway, gateway
	}
	return channels, nil
}

// smtp is nil if the settings name no mail server.
func (c Config) smtp() (*smtpSender, error) {
	if c.SMTP == "" {
		return nil, nil //nolint:nilnil // no mail server is a valid choice
	}
	host, port, err := net.SplitHostPort(c.SMTP)
	number, numberErr := strconv.ParseUint(port, 10, 16)
	from, fromErr := mail.ParseAddress(c.From)
	if err := errors.Join(err, numberErr, fromErr); err != nil {
		return nil, errors.New("messages-smtp: want host:port of the mail server, with a sender in --messages-from")
	}
	password, err := c.SMTPPassword.FromFile("messages-smtp-password-file", c.SMTPPasswordFile)
	if err != nil {
		return nil, err
	}
	s := &smtpSender{
		host: host, port: int(number), implicit: c.SMTPTLS == tlsImplicit, user: c.SMTPUser, password: password.Reveal(),
		from: from.String(), domain: from.Address[strings.LastIndexByte(from.Address, '@')+1:], timeout: c.Timeout,
	}
	if c.SMTPTLS != tlsNone {
		if s.tls, err = config.ClientTLS("messages-smtp-ca-file", c.SMTPCAFile); err != nil {
			return nil, err
		}
		if s.tls == nil {
			s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		s.tls.ServerName = host
	}
	return s, nil
}

// gateway is nil if the settings name no gateway.
func (c Config) gateway() (*gateway, error) {
	address, err := c.Webhook.FromFile("messages-webhook-file", c.WebhookFile)
	if err != nil || address == "" {
		return nil, err
	}
	lines, err := c.WebhookSecret.FromFile("messages-webhook-secret-file", c.WebhookSecretFile)
	if err != nil {
		return nil, err
	}
	var secrets []config.Secret
	for line := range strings.FieldsSeq(lines.Reveal()) {
		secret := config.Secret(line)
		if err := webhook.CheckSecret(secret); err != nil {
			return nil, fmt.Errorf("messages-webhook-secret-file: %w", err)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("messages-webhook-secret-file: missing: want the secret that signs messages to the gateway, whsec_ and the base64 of random bytes")
	}
	networks, err := reach.Networks("messages-webhook-networks", c.WebhookNetworks)
	if err != nil {
		return nil, err
	}
	sender := webhook.NewSender(webhook.Config{Networks: networks, Timeout: c.Timeout})
	if err := sender.Check(address.Reveal()); err != nil { // it does not have the address
		sender.Close()
		return nil, fmt.Errorf("messages-webhook-file: %w", err)
	}
	return &gateway{sender, address, secrets}, nil
}

//go:embed settings.txt
var settings string

var texts = config.ParseTexts(settings)

// Texts are those of the group.
func (Config) Texts() config.Texts { return texts }
