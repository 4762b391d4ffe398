package assess_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"sluice/catalog/assess"
)

func parse(t *testing.T, text string) *assess.Rules {
	t.Helper()
	rules, err := assess.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

const some = `{
  "lists": {"bad": ["throw.example", "xn--bcher-kva.example"]},
  "rules": [
    {"name": "known_good", "at": ["sign_up"], "when": {"network": {"in": ["192.0.2.0/24"]}}, "then": "allow"},
    {"name": "bad_mail", "at": ["sign_up", "application"], "when": {"mail_domain": {"in": ["@bad", "other.example"]}}, "then": "deny"},
    {"name": "crowd", "at": ["sign_up"], "when": {"network_users_today": {"above": 9, "below": 100}, "region": {"not_in": ["eu"]}}, "then": "hold"},
    {"name": "flood", "at": ["sign_up"], "when": {"network_users_today": {"above": 99}}, "then": "challenge"},
    {"name": "rest", "at": ["application"], "then": "challenge"}
  ]
}`

func TestAssess(t *testing.T) {
	t.Parallel()
	rules := parse(t, some)
	f := func(m assess.Moment, users int64, words string, want assess.Answer, rule string) {
		t.Helper()
		facts := assess.Facts{Numbers: map[assess.Fact]int64{}, Words: map[assess.Fact]string{}}
		if users >= 0 {
			facts.Numbers[assess.NetworkUsers] = users
		}
		for word := range strings.FieldsSeq(words) {
			name, value, _ := strings.Cut(word, "=")
			facts.Words[assess.Fact(name)] = value
		}
		got := rules.Assess(m, facts)
		if got.Answer != want || got.Rule != rule || got.Rules != rules.Version() {
			t.Errorf("%s, %d users, %s: %+v, want %s by %q", m, users, words, got, want, rule)
		}
	}
	f(assess.SignUp, -1, "", assess.Allow, "") // nothing is known, so nothing speaks against it
	f(assess.SignUp, 10, "region=us", assess.Hold, "crowd")
	f(assess.SignUp, 9, "region=us", assess.Allow, "")
	f(assess.SignUp, 99, "region=us", assess.Hold, "crowd")
	f(assess.SignUp, 100, "region=us", assess.Challenge, "flood")
	f(assess.SignUp, 10, "region=eu", assess.Allow, "")
	f(assess.SignUp, 10, "", assess.Allow, "") // a region that is not known is not another one
	f(assess.SignUp, 0, "mail_domain=throw.example", assess.Deny, "bad_mail")
	f(assess.SignUp, 0, "mail_domain=a.b.throw.example", assess.Deny, "bad_mail")
	f(assess.SignUp, 0, "mail_domain=nothrow.example", assess.Allow, "")
	f(assess.SignUp, 0, "mail_domain=example", assess.Allow, "")
	f(assess.SignUp, 0, "mail_domain=other.example", assess.Deny, "bad_mail")
	f(assess.SignUp, 500, "mail_domain=throw.example network=192.0.2.0/24", assess.Allow, "known_good") // the first one decides
	f(assess.Application, 500, "region=us", assess.Challenge, "rest")
	f(assess.Application, 0, "mail_domain=other.example", assess.Deny, "bad_mail")
	f("payment", 500, "", assess.Allow, "")

	got := rules.Assess(assess.SignUp, assess.Facts{
		Numbers: map[assess.Fact]int64{assess.NetworkUsers: 1}, Words: map[assess.Fact]string{assess.MailDomain: "a.example", assess.Locale: "de"},
	})
	want := []assess.Fact{assess.Locale, assess.MailDomain, assess.NetworkUsers} // names, in one order, and no values
	if diff := cmp.Diff(want, got.Facts); diff != "" {
		t.Error(diff)
	}
}

func TestNetworkOf(t *testing.T) {
	t.Parallel()
	for of, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := assess.NetworkOf(netip.MustParseAddr(of)).String(); got != want {
			t.Errorf("%s: %s, want %s", of, got, want)
		}
	}
	if got := assess.NetworkOf(netip.Addr{}); got.IsValid() {
		t.Errorf("no address has the network %v", got)
	}
}

