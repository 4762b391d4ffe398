package auth

import (
	"errors"
	"testing"
)

func TestSignedForOnePurpose(t *testing.T) {
	t.Parallel()
	for _, key := range []Key{hsKey, edKey} {
		keys, err := NewKeys(key)
		if err != nil {
			t.Fatal(err)
		}
		both, err := NewKeys(edKey, hsKey)
		if err != nil {
			t.Fatal(err)
		}
		const text = `{"any":"payload"}`
		signed, err := keys.Sign("one-purpose", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := both.Signed("one-purpose", signed); err != nil || string(got) != text {
			t.Errorf("%s: %q, %v", key.Algorithm, got, err)
		}
		if _, err := both.Signed("another-purpose", signed); !errors.Is(err, ErrToken) {
			t.Errorf("%s, for another purpose: %v", key.Algorithm, err)
		}
		for i := range signed {
			other := []byte(signed)
			if other[i]++; other[i] == '.'+1 {
				other[i] = 'x'
			}
			if got, err := both.Signed("one-purpose", string(other)); err == nil {
				t.Errorf("%s, byte %d changed: %q", key.Algorithm, i, got)
			}
		}
		if _, err := verifier(t, key).Verify([]byte(signed), noon); !errors.Is(err, ErrToken) {
			t.Errorf("%s, as a token: %v", key.Algorithm, err)
		}
		token, err := keys.Issue(claims())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := both.Signed("one-purpose", token); !errors.Is(err, ErrToken) {
			t.Errorf("%s, a token: %v", key.Algorithm, err)
		}
	}
	public := Key{ID: "k3", Algorithm: EdDSA, Public: "2CgXh-vjA4a3TtTTxNTUuTuvUV6vyO9UcMp3PVTLKPA"}
	if keys, err := NewKeys(public); err == nil {
		if _, err := keys.Sign("one-purpose", nil); err == nil {
			t.Error("signed without a private key")
		}
	} else {
		t.Error(err)
	}
}
