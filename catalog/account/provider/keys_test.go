package provider

import (
	"encoding/base64"
	"errors"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"sluice/catalog/internal/reach"
)

// Keys behind a name that stands for no public address want a person: they never come.
func TestKeysAtAnAddressThatIsRefused(t *testing.T) {
	t.Parallel()
	const issuer = "https://a.example"
	ctx := oidc.ClientContext(t.Context(), clientFor(t).HTTP)
	verifier := oidc.NewVerifier(issuer, oidc.NewRemoteKeySet(ctx, "https://127.0.0.1/keys"), &oidc.Config{SkipClientIDCheck: true, SkipExpiryCheck: true})
	part := base64.RawURLEncoding.EncodeToString
	_, err := verifier.Verify(ctx, part([]byte(`{"alg":"RS256"}`))+"."+part([]byte(`{"iss":"`+issuer+`"}`))+".AAAA")
	if is := ofVerification(ctx, err); !errors.Is(is, ErrBroken) || is.Error() != unanswered(reach.ErrAddress).Error() {
		t.Errorf("%v, of %v", is, err)
	}
}
