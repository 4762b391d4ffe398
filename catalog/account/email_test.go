package account_test

import (
	"strings"
	"testing"

	"sluice/catalog/account"
)

func TestEmails(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]account.Email{
		"mia@example.org":                        "mia@example.org",
		"Mia.Muster+shop@EXAMPLE.org":            "Mia.Muster+shop@example.org",
		"m.i.a@example.org":                      "m.i.a@example.org",
		"o'neill@xn--mnchen-3ya.de":              "o'neill@xn--mnchen-3ya.de",
		"1@2.c3":                                 "1@2.c3",
		strings.Repeat("a", 64) + "@example.org": account.Email(strings.Repeat("a", 64) + "@example.org"),
		"":                                       "",
		"mia":                                    "",
		"@example.org":                           "",
		"mia@":                                   "",
		"mia@example":                            "", // no domain that mail goes to
		"mia@@example.org":                       "",
		"mia@example.org@evil.example":           "",
		".mia@example.org":                       "",
		"mia.@example.org":                       "",
		"m..a@example.org":                       "",
		`"mia"@example.org`:                      "",
		`"mia@evil.example"@example.org`:         "",
		"mia(comment)@example.org":               "",
		"Mia <mia@example.org>":                  "",
		"mia@example.org, eve@evil.example":      "",
		"mia@example.org\r\nBcc: eve@evil.example": "",
		"mia@example.org\n":                        "",
		" mia@example.org":                         "",
		"mia @example.org":                         "",
		"mia\x00@example.org":                      "",
		"mia@-example.org":                         "",
		"mia@example-.org":                         "",
		"mia@example..org":                         "",
		"mia@example.org.":                         "",
		"mia@exam_ple.org":                         "",
		"mia@127.0.0.1":                            "",
		"mia@[127.0.0.1]":                          "",
		"mia@[IPv6:::1]":                           "",
		"mia@localhost":                            "",
		"mіa@example.org":                          "", // the second letter is Cyrillic
		"mia@exаmple.org":                          "",
		"mia@münchen.de":                           "",
		"mia@example.org\u200b":                    "",
		"mia＠example.org":                          "",
		"mia@example。org":                          "",
		strings.Repeat("a", 243) + "@example.org":  "",
		"mia@example.1org":                         "",
		"mia@" + strings.Repeat("a", 64) + ".org":  "",
		"mia@" + strings.Repeat("a.", 130) + "org": "",
	} {
		if got, err := account.ReadEmail(text); (err == nil) != (want != "") || got != want {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		} else if err != nil && text != "" && strings.Contains(err.Error(), text) && len(text) > 4 {
			t.Errorf("the error quotes %q", text)
		}
	}
}

// Addresses that one server takes for one are one here; what only some servers take for one are several.
func TestEmailsThatAreOne(t *testing.T) {
	t.Parallel()
	key := func(text string) string {
		t.Helper()
		e, err := account.ReadEmail(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		return e.Key()
	}
	for _, same := range []string{"Mia@example.org", "MIA@Example.ORG", "mia@EXAMPLE.ORG"} {
		if key(same) != key("mia@example.org") {
			t.Errorf("%s is another address than mia@example.org", same)
		}
	}
	for _, other := range []string{"m.ia@example.org", "mia+a@example.org", "mia@mail.example.org", "mla@example.org", "mia@examp1e.org"} {
		if key(other) == key("mia@example.org") {
			t.Errorf("%s is mia@example.org", other)
		}
	}
}
