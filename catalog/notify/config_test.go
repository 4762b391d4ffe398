package notify

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestConfigurationsOfMessages(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{Shop: "Shop", SMTPTLS: tlsStart, Timeout: time.Second}
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	address, secret := file("address", "https://gateway.example/canary\n"), file("secret", "whsec_"+strings.Repeat("QUFB", 8)+"\n")
	for want, change := range map[string]func(*Config){
		"":                   func(*Config) {},
		"messages-shop":      func(c *Config) { c.Shop = "a\nb" },
		"messages-texts-dir": func(c *Config) { c.TextsDir = filepath.Join(dir, "none") },
		"messages-smtp-tls":  func(c *Config) { c.SMTPTLS = "never" },
		"messages-smtp: ":    func(c *Config) { c.SMTP, c.From = "mail.example", "a@b.example" },
		"messages-from":      func(c *Config) { c.SMTP = "mail.example:25" },
		"messages-smtp-user": func(c *Config) { c.SMTP, c.From, c.SMTPUser = "mail.example:25", "a@b.example", "shop" },
		"messages-smtp-user: \"shop\"": func(c *Config) {
			c.SMTP, c.From, c.SMTPUser, c.SMTPPassword, c.SMTPTLS = "mail.example:25", "a@b.example", "shop", "canary", tlsNone
		},
		"messages-smtp-ca-file": func(c *Config) { c.SMTP, c.From, c.SMTPCAFile = "mail.example:25", "a@b.example", secret },
		"messages-smtp-password": func(c *Config) {
			c.SMTP, c.From, c.SMTPUser, c.SMTPPasswordFile = "mail.example:25", "a@b.example", "shop", filepath.Join(dir, "none")
		},
		"messages-webhook-file":                    func(c *Config) { c.Webhook, c.WebhookSecretFile = "http://gateway.example/canary", secret },
		"messages-webhook-secret-file: missing":    func(c *Config) { c.WebhookFile = address },
		"messages-webhook-secret-file: the secret": func(c *Config) { c.WebhookFile, c.WebhookSecret = address, "whsec_canary" },
		"messages-webhook-networks": func(c *Config) {
			c.WebhookFile, c.WebhookSecretFile, c.WebhookNetworks = address, secret, []string{"10.0.0.1"}
		},
		"messages-timeout": func(c *Config) { c.Timeout = TimeoutMax + 1 },
		"messages-per-day": func(c *Config) { c.PerDay = -1 },
	} {
		c := good()
		change(&c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	c := good()
	c.WebhookFile, c.WebhookSecretFile, c.Inbox = address, secret, true
	channels, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(channels.Close)
	if channels.Senders[Email] != Sender(channels.Inbox) || channels.Senders[SMS] == Sender(channels.Inbox) {
		t.Error("the inbox does not take what has no other way")
	}
}
