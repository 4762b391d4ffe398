package objects_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"sluice/catalog/internal/objects"
	"sluice/catalog/internal/objects/objectstest"
	"sluice/core/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// send does what an upload says, with another body or other headers.
func send(t *testing.T, s *objectstest.Server, of objects.Upload, body string, headers ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), of.Method, of.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range of.Headers {
		r.Header.Set(name, value)
	}
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	answer, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// An upload is of the file that was asked for, and of no other one.
func TestUploads(t *testing.T) {
	t.Parallel()
	s := objectstest.Start(t)
	store := s.Open(t)
	const text = "a picture"
	form := objects.Form{Type: "image/png", Bytes: int64(len(text)), SHA256: sha256.Sum256([]byte(text))}
	of, err := store.Upload(t.Context(), "uploads/one", form, 15*time.Minute)
	if err != nil || of.Headers["Content-Length"] != strconv.Itoa(len(text)) || time.Until(of.EndsAt) > 15*time.Minute {
		t.Fatalf("%+v, %v", of, err)
	}
	other := of
	other.URL = strings.Replace(of.URL, "/one", "/two", 1)
	longer := of
	longer.URL = strings.Replace(of.URL, "X-Amz-Expires=900", "X-Amz-Expires=90000", 1)
	for what, status := range map[string]int{
		"another length":  send(t, s, of, text+"s"),
		"other bytes":     send(t, s, of, "A picture"),
		"another type":    send(t, s, of, text, "Content-Type", "image/svg+xml"),
		"no checksum":     send(t, s, of, text, "X-Amz-Checksum-Sha256", ""),
		"another key":     send(t, s, other, text),
		"a longer life":   send(t, s, longer, text),
		"another address": send(t, s, objects.Upload{Method: http.MethodDelete, URL: of.URL, Headers: of.Headers}, text),
	} {
		if status/100 != 4 {
			t.Errorf("%s is answered with %d", what, status)
		}
	}
	if keys := s.Keys(t); len(keys) != 0 {
		t.Errorf("the store has %v", keys)
	}
	if status := send(t, s, of, text); status != http.StatusOK {
		t.Errorf("the file is answered with %d", status)
	}
	if got, err := store.Get(t.Context(), "uploads/one", 100); err != nil || string(got) != text {
		t.Errorf("the store has %q, %v", got, err)
	}
	s.Later.Store(int64(16 * time.Minute))
	if status := send(t, s, of, text); status != http.StatusForbidden {
		t.Errorf("after its life an upload is answered with %d", status)
	}
}

func TestObjects(t *testing.T) {
	t.Parallel()
	s := objectstest.Start(t)
	store := s.Open(t)
	ctx := t.Context()
	if _, err := store.Get(ctx, "checked/one", 10); !errors.Is(err, objects.ErrNone) {
		t.Errorf("what is not there is %v", err)
	}
	if err := store.Delete(ctx, "checked/one"); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
	for _, key := range []string{"checked/one", "shown/one"} {
		if err := store.Put(ctx, key, "image/jpeg", []byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := store.Get(ctx, "checked/one", 10); err != nil || string(got) != "0123456789" {
		t.Errorf("it is %q, %v", got, err)
	}
	if _, err := store.Get(ctx, "checked/one", 9); !errors.Is(err, objects.ErrLong) {
		t.Errorf("what is too long is %v", err)
	}
	link, err := store.Link(ctx, "checked/one", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	read := func(url string, want int) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != want || want == http.StatusOK && !bytes.Equal(body, []byte("0123456789")) {
			t.Errorf("%s is %d %q", url, answer.StatusCode, body)
		}
	}
	read(link, http.StatusOK)
	read(strings.Replace(link, "/one", "/two", 1), http.StatusForbidden)
	read(store.Public("shown/one"), http.StatusOK)
	read(store.Public("checked/one"), http.StatusForbidden)
	if err := store.Delete(ctx, "checked/one"); err != nil {
		t.Fatal(err)
	}
	if keys := s.Keys(t); len(keys) != 1 || keys[0] != "shown/one" {
		t.Errorf("the store has %v", keys)
	}
	s.Away.Store(true)
	for what, err := range map[string]error{
		"put": store.Put(ctx, "x", "image/jpeg", nil), "delete": store.Delete(ctx, "shown/one"), "get": func() error { _, err := store.Get(ctx, "shown/one", 10); return err }(),
	} {
		if err == nil || errors.Is(err, objects.ErrNone) || strings.Contains(err.Error(), "Signature") {
			t.Errorf("%s at a store that is away: %v", what, err)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := store.Get(ended, "shown/one", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that nobody waits for: %v", err)
	}
}

func TestConfigs(t *testing.T) {
	t.Parallel()
	right := objects.Config{
		Endpoint: "https://s3.example", Bucket: "media", Region: "us-east-1", URL: "https://media.example", Key: "id:secret", Timeout: 10 * time.Second,
	}
	f := func(what string, change func(*objects.Config), want string) {
		t.Helper()
		c := right
		change(&c)
		err := c.Validate()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the fault shows the key: %v", what, err)
		}
	}
	f("all", func(*objects.Config) {}, "")
	f("none", func(c *objects.Config) { *c = objects.Config{Region: "us-east-1", Timeout: 10 * time.Second} }, "")
	f("a bucket alone", func(c *objects.Config) { c.Endpoint = "" }, "media-endpoint: missing")
	f("no scheme", func(c *objects.Config) { c.Endpoint = "s3.example" }, "media-endpoint")
	f("a user", func(c *objects.Config) { c.URL = "https://ann:pw@media.example" }, "media-url")
	f("no bucket", func(c *objects.Config) { c.Bucket = "" }, "media-bucket")
	f("a bucket above", func(c *objects.Config) { c.Bucket = "../other" }, "media-bucket")
	f("no region", func(c *objects.Config) { c.Region = "" }, "media-region")
	f("no key", func(c *objects.Config) { c.Key = "" }, "media-key-file")
	f("half a key", func(c *objects.Config) { c.Key = config.Secret("id:") }, "media-key-file")
	f("no file", func(c *objects.Config) { c.Key, c.KeyFile = "", "/does/not/exist" }, "media-key-file")
	f("too long", func(c *objects.Config) { c.Timeout = time.Minute }, "media-timeout")
	if store, err := (objects.Config{}).Open(time.Now); store != nil || err != nil {
		t.Errorf("without an endpoint: %v, %v", store, err)
	}
}
