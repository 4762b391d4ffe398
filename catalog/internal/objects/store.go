// Package objects keeps files in a store that speaks the protocol of S3. Whoever uploads one does it directly, by an address that is
// signed for that file alone. Requests are small and few: signatures are from the SDK, all else is net/http.
package objects

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"sluice/core/config"
)

// unsigned stands for the hash of a body that whoever signs has not seen.
const unsigned = "UNSIGNED-PAYLOAD"

// ErrNone says that there is no such object.
var ErrNone = errors.New("there is no such object")

// ErrLong says that an object has more bytes than were asked for.
var ErrLong = errors.New("the object is too long")

// Store is a bucket. It is safe for concurrent use.
type Store struct {
	bucket *url.URL
	public *url.URL
	region string
	keys   aws.Credentials
	signer *v4.Signer
	client *http.Client
	now    func() time.Time
}

// Upload is how somebody uploads an object: by this method, to this address, with these headers, until then.
type Upload struct {
	Method  string
	URL     string
	Headers map[string]string
	EndsAt  time.Time
}

// Form is what an upload has to be.
type Form struct {
	Type   string // its media type
	Bytes  int64  // at least 1
	SHA256 [sha256.Size]byte
}

// Upload signs the address of an upload. The store refuses another length, another type and, if it knows checksums, other bytes.
func (s *Store) Upload(ctx context.Context, key string, form Form, life time.Duration) (Upload, error) {
	sum := base64.StdEncoding.EncodeToString(form.SHA256[:])
	headers := map[string]string{"Content-Type": form.Type, "Content-Length": strconv.FormatInt(form.Bytes, 10), "X-Amz-Checksum-Sha256": sum}
	of, endsAt, err := s.sign(ctx, http.MethodPut, key, form.Bytes, life, headers)
	return Upload{Method: http.MethodPut, URL: of, Headers: headers, EndsAt: endsAt}, err
}

// Link signs an address by which somebody reads an object for a while.
func (s *Store) Link(ctx context.Context, key string, life time.Duration) (string, error) {
	of, _, err := s.sign(ctx, http.MethodGet, key, 0, life, nil)
	return of, err
}

// Public is the address of an object for everybody.
func (s *Store) Public(key string) string { return s.public.JoinPath(key).String() }

func (s *Store) sign(ctx context.Context, method, key string, length int64, life time.Duration, headers map[string]string) (of string, endsAt time.Time, err error) {
	r, err := s.request(ctx, method, key, nil)
	if err != nil {
		return "", time.Time{}, err
	}
	r.ContentLength = length
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	query := r.URL.Query()
	query.Set("X-Amz-Expires", strconv.FormatInt(int64(life/time.Second), 10))
	r.URL.RawQuery = query.Encode()
	now := s.now()
	of, _, err = s.signer.PresignHTTP(ctx, s.keys, r, unsigned, "s3", s.region, now, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping, o.DisableHeaderHoisting = true, true
	})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("sign the address of an object: %w", err)
	}
	return of, now.Add(life), nil
}

func (s *Store) request(ctx context.Context, method, key string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.bucket.JoinPath(key).String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s of an object: %w", method, err)
	}
	return r, nil
}

// Get reads an object of at most so many bytes.
func (s *Store) Get(ctx context.Context, key string, bytesMax int64) (body []byte, err error) {
	answer, err := s.do(ctx, http.MethodGet, key, nil, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, answer.Body.Close()) }()
	if body, err = io.ReadAll(io.LimitReader(answer.Body, bytesMax+1)); err != nil {
		return nil, fmt.Errorf("read an object: %w", err)
	}
	if int64(len(body)) > bytesMax {
		return nil, ErrLong
	}
	return body, nil
}

// Put writes an object.
func (s *Store) Put(ctx context.Context, key, mediaType string, body []byte) error {
	return s.quiet(s.do(ctx, http.MethodPut, key, body, map[string]string{
		"Content-Type": mediaType, "Cache-Control": "public, max-age=86400",
	}))
}

// Delete deletes an object. That there is none is a success.
func (s *Store) Delete(ctx context.Context, key string) error {
	err := s.quiet(s.do(ctx, http.MethodDelete, key, nil, nil))
	if errors.Is(err, ErrNone) {
		return nil
	}
	return err
}

// Close closes idle connections.
func (s *Store) Close() { s.client.CloseIdleConnections() }

// quiet ends an answer that says nothing more.
func (s *Store) quiet(answer *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, answer.Body, refusalBytesMax)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return errors.Join(err, answer.Body.Close())
}

const refusalBytesMax = 4 << 10

// do sends a request. What it returns is a success, whose body the caller closes.
func (s *Store) do(ctx context.Context, method, key string, body []byte, headers map[string]string) (*http.Response, error) {
	r, err := s.request(ctx, method, key, body)
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		r.Header.Set(name, value)
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	r.Header.Set("X-Amz-Content-Sha256", hash)
	err = s.signer.SignHTTP(ctx, s.keys, r, hash, "s3", s.region, s.now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		return nil, fmt.Errorf("sign a request to the store: %w", err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s of an object: %w", method, err)
	}
	switch {
	case answer.StatusCode < 300:
		return answer, nil
	case answer.StatusCode == http.StatusNotFound:
		err = ErrNone
	default:
		err = fmt.Errorf("%s of an object: the store answers %s", method, answer.Status)
	}
	_ = s.quiet(answer, nil)
	return nil, err
}

// keysOf are the keys in a text: ID:SECRET.
func keysOf(text config.Secret) (aws.Credentials, bool) {
	id, secret, ok := cutKeys(text.Reveal())
	return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, ok
}
