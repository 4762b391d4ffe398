package account

import (
	"errors"
	"strings"
)

// Email is an address of e-mail in the form in which messages are sent to it.
type Email string

// Bounds of an address, in bytes: what SMTP and DNS carry.
const (
	emailBytesMax = 254
	labelBytesMax = 63
)

var errEmail = errors.New("want an address such as name@shop.example: a name and a domain in ASCII letters, digits and signs; a domain in another script in its form that begins with xn--")

// ReadEmail reads an address. It takes ASCII only: what looks like a known address in other letters is none. It takes no
// quoted names, comments or addresses of hosts either. The name keeps its case, its dots and what is behind its plus sign,
// because only its own server knows what they mean. The domain is in lower case.
func ReadEmail(text string) (Email, error) {
	if len(text) > emailBytesMax {
		return "", errEmail
	}
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return "", errEmail
	}
	local, domain := text[:at], strings.ToLower(text[at+1:])
	if !isLocal(local) || !isDomain(domain) {
		return "", errEmail
	}
	return Email(local + "@" + domain), nil
}

// index is the blind index of an address.
func (a *Accounts) index(e Email) Index { return a.secret.index(KindEmail, e.Key()) }

// Key is the form in which addresses are compared: no server of today gives two people names that differ by case only, and
// people write theirs in any.
func (e Email) Key() string { return strings.ToLower(string(e)) }

// Local is the name, which is before the domain.
func (e Email) Local() string {
	local, _, _ := strings.Cut(string(e), "@")
	return local
}

// Domain is what is behind the name.
func (e Email) Domain() string {
	_, domain, _ := strings.Cut(string(e), "@")
	return domain
}

// isLocal reports whether a text is a dot-atom (RFC 5322).
func isLocal(text string) bool {
	for atom := range strings.SplitSeq(text, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAlphanumeric(atom[i]) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", rune(atom[i])) {
				return false
			}
		}
	}
	return true
}

// isDomain reports whether a text in lower case is the name of a domain that mail can go to: two labels or more, the last of
// which begins with a letter.
func isDomain(text string) bool {
	labels := strings.Split(text, ".")
	if len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > labelBytesMax || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlphanumeric(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return labels[len(labels)-1][0] >= 'a'
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
