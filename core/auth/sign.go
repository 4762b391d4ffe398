package auth

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"
)

// Sign signs a payload for a purpose with the first key, in the form of a compact JWS. Its typ is the purpose, so it is no
// access token, nor anything else that the keys sign.
func (k *Keys) Sign(purpose string, payload []byte) (string, error) {
	if k.issuer.sign == nil {
		return "", fmt.Errorf("sign %s: kid %q has no private key", purpose, k.issuer.id)
	}
	header, err := json.Marshal(map[string]string{"alg": k.issuer.method.Alg(), "kid": k.issuer.id, "typ": purpose}, json.Deterministic(true))
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", purpose, err)
	}
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := k.issuer.method.Sign(signed, k.issuer.sign)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", purpose, err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// Signed returns the payload that one of the keys has signed for a purpose. Its errors wrap ErrToken.
func (k *Keys) Signed(purpose, text string) ([]byte, error) {
	payload, err := k.payload(text, purpose)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	return decodePart(payload)
}