// TestPropertyFirstFittingRule compares with another way to say the same: every rule on its own, and the first that answers.
func TestPropertyFirstFittingRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(0, 8).Draw(t, "count")
		texts := make([]string, count)
		for i := range texts {
			var when []string
			if rapid.Bool().Draw(t, "by users") {
				low := rapid.Int64Range(-1, 5).Draw(t, "above")
				when = append(when, fmt.Sprintf(`"network_users_today": {"above": %d, "below": %d}`, low, low+rapid.Int64Range(2, 5).Draw(t, "more")))
			}
			if way := rapid.SampledFrom([]string{"", "in", "not_in"}).Draw(t, "by region"); way != "" || len(when) == 0 {
				if way == "" {
					way = "in"
				}
				words := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"eu", "us", "jp"}), 1, 3, rapid.ID).Draw(t, "regions")
				when = append(when, `"region": {"`+way+`": ["`+strings.Join(words, `","`)+`"]}`)
			}
			then := rapid.SampledFrom([]assess.Answer{assess.Allow, assess.Challenge, assess.Hold, assess.Deny}).Draw(t, "then")
			texts[i] = fmt.Sprintf(`{"name": "rule%d", "at": ["sign_up"], "when": {%s}, "then": %q}`, i, strings.Join(when, ", "), then)
		}
		facts := assess.Facts{Numbers: map[assess.Fact]int64{}, Words: map[assess.Fact]string{}}
		if rapid.Bool().Draw(t, "users known") {
			facts.Numbers[assess.NetworkUsers] = rapid.Int64Range(0, 12).Draw(t, "users")
		}
		if rapid.Bool().Draw(t, "region known") {
			facts.Words[assess.Region] = rapid.SampledFrom([]string{"eu", "us", "jp", "in"}).Draw(t, "region")
		}
		read := func(texts ...string) *assess.Rules {
			rules, err := assess.Parse([]byte(`{"rules": [` + strings.Join(texts, ",") + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			return rules
		}
		want := assess.Verdict{Answer: assess.Allow}
		for _, text := range texts {
			if one := read(text).Assess(assess.SignUp, facts); one.Rule != "" {
				want = one
				break
			}
		}
		got := read(texts...).Assess(assess.SignUp, facts)
		if got.Answer != want.Answer || got.Rule != want.Rule {
			t.Fatalf("%+v, want %+v", got, want)
		}
		if again := read(texts...).Assess(assess.SignUp, facts); !cmp.Equal(got, again) {
			t.Fatalf("%+v, then %+v", got, again)
		}
	})
}

// TestDefaultRulesLetPeoplePass takes what is normal, also in a rush, and some of what is not.
func TestDefaultRulesLetPeoplePass(t *testing.T) {
	t.Parallel()
	rules := assess.Default()
	f := func(m assess.Moment, domain string, users, age, rejections int64, want assess.Answer) {
		t.Helper()
		facts := assess.Facts{
			Words: map[assess.Fact]string{assess.MailDomain: domain, assess.Region: "eu", assess.Locale: "de", assess.NetworkName: "192.0.2.0/24"},
			Numbers: map[assess.Fact]int64{
				assess.NetworkUsers: users, assess.AccountAge: age, assess.Rejections: rejections,
			},
		}
		if got := rules.Assess(m, facts); got.Answer != want {
			t.Errorf("%s of %s, %d users, %d hours, %d rejections: %+v, want %s", m, domain, users, age, rejections, got, want)
		}
	}
	f(assess.SignUp, "gmail.com", 0, 0, 0, assess.Allow)
	f(assess.SignUp, "shop.example", 500, 0, 0, assess.Allow) // behind one carrier, at a sale's opening
	f(assess.SignUp, "mailinator.com", 0, 0, 0, assess.Challenge)
	f(assess.SignUp, "mailinator.com", 21, 0, 0, assess.Hold)
	f(assess.SignUp, "gmail.com", 2001, 0, 0, assess.Hold)
	f(assess.Application, "shop.example", 5, 24, 0, assess.Allow)
	f(assess.Application, "shop.example", 5, 24, 2, assess.Allow)
	f(assess.Application, "shop.example", 5, 24, 3, assess.Hold)
	f(assess.Application, "shop.example", 5, 0, 0, assess.Challenge)
	f(assess.Application, "eu.yopmail.com", 5, 24, 0, assess.Deny)
}
