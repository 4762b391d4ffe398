// Package cors lets pages of other origins read answers: of a list, and no others. Nothing here depends on cookies, so browsers send
// none: a page has its token, and sends it itself.
package cors

import (
	"fmt"
	"net/url"
	"strings"
)

// Origins are those whose pages may read answers.
type Origins map[string]struct{}

// Headers of answers to them, beside Access-Control-Allow-Origin.
const (
	Methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	Asked   = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Read-After"
	Told    = "Age, ETag, Idempotent-Replayed, Location, RateLimit, RateLimit-Policy, Read-After, Retry-After, Sluice-Warning, WWW-Authenticate, X-Request-Id"
	KeptS   = "600" // how long a browser keeps that
)

// Want is what each of the list has to be.
const Want = "an origin as browsers send it, such as https://shop.example"

// Parse reads a list of origins. Each is taken as browsers send it: there is no pattern for several.
func Parse(list []string) (Origins, error) {
	if len(list) == 0 {
		return nil, nil //nolint:nilnil // no list is none that lets anybody in
	}
	all := Origins{}
	for _, origin := range list {
		at, err := url.Parse(origin)
		if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || origin != at.Scheme+"://"+strings.ToLower(at.Host) ||
			strings.ContainsAny(origin, "*, ") || at.Port() == map[string]string{"http": "80", "https": "443"}[at.Scheme] {
			return nil, fmt.Errorf("%.100q is not %s", origin, Want)
		}
		all[origin] = struct{}{}
	}
	return all, nil
}

// Allow reports whether pages of an origin may read answers.
func (o Origins) Allow(origin []byte) bool {
	_, ok := o[string(origin)]
	return ok
}
