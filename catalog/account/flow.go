package account

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"sluice/catalog/account/provider"
	"sluice/core/ids"
)

// flow is a sign-in that has begun at a provider, or the adding of one to an account. Who began it keeps it, sealed; no table has it.
// What the provider is sent follows from its seed and the shop's secret. By nonce or PKCE a code counts in its own flow only. A provider
// that has neither takes it in anybody's: there a code is a secret until it is used.
type flow struct {
	Provider string      `json:"provider"`
	Seed     seed        `json:"seed"`
	EndsAt   int64       `json:"ends_at"`          // seconds since 1970
	User     ids.User    `json:"user,omitzero"`    // to whose account it adds one; 0: somebody signs in
	Session  ids.Session `json:"session,omitzero"` // of that user
	Region   string      `json:"region,omitzero"`
	Locale   string      `json:"locale,omitzero"`
}

const (
	// flowLife is how long a sign-in at a provider may take.
	flowLife      = challengeLife
	flowPrefix    = "sfl_"
	flowBytesMax  = 1000
	stateBytesMax = 100
	codeBytesMax  = 4096
	issuerMax     = 2048
)

// sealFlow is what the client keeps of a flow.
func (s *Secret) sealFlow(f flow) (string, error) {
	plain, err := json.Marshal(f)
	if err != nil {
		return "", err
	}
	sealed := s.flows.Seal(nil, nil, plain, nil) //nolint:gosec // G407: it makes a random nonce itself
	return flowPrefix + base64.RawURLEncoding.EncodeToString(sealed), nil
}

var errNoFlow = errors.New("it is no flow of this shop")

func (s *Secret) openFlow(token string) (f flow, err error) {
	encoded, prefixed := strings.CutPrefix(token, flowPrefix)
	sealed, ok := decode(encoded)
	if !ok || !prefixed {
		return f, errNoFlow
	}
	plain, err := s.flows.Open(nil, nil, sealed, nil)
	if err != nil {
		return f, errNoFlow
	}
	if err := json.Unmarshal(plain, &f); err != nil {
		return f, errNoFlow
	}
	return f, nil
}

// at is what a provider is sent of a flow.
func (s *Secret) at(f flow) provider.Flow {
	of := func(what string) sum { return sumOf(s.codes, []byte("flow"), []byte(what), f.Seed[:]) }
	state, nonce, verifier := of("state"), of("nonce"), of("verifier")
	return provider.Flow{
		State: base64.RawURLEncoding.EncodeToString(state[:16]), Nonce: base64.RawURLEncoding.EncodeToString(nonce[:16]),
		Verifier: base64.RawURLEncoding.EncodeToString(verifier[:]),
	}
}

// exchangeOf names the row of what the provider says in a flow. It is where the user is to whose account a provider is added, or who is
// made if nobody has the identity.
func (s *Secret) exchangeOf(f flow) challengeKey {
	k := challengeKey{user: f.User, nonce: sumOf(s.draws, []byte("flow"), f.Seed[:]).positive()}
	if k.user == 0 {
		k.user = ids.User(sumOf(s.draws, []byte("user of a flow"), f.Seed[:]).positive())
	}
	return k
}

func (f flow) purpose() purpose {
	if f.User != 0 {
		return purposeLink
	}
	return purposeProvider
}

func (f flow) over(now time.Time) bool { return now.Unix() >= f.EndsAt }

// Return is what somebody brings back from a provider.
type Return struct {
	Flow   string // what they were given when it began
	Code   string
	State  string
	Issuer string // who says that the code is theirs, or empty
}

// check refuses what has no form.
func (r Return) check() error {
	for _, part := range []struct {
		pointer, value string
		least, most    int
	}{
		{"/flow_token", r.Flow, 1, flowBytesMax}, {"/code", r.Code, 1, codeBytesMax}, {"/state", r.State, 1, stateBytesMax}, {"/iss", r.Issuer, 0, issuerMax},
	} {
		if len(part.value) < part.least || len(part.value) > part.most || strings.ContainsFunc(part.value, func(c rune) bool { return c < ' ' || c > '~' }) {
			return malformed(part.pointer, "want what the provider sent back, or what this shop gave, in printable ASCII")
		}
	}
	return nil
}

// flowOf returns the flow of somebody at a provider. What is of another flow, of another user or session, or of another provider has one
// refusal, and the code goes nowhere.
func (a *Accounts) flowOf(name string, who Holder, r Return) (*provider.Provider, flow, error) {
	if err := r.check(); err != nil {
		return nil, flow{}, err
	}
	p := a.providers.Named(name)
	if p == nil {
		return nil, flow{}, errNoProvider
	}
	f, err := a.secret.openFlow(r.Flow)
	if err != nil || f.Provider != name || f.User != who.User || f.Session != who.Session {
		return nil, flow{}, errCode
	}
	if subtle.ConstantTimeCompare([]byte(a.secret.at(f).State), []byte(r.State)) != 1 {
		return nil, flow{}, errCode
	}
	return p, f, nil
}
