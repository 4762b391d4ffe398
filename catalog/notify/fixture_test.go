package notify

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"go.uber.org/goleak"

	"sluice/catalog/internal/task"
	"sluice/core/config"
	"sluice/core/db"
	"sluice/core/ids"
	"sluice/core/local/servicetest"
	"sluice/core/place"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(dsnEnv); dsn != "" {
		killedShop(dsn, os.Getenv(stepEnv), os.Getenv(gatewayEnv))
	}
	goleak.VerifyTestMain(servicetest.Main(m))
}

// key is a sealer with one key for all users.
type key struct {
	mu     sync.Mutex
	erased map[ids.User]bool
}

var testKey = sha256.Sum256([]byte("a key of tests"))

func sealing() cipher.AEAD {
	block, err := aes.NewCipher(testKey[:])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func (k *key) Seal(_ context.Context, _ *sql.Tx, user ids.User, row int64, plain []byte) ([]byte, error) {
	return sealing().Seal(nil, nil, plain, fmt.Append(nil, user, row)), nil
}

func (k *key) Open(_ context.Context, user ids.User, row int64, sealed []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.erased[user] {
		return nil, ErrErased
	}
	return sealing().Open(nil, nil, sealed, fmt.Append(nil, user, row))
}

func (k *key) Index(name, value string) [32]byte {
	h := hmac.New(sha256.New, testKey[:])
	h.Write([]byte(name + " " + value))
	return [32]byte(h.Sum(nil))
}

// world is a place with messages, and a worker for their tasks.
type world struct {
	*testing.T
	dsn string
	place.Place
	*Messages
	key   *key
	inbox *Inbox
	set   *metrics.Set
	logs  lines
	every time.Duration // between attempts
}

// newWorld makes a database with the tables. Unless a test changes it, an inbox takes all letters and there are no caps.
func newWorld(t *testing.T, change ...func(*Options)) *world {
	t.Helper()
	dsn := servicetest.MariaDB(t)
	w := &world{T: t, dsn: dsn, Place: openPlace(dsn, ""), key: &key{erased: map[ids.User]bool{}}, inbox: new(Inbox), set: metrics.NewSet(), every: time.Millisecond}
	t.Cleanup(func() { _ = w.Close() })
	if _, err := Schema().At("").Migrate(t.Context(), w.Writer(), slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	texts, err := LoadTexts("Shop", "")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Counts: w.Place, Sealer: w.key, Texts: texts, Senders: map[Channel]Sender{Email: w.inbox, SMS: w.inbox},
		Metrics: w.set, Log: slog.New(slog.NewTextHandler(&w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&o)
	}
	w.Messages = New(o)
	return w
}

func openPlace(dsn, suffix string) place.Place {
	pool, err := db.Config{DSN: config.Secret(dsn), ConnsMax: 20, Timeout: time.Minute}.OpenUnchecked()
	if err != nil {
		panic(err)
	}
	return place.Place{Copies: db.NewCopies("shop", pool, nil, 0, slog.New(slog.DiscardHandler)), Name: "shop" + suffix, Suffix: suffix}
}

func (w *world) exec(statement string, values ...any) {
	w.Helper()
	if _, err := w.Writer().ExecContext(w.Context(), statement, values...); err != nil {
		w.Fatal(statement, err)
	}
}

func (w *world) count(query string, values ...any) (n int) {
	w.Helper()
	if err := w.Writer().QueryRowContext(w.Context(), query, values...).Scan(&n); err != nil {
		w.Fatal(query, err)
	}
	return n
}

func (w *world) await(what, query string, want int) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); w.Messages != nil; time.Sleep(5 * time.Millisecond) {
		n := w.count(query)
		if n == want {
			return
		}
		if time.Now().After(end) {
			w.Fatalf("waited in vain: %s: %d, want %d\n%s", what, n, want, w.logs.String())
		}
	}
}

// add adds messages in a transaction of their own.
func (w *world) add(all ...Message) error {
	return db.Write(w.Context(), w.Writer(), "messages", func(tx *sql.Tx) error {
		for _, m := range all {
			if err := w.Add(w.Context(), tx, w.Place, m); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *world) mustAdd(all ...Message) {
	w.Helper()
	if err := w.add(all...); err != nil {
		w.Fatal(err)
	}
}

// start runs a worker until the test ends, or until stop.
func (w *world) start() (stop func()) {
	w.Helper()
	worker := task.NewWorker(task.Config{
		Owner: owner, Places: []place.Place{w.Place}, Every: 10 * time.Millisecond, PauseFirst: w.every, PauseMax: 20 * time.Millisecond, AttemptsMax: 1000,
		Metrics: metrics.NewSet(), Log: w.o.Log,
		Handlers: w.Work().Tasks,
	})
	ctx, cancel := context.WithCancel(w.Context())
	ended := make(chan struct{})
	go func() { worker.Run(ctx); close(ended) }()
	stop = sync.OnceFunc(func() { cancel(); <-ended })
	w.Cleanup(stop)
	return stop
}

// page is what the process shows of its metrics.
func (w *world) page() string {
	var b bytes.Buffer
	w.set.WritePrometheus(&b)
	return b.String()
}

// hasMetric waits for a line: what a row has is counted after the row is written.
func (w *world) hasMetric(line string) {
	w.Helper()
	for end := time.Now().Add(30 * time.Second); !strings.Contains(w.page(), line+"\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("the metrics lack %s:\n%s", line, w.page())
		}
	}
}

// theCode is a message with a code by SMS, and theReset one by e-mail. What is personal in them is a canary.
func theCode(event string) Message {
	return Message{Event: event, User: 7, Template: "sign_in_code", Channel: SMS, Locale: "de", To: "+4915100077777", Values: map[string]string{"code": "canary99", "minutes": "10"}}
}

func theReset(event string) Message {
	return Message{Event: event, User: 7, Template: "reset_password", Channel: Email, Locale: "en", To: "canary@example.com", Values: map[string]string{"code": "canary42", "minutes": "10"}}
}

var canaries = []string{"canary", "15100077777", "Y2FuYXJ5", "MTUxMDAwNzc3Nzc"}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// dump is all that all tables have.
func (w *world) dump() string {
	w.Helper()
	var b strings.Builder
	var tables []string
	if err := db.Rows(w.Context(), w.Writer(), func(row *sql.Rows) error {
		var name string
		err := row.Scan(&name)
		tables = append(tables, name)
		return err
	}, "SHOW TABLES"); err != nil {
		w.Fatal(err)
	}
	for _, name := range tables {
		if err := db.Rows(w.Context(), w.Writer(), func(row *sql.Rows) error {
			columns, err := row.Columns()
			if err != nil {
				return err
			}
			values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			err = row.Scan(into...)
			for _, value := range values {
				b.Write(value)
				b.WriteByte(' ')
			}
			return err
		}, "SELECT * FROM "+name); err != nil {
			w.Fatal(err)
		}
	}
	return b.String()
}

// hasNoCanary searches for what is personal where nothing personal may be.
func (w *world) hasNoCanary(more ...string) {
	w.Helper()
	for name, text := range map[string]string{"the log": w.logs.String(), "the metrics": w.page(), "the tables": w.dump(), "an error": strings.Join(more, "\n")} {
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				w.Errorf("%s shows %s:\n%s", name, canary, text)
			}
		}
	}
}

func randomName() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%x", b)
}

// senderOf opens a channel of a configuration.
func senderOf(t *testing.T, c Config, channel Channel) Sender {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	channels, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(channels.Close)
	return channels.Senders[channel]
}
