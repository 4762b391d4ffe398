// Package objectstest has a store of objects for tests, on this machine. It is gofakes3, which takes whatever comes; in front of it is
// what a real store does: it looks at signatures, at the time that they end, and at checksums.
package objectstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"sluice/catalog/internal/objects"
	"sluice/core/config"
)

const (
	bucket = "media"
	keyID  = "shop"
	secret = "correct-secret"
	region = "us-east-1"
)

// Server is a store.
type Server struct {
	*httptest.Server

	// Away has it answer 503.
	Away atomic.Bool
	// Plain has it know no checksums, as some stores do.
	Plain atomic.Bool
	// Later is how far its clock is ahead, in nanoseconds.
	Later atomic.Int64

	backend *s3mem.Backend
	signer  *v4.Signer

	mu     sync.Mutex
	before func(*http.Request)
}

// Start starts a store with an empty bucket. It ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{backend: s3mem.New(), signer: v4.NewSigner()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	fake := gofakes3.New(s.backend, gofakes3.WithTimeSkewLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		before := s.before
		s.mu.Unlock()
		if before != nil {
			before(r)
		}
		if status := s.refuse(r); status != 0 {
			w.WriteHeader(status)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// Before has something done before each request.
func (s *Server) Before(do func(*http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before = do
}

// Config is how a shop uses it. Everybody reads what is below shown/ from it.
func (s *Server) Config() objects.Config {
	return objects.Config{
		Endpoint: s.URL, Bucket: bucket, Region: region, URL: s.URL + "/" + bucket, Key: config.Secret(keyID + ":" + secret), Timeout: 15 * time.Second,
	}
}

// Open makes a client of it.
func (s *Server) Open(t testing.TB) *objects.Store {
	t.Helper()
	store, err := s.Config().Open(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// Keys are the keys of all objects, in their order.
func (s *Server) Keys(t testing.TB) (keys []string) {
	t.Helper()
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range list.Contents {
		keys = append(keys, of.Key)
	}
	slices.Sort(keys)
	return keys
}

// refuse is the status of a refusal, or 0.
func (s *Server) refuse(r *http.Request) int {
	if s.Away.Load() {
		return http.StatusServiceUnavailable
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return http.StatusBadRequest
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	sum := sha256.Sum256(body)
	if want := r.Header.Get("X-Amz-Checksum-Sha256"); want != "" && !s.Plain.Load() && want != base64.StdEncoding.EncodeToString(sum[:]) {
		return http.StatusBadRequest
	}
	if r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/"+bucket+"/shown/") && r.Header.Get("Authorization") == "" {
		return 0
	}
	if !s.signed(r) {
		return http.StatusForbidden
	}
	return 0
}

// signed signs the request again, as it came, and compares.
func (s *Server) signed(r *http.Request) bool {
	query := r.URL.Query()
	presigned := query.Get("X-Amz-Signature")
	header, of, _ := strings.Cut(r.Header.Get("Authorization"), "SignedHeaders=")
	names, signature, _ := strings.Cut(of, ", Signature=")
	at := r.Header.Get("X-Amz-Date")
	if presigned != "" {
		names, signature, at = query.Get("X-Amz-SignedHeaders"), presigned, query.Get("X-Amz-Date")
	} else if header == "" {
		return false
	}
	when, err := time.Parse("20060102T150405Z", at)
	if err != nil {
		return false
	}
	if life, err := strconv.Atoi(query.Get("X-Amz-Expires")); presigned != "" && (err != nil || time.Now().Add(time.Duration(s.Later.Load())).After(when.Add(time.Duration(life)*time.Second))) {
		return false
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.EscapedPath(), http.NoBody)
	if err != nil {
		return false
	}
	for name := range strings.SplitSeq(names, ";") {
		if values := r.Header.Values(name); len(values) > 0 && name != "x-amz-date" {
			again.Header[http.CanonicalHeaderKey(name)] = values
		}
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		}
	}
	keys := aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}
	plain := func(o *v4.SignerOptions) { o.DisableURIPathEscaping, o.DisableHeaderHoisting = true, true }
	if presigned == "" {
		err = s.signer.SignHTTP(r.Context(), keys, again, r.Header.Get("X-Amz-Content-Sha256"), "s3", region, when, plain)
		return err == nil && strings.HasSuffix(again.Header.Get("Authorization"), "Signature="+signature)
	}
	again.URL.RawQuery = "X-Amz-Expires=" + query.Get("X-Amz-Expires")
	url, _, err := s.signer.PresignHTTP(r.Context(), keys, again, "UNSIGNED-PAYLOAD", "s3", region, when, plain)
	return err == nil && strings.HasSuffix(url, "X-Amz-Signature="+signature)
}
