package walkthrough

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"sluice/catalog/notify"
)

// These make the test binary a mail server: a directory for its letters, the address of SMTP, and that of the page that shows them.
const mailDirEnv, mailSMTPEnv, mailPageEnv = "SLUICE_TEST_MAIL_DIR", "SLUICE_TEST_MAIL_SMTP", "SLUICE_TEST_MAIL_PAGE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(mailDirEnv); dir != "" {
		fmt.Fprintln(os.Stderr, serveMail(dir, os.Getenv(mailSMTPEnv), os.Getenv(mailPageEnv)))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serveMail is a mail server that keeps its letters in files, and shows them as the shop of sluice dev does.
func serveMail(dir, at, page string) error {
	kept := &mailbox{dir: dir, shown: new(notify.Inbox)}
	if err := kept.load(); err != nil {
		return err
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{box: kept}, nil }))
	server.Addr = at
	listener, err := net.Listen("tcp", page)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, kept.shown) }()
	return server.ListenAndServe()
}

// mailbox has what a mail server took. A letter that comes again is there once.
type mailbox struct {
	dir   string
	shown *notify.Inbox
}

func (b *mailbox) load() error {
	files, err := filepath.Glob(filepath.Join(b.dir, "*.eml"))
	if err != nil {
		return err
	}
	for _, file := range files { // their names begin with numbers, in their order
		if err := b.show(file); err != nil {
			return err
		}
	}
	return nil
}

// keep writes a letter down before the shop hears that it is taken.
func (b *mailbox) keep(letter io.Reader) error {
	text, err := io.ReadAll(letter)
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(b.dir, "*.eml"))
	if err != nil {
		return err
	}
	hash := sha256.Sum256(text)
	path := filepath.Join(b.dir, fmt.Sprintf("%06d-%s.eml", len(files), hex.EncodeToString(hash[:4])))
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return b.show(path)
}

func (b *mailbox) show(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	letter, err := mail.ReadMessage(file)
	if err != nil {
		return err
	}
	to, err := mail.ParseAddress(letter.Header.Get("To"))
	if err != nil {
		return err
	}
	_, form, err := mime.ParseMediaType(letter.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	part, err := multipart.NewReader(letter.Body, form["boundary"]).NextPart() // the plain one comes first
	if err != nil {
		return err
	}
	text, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	return b.shown.Send(nil, notify.Letter{ID: letter.Header.Get("Message-ID"), To: to.Address, Text: strings.ReplaceAll(string(text), "\r\n", "\n")}) //nolint:staticcheck // it looks at no context
}

// delivery is a session of the shop.
type delivery struct{ box *mailbox }

func (*delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (*delivery) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (d *delivery) Data(r io.Reader) error             { return d.box.keep(r) }
func (*delivery) Reset()                               {}
func (*delivery) Logout() error                        { return nil }
