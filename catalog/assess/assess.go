// Package assess answers whether somebody may go on: at a sign-up, at an application to sell. The answer follows from the facts
// that are known at that moment, by the rules of a file. It decides nothing else: what an answer means is up to who asks.
package assess

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Moment is when somebody is assessed.
type Moment string

// The moments.
const (
	SignUp      Moment = "sign_up"     // somebody registers
	Application Moment = "application" // a user applies to sell
)

// Answer is what becomes of the wish of somebody.
type Answer string

// The answers.
const (
	Allow     Answer = "allow"     // it goes on
	Challenge Answer = "challenge" // it goes on, and a person looks at it afterwards
	Hold      Answer = "hold"      // it waits until a person has decided
	Deny      Answer = "deny"      // it is refused
)

// Reviewed reports whether a person has to look.
func (a Answer) Reviewed() bool { return a == Challenge || a == Hold }

// Fact is the name of something that may be known.
type Fact string

// The facts. A day is one of UTC.
const (
	NetworkUsers Fact = "network_users_today" // number: users who were made from the network today
	MailDomain   Fact = "mail_domain"         // word: of the address of e-mail. A rule about a domain is about those below it too
	Region       Fact = "region"              // word: where the user is at home
	Locale       Fact = "locale"              // word
	AccountAge   Fact = "account_age_hours"   // number
	Applications Fact = "applications_before" // number: of the user
	Rejections   Fact = "rejections_before"   // number: of the user's applications
	Country      Fact = "country"             // word: of the address of who applies
	PhoneCountry Fact = "phone_country"       // word: of the number of telephone
	NetworkName  Fact = "network"             // word: NetworkOf
)

// NetworkOf is the network of an address, as facts count it: of IPv4 a /24, and of IPv6 a /48, which is what one customer has at
// most.
func NetworkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap()
	bits := 48
	if a.Is4() {
		bits = 24
	}
	network, _ := a.WithZone("").Prefix(bits) // of what is no address it is none
	return network
}

// Facts are what is known. What is not in it is not known, and fulfils no condition.
type Facts struct {
	Numbers map[Fact]int64
	Words   map[Fact]string
}

// Number adds a number.
func (f *Facts) Number(of Fact, n int64) {
	if f.Numbers == nil {
		f.Numbers = map[Fact]int64{}
	}
	f.Numbers[of] = n
}

// Word adds a word. The empty word is none.
func (f *Facts) Word(of Fact, word string) {
	if word == "" {
		return
	}
	if f.Words == nil {
		f.Words = map[Fact]string{}
	}
	f.Words[of] = word
}

// names lists the facts, without their values.
func (f Facts) names() []Fact {
	all := slices.Collect(maps.Keys(f.Numbers))
	for name := range f.Words {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Verdict is an answer, and how it came about. It has no values of facts, so nothing personal.
type Verdict struct {
	Answer Answer
	Rule   string // that decided; empty: none did
	Rules  string // the version of all rules
	Facts  []Fact // that were known
}

// Assess answers by the first rule whose conditions the facts fulfil all. If there is none, the answer is Allow.
func (r *Rules) Assess(m Moment, f Facts) Verdict {
	v := Verdict{Answer: Allow, Rules: r.version, Facts: f.names()}
	for i := range r.rules {
		if r.rules[i].fits(m, f) {
			v.Answer, v.Rule = r.rules[i].then, r.rules[i].name
			break
		}
	}
	return v
}

func (r *rule) fits(m Moment, f Facts) bool {
	return slices.Contains(r.at, m) && !slices.ContainsFunc(r.when, func(c condition) bool { return !c.holds(f) })
}

// condition is one about a fact: a number in a range, or a word of a set, or of none of it.
type condition struct {
	of           Fact
	above, below *int64
	words        map[string]bool // nil: it is about a number
	not          bool
}

func (c condition) holds(f Facts) bool {
	if c.words == nil {
		n, known := f.Numbers[c.of]
		return known && (c.above == nil || n > *c.above) && (c.below == nil || n < *c.below)
	}
	word, known := f.Words[c.of]
	return known && c.has(word) != c.not
}

// has reports whether a word, or a domain above it, is in the set.
func (c condition) has(word string) bool {
	for {
		if c.words[word] {
			return true
		}
		_, above, below := strings.Cut(word, ".")
		if c.of != MailDomain || !below {
			return false
		}
		word = above
	}
}
