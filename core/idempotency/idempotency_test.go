package idempotency_test

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"sluice/core/idempotency"
)

func TestKeysOfRequests(t *testing.T) {
	t.Parallel()
	most := strings.Repeat("k", idempotency.KeyBytesMax)
	f := func(want string, refusal error, values ...string) {
		t.Helper()
		h := http.Header{}
		for _, value := range values {
			h.Add("Idempotency-Key", value)
		}
		if key, err := idempotency.Of(h); key != want || !errors.Is(err, refusal) {
			t.Errorf("%q: key %q, %v; want %q, %v", values, key, err, want, refusal)
		}
	}
	f("k", nil, "k")
	f("k", nil, `"k"`)
	f(`k"\`, nil, `"k\"\\"`)
	f(`k"`, nil, `k"`)
	f(most, nil, most)
	f(most, nil, `"`+most+`"`)
	f("", idempotency.ErrMissing)
	f("", idempotency.ErrTwice, "k", "k")
	for _, value := range []string{
		"", `""`, `"`, `"k`, `"k"k`, `"k\k"`, `"k\`, "k k", `"k k"`, "k\x7f", "kä", "k\t", most + "k", `"` + most + `k"`, `"k";a=1`,
	} {
		f("", idempotency.ErrInvalid, value)
	}
}

// FuzzParse writes every parsed key again, and checks that it is parsed to the same key.
func FuzzParse(f *testing.F) {
	for _, value := range []string{"k", `"k"`, `"\"\\"`, `\"`, `"`, strings.Repeat("k", 129)} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var buf, again [idempotency.KeyBytesMax]byte
		key, ok := idempotency.Parse([]byte(value), &buf)
		if bare := !strings.HasPrefix(value, `"`); bare && ok != idempotency.Valid(value) {
			t.Fatalf("%q: taken %v", value, ok)
		}
		if !ok {
			return
		}
		if read, ok := idempotency.Parse([]byte(idempotency.Format(string(key))), &again); !ok || !bytes.Equal(read, key) {
			t.Fatalf("%q is written %q, and read as %q", key, idempotency.Format(string(key)), read)
		}
	})
}
