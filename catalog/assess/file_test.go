package assess_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sluice/catalog/assess"
)

// rule is a file with one rule, in its second line.
func rule(members string) string { return "{\"rules\": [\n{\"name\": \"r\", " + members + "}]}" }

func TestParseNamesFaults(t *testing.T) {
	t.Parallel()
	f := func(text, want string) {
		t.Helper()
		if _, err := assess.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\ngot  %v\nwant %s", text, err, want)
		}
	}
	f("", "line 1: unexpected EOF")
	f("[]", "line 1")
	f("{}{}", "line 1")
	f("{\n\"rulez\": []}", `line 2: "/rulez": there is no such member`)
	f("{\"rules\": [\n{\"name\": 7}]}", `line 2: "/rules/0/name": want another kind of value`)
	f("{\"rules\": [\n{\"name\": \"a\", \"name\": \"b\"}]}", "line 2")
	f(rule(`"at": ["sign_up"], "then": "Allow"`), `line 2: rule "r": then "Allow": want allow`)
	f(rule(`"at": ["sign_up"]`), `line 2: rule "r": then ""`)
	f(rule(`"at": [], "then": "deny"`), `line 2: rule "r": at: want one or more moments`)
	f(rule(`"at": ["order"], "then": "deny"`), `at "order": want sign_up or application`)
	f(rule(`"at": ["sign_up"], "when": {"shoe_size": {"above": 1}}, "then": "deny"`), `when "shoe_size": there is no such fact`)
	f(rule(`"at": ["sign_up"], "when": {"account_age_hours": {"below": 1}}, "then": "deny"`), `when "account_age_hours": nobody knows that at "sign_up"`)
	f(rule(`"at": ["sign_up"], "when": {"region": null}, "then": "deny"`), `when "region": want a condition`)
	f(rule(`"at": ["sign_up"], "when": {"region": {}}, "then": "deny"`), `when "region": want in or not_in`)
	f(rule(`"at": ["sign_up"], "when": {"region": {"in": ["eu"], "not_in": ["us"]}}, "then": "deny"`), `when "region": want in or not_in`)
	f(rule(`"at": ["sign_up"], "when": {"region": {"above": 1}}, "then": "deny"`), `when "region": want in or not_in`)
	f(rule(`"at": ["sign_up"], "when": {"region": {"in": ["EU"]}}, "then": "deny"`), `when "region": "EU" is none`)
	f(rule(`"at": ["sign_up"], "when": {"mail_domain": {"in": ["A.example"]}}, "then": "deny"`), `"A.example" is none`)
	f(rule(`"at": ["sign_up"], "when": {"network": {"in": ["192.0.2.1/24"]}}, "then": "deny"`), `"192.0.2.1/24" is none`)
	f(rule(`"at": ["sign_up"], "when": {"network": {"in": ["192.0.2.0/25"]}}, "then": "deny"`), `"192.0.2.0/25" is none`)
	f(rule(`"at": ["sign_up"], "when": {"mail_domain": {"in": ["@bad"]}}, "then": "deny"`), `there is no list "bad"`)
	f(rule(`"at": ["sign_up"], "when": {"network_users_today": {}}, "then": "deny"`), "want above or below")
	f(rule(`"at": ["sign_up"], "when": {"network_users_today": {"in": ["1"]}}, "then": "deny"`), "want above or below")
	f(rule(`"at": ["sign_up"], "when": {"network_users_today": {"above": 5, "below": 6}}, "then": "deny"`), "want a number between above and below")
	f(rule(`"at": ["sign_up"], "when": {"network_users_today": {"above": 9223372036854775807, "below": -9223372036854775808}}, "then": "deny"`),
		"want a number between above and below")
	f("{\"rules\": [\n{\"name\": \"R\", \"at\": [\"sign_up\"], \"then\": \"deny\"}]}", `line 2: rule "R": want a name`)
	f("{\"lists\": {\"a b\": []}, \"rules\": []}", `list "a b": want a name`)
	f(`{"rules": [
		{"name": "all", "at": ["sign_up", "application"], "then": "allow"},

		{"name": "all", "at": ["sign_up"], "when": {"region": {"in": ["eu"]}}, "then": "deny"}]}`, `line 4: rule "all": there is another one with this name`)
	f(`{"rules": [
		{"name": "all", "at": ["sign_up"], "then": "allow"},
		{"name": "never", "at": ["sign_up"], "when": {"region": {"in": ["eu"]}}, "then": "deny"}]}`,
		`line 3: rule "never": it is never asked, because rule "all" before it has no condition`)
	f(`{"rules": [`+strings.Repeat(`{"name": "a", "at": ["sign_up"], "then": "allow"},`, 200)+`{}]}`, "201 rules, want at most 200")
	f(`"`+strings.Repeat("x", 1<<20)+`"`, "more than 1048576 bytes")
}

// A file with many faults names some of them, each with its own line.
func TestParseNamesManyFaults(t *testing.T) {
	t.Parallel()
	_, err := assess.Parse([]byte("{\"rules\": [\n{\"name\": \"a\", \"at\": [\"sign_up\"]},\n{\"name\": \"b\", \"then\": \"deny\"}]}"))
	if err == nil || !strings.Contains(err.Error(), `line 2: rule "a": then`) || !strings.Contains(err.Error(), `line 3: rule "b": at`) {
		t.Errorf("%v", err)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	rules, err := assess.Load("")
	if err != nil || rules.Version() != assess.Default().Version() {
		t.Errorf("without a file: %v, %v", rules, err)
	}
	path := filepath.Join(t.TempDir(), "rules.json")
	if _, err := assess.Load(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	write := func(text string) (*assess.Rules, error) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return assess.Load(path)
	}
	if _, err := write(rule(`"at": ["sign_up"]`)); err == nil || !strings.Contains(err.Error(), path+`: line 2: rule "r"`) {
		t.Errorf("a wrong file: %v", err)
	}
	one, err1 := write(rule(`"at": ["sign_up"], "then": "deny"`))
	two, err2 := write(rule(`"at": ["sign_up"], "then": "hold"`))
	if err1 != nil || err2 != nil || one.Version() == two.Version() {
		t.Errorf("%v, %v: two files have one version", err1, err2)
	}
}

// Whatever a file has: rules that are taken answer, with an answer that there is and a rule of the file.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"", "{}", "null", some, `{"rules":[null]}`, `{"rules":[{"when":{"region":null}}]}`, `{"lists":{"a":null},"rules":[{"name":"r","at":["sign_up"],"when":{"mail_domain":{"in":["@a"]}},"then":"deny"}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		rules, err := assess.Parse(text)
		if err != nil {
			return
		}
		for _, m := range []assess.Moment{assess.SignUp, assess.Application} {
			v := rules.Assess(m, assess.Facts{
				Numbers: map[assess.Fact]int64{assess.NetworkUsers: 5}, Words: map[assess.Fact]string{assess.MailDomain: "a.b.example"},
			})
			switch v.Answer {
			case assess.Allow, assess.Challenge, assess.Hold, assess.Deny:
			default:
				t.Errorf("the answer is %q", v.Answer)
			}
			if !strings.Contains(string(text), v.Rule) && !strings.Contains(string(text), `\u`) {
				t.Errorf("rule %q is none of the file", v.Rule)
			}
		}
	})
}
